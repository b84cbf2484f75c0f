"""The doors that every set goes through to its accuracy on the test set."""

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.artefact import Distilled
from kernel_distill.evaluation import RIDGE, evaluate, measure
from kernel_distill.kernels import FullyConnected, Kernel
from kernel_distill.networks import Network
from kernel_distill.transfer._baselines import baseline, nearest_neighbour
from kernel_distill.transfer._entrants import Entrant
from kernel_distill.transfer._search import check_training, chosen_of, first_sound, search
from kernel_distill.transfer._settings import TrainingSettings
from kernel_distill.transfer._transfer import Transfer, transfer

_CEILING, _CONVOLUTIONAL_CEILING = 5000, 200  # images whose kernel takes seconds, or minutes
_EPOCHS = 5  # through all training images, at least


@dataclass(frozen=True)
class Outcome:
    """What came through a door.

    Attributes:
        accuracies: on the test set, of each draw or seed: one where nothing is left to chance.
        settings: what was chosen on validation images, for whoever does it again.
    """

    accuracies: tuple[float, ...]
    settings: dict[str, Any] = field(default_factory=dict)


class Door(ABC):
    """A column of the table."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its heading."""

    @abstractmethod
    def identity(self, entrant: Entrant) -> dict[str, Any] | None:
        """All that an accuracy depends on besides the entrant and the key; None where that cannot
        be written down."""

    def admits(self, entrant: Entrant) -> bool:
        return not entrant.classifies

    def images(self, entrant: Entrant) -> int:
        """How many of an entrant's images are learned from."""
        return entrant.images

    @abstractmethod
    def check(self, entrant: Entrant) -> None:
        """Raises InputError where an entrant cannot go through, as far as that can be said before
        any work."""

    @abstractmethod
    def measure(self, entrant: Entrant, *, seeds: int, key: PRNGKeyArray) -> Outcome:
        """Accuracies on the test set.

        Raises:
            NumericalError: a solve is not finite, or all trainings diverge.
        """


@dataclass(frozen=True)
class RidgeRegression(Door):
    """Kernel ridge regression, with the ridge and precision of the run; of baselines 1e-6 and
    float64, since hundreds of images are too many for float32 and so small a ridge.

    The solve is cubic in the images: of all training images it learns from as many as are
    feasible, drawn at random, as many of each class.
    """

    kernel: Kernel

    @property
    def name(self) -> str:
        return f"{self.kernel.architecture.name} {self.kernel.kind}"

    def identity(self, entrant: Entrant) -> dict[str, Any] | None:
        architecture = self.kernel.architecture.to_metadata()
        if architecture == {"name": "custom"}:  # functions
            return None
        return {"ridge regression": architecture, "kernel": self.kernel.kind} | (
            {"images": self.images(entrant)} if entrant.whole else {}
        )

    def check(self, entrant: Entrant) -> None:
        if len(self.kernel.members) > 1:
            names = [member.architecture.name for member in self.kernel.members]
            raise InputError(
                f"ridge regression takes a kernel of one architecture; got a mixture of {names}: "
                "give its members"
            )
        self.kernel.architecture.check_images(entrant.data.image_shape)

    def images(self, entrant: Entrant) -> int:
        if not entrant.whole:
            return entrant.images
        data = entrant.data
        cheap = isinstance(self.kernel.architecture, FullyConnected)
        scarcest = np.bincount(data.train.labels, minlength=data.num_classes).min()
        most = _CEILING if cheap else _CONVOLUTIONAL_CEILING
        return int(min(scarcest, max(1, most // data.num_classes))) * data.num_classes

    def measure(self, entrant: Entrant, *, seeds: int, key: PRNGKeyArray) -> Outcome:
        test = entrant.data.test
        if not entrant.baseline:
            return Outcome((evaluate(entrant.draw(0), test, kernel=self.kernel).accuracy,))
        if entrant.whole:
            per_class = self.images(entrant) // entrant.data.num_classes
            sets = [baseline("random", entrant.data, images_per_class=per_class, key=key)]
        else:
            sets = [entrant.draw(number) for number in range(seeds if entrant.drawn else 1)]

        def accuracy(each: Distilled) -> float:
            given = each.images, each.labels
            return measure(self.kernel, *given, test, ridge=RIDGE, precision="float64").accuracy

        return Outcome(tuple(map(accuracy, sets)))


@dataclass(frozen=True)
class Training(Door):
    """Training a network; of all training images in batches, five times through at least.

    Settings are chosen once for all seeds, of a set that is drawn on its first draw, and are given
    up for those of a lower factor where any of the seeds diverges: for each set alike.
    """

    network: Network
    settings: TrainingSettings

    @property
    def name(self) -> str:
        return self.network.label

    def identity(self, entrant: Entrant) -> dict[str, Any]:
        return {
            "network": self.network.to_metadata(),
            "training": asdict(self._settings(entrant)),
        }

    def check(self, entrant: Entrant) -> None:
        check_training(self.network, entrant.data, entrant.images, settings=self._settings(entrant))

    def measure(self, entrant: Entrant, *, seeds: int, key: PRNGKeyArray) -> Outcome:
        search_key, key = jax.random.split(key)
        settings = self._settings(entrant)
        first = entrant.draw(0)
        ranked, _ = search(
            self.network,
            first.images,
            first.labels,
            settings=settings,
            validation=entrant.data.validation,
            key=search_key,
        )

        def trained(number: int, chosen: TrainingSettings, **options: Any) -> Transfer:
            distilled = entrant.draw(number)
            return transfer(self.network, distilled, entrant.data, settings=chosen, **options)

        def all_seeds(chosen: TrainingSettings) -> list[Transfer]:
            if not entrant.drawn:
                return [trained(0, chosen, seeds=seeds, key=key)]
            keys = jax.random.split(key, seeds)
            return [trained(number, chosen, seeds=1, key=keys[number]) for number in range(seeds)]

        found = first_sound(ranked, all_seeds)
        rates = [float(rate) for result in found for rate in result.learning_rates]
        return Outcome(
            tuple(float(each) for result in found for each in result.accuracies),
            {**chosen_of(found[0].settings), "learning_rates": rates},
        )

    def _settings(self, entrant: Entrant) -> TrainingSettings:
        if not entrant.whole:
            return self.settings
        steps = math.ceil(_EPOCHS * entrant.images / self.settings.batch_size)
        return replace(self.settings, steps=max(self.settings.steps, steps))


@dataclass(frozen=True)
class NearestNeighbour(Door):
    """The nearest image of the set."""

    @property
    def name(self) -> str:
        return "nearest neighbour"

    def identity(self, entrant: Entrant) -> dict[str, Any]:
        return {"nearest neighbour": "euclidean"}

    def admits(self, entrant: Entrant) -> bool:
        return entrant.classifies

    def check(self, entrant: Entrant) -> None:
        pass

    def measure(self, entrant: Entrant, *, seeds: int, key: PRNGKeyArray) -> Outcome:
        draws = map(entrant.draw, range(seeds))
        return Outcome(tuple(nearest_neighbour(each, entrant.data) for each in draws))
