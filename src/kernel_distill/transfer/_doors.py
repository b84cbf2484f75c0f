"""The doors that every set goes through to its accuracy on the test set."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from kernel_distill._errors import NumericalError
from kernel_distill.evaluation import evaluate, measure
from kernel_distill.kernels import FullyConnected, Kernel
from kernel_distill.networks import Network
from kernel_distill.transfer._baselines import baseline, nearest_neighbour
from kernel_distill.transfer._entrants import Entrant
from kernel_distill.transfer._settings import TrainingSettings
from kernel_distill.transfer._transfer import transfer

_CEILING, _CONVOLUTIONAL_CEILING = 5000, 200  # images whose kernel takes seconds, or minutes
_RIDGE = 1e-6
_EPOCHS = 5  # through all training images, at least


class Door(ABC):
    """A column of the table."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its heading."""

    @abstractmethod
    def identity(self, entrant: Entrant) -> dict[str, Any]:
        """All that an accuracy depends on besides the entrant and the key."""

    def admits(self, entrant: Entrant) -> bool:
        return not entrant.classifies

    def images(self, entrant: Entrant) -> int:
        """How many of an entrant's images are learned from."""
        return entrant.images

    @abstractmethod
    def accuracies(self, entrant: Entrant, *, seeds: int, key: PRNGKeyArray) -> Sequence[float]:
        """On the test set, of each draw or seed: one where nothing is left to chance."""


@dataclass(frozen=True)
class RidgeRegression(Door):
    """Kernel ridge regression, with the ridge of the run; of baselines 1e-6.

    The solve is cubic in the images: of all training images it learns from as many as are
    feasible, drawn at random, as many of each class.
    """

    kernel: Kernel

    @property
    def name(self) -> str:
        return f"{self.kernel.architecture.name} {self.kernel.kind}"

    def identity(self, entrant: Entrant) -> dict[str, Any]:
        architecture = self.kernel.architecture.to_metadata()
        return {"ridge regression": architecture, "kernel": self.kernel.kind} | (
            {"images": self.images(entrant)} if entrant.name == "full" else {}
        )

    def images(self, entrant: Entrant) -> int:
        if entrant.name != "full":
            return entrant.images
        data = entrant.data
        cheap = isinstance(self.kernel.architecture, FullyConnected)
        scarcest = np.bincount(data.train.labels, minlength=data.num_classes).min()
        most = _CEILING if cheap else _CONVOLUTIONAL_CEILING
        return int(min(scarcest, max(1, most // data.num_classes))) * data.num_classes

    def accuracies(self, entrant: Entrant, *, seeds: int, key: PRNGKeyArray) -> Sequence[float]:
        test = entrant.data.test
        if entrant.name == "full":
            per_class = self.images(entrant) // entrant.data.num_classes
            part = baseline("random", entrant.data, images_per_class=per_class, key=key)
            # hundreds of images are too many for float32 and so small a ridge
            found = measure(
                self.kernel, part.images, part.labels, test, ridge=_RIDGE, precision="float64"
            )
            return [found.accuracy]
        return [
            evaluate(entrant.draw(number), test, kernel=self.kernel).accuracy
            for number in range(seeds if entrant.drawn else 1)
        ]


@dataclass(frozen=True)
class Training(Door):
    """Training a network; of all training images in batches, five times through at least.

    Where a training diverges, that of all seeds is begun again without the largest factor, until
    none is left.
    """

    network: Network
    settings: TrainingSettings

    @property
    def name(self) -> str:
        return " ".join(str(part) for part in (self.network.name, self.network.width) if part)

    def identity(self, entrant: Entrant) -> dict[str, Any]:
        network = {"name": self.network.name, "width": self.network.width}
        parameterization = getattr(self.network, "parameterization", "standard")
        return {
            "network": network | {"parameterization": parameterization},
            "training": asdict(self._settings(entrant)),
        }

    def accuracies(self, entrant: Entrant, *, seeds: int, key: PRNGKeyArray) -> Sequence[float]:
        def trained(number: int, *, seeds: int, key: PRNGKeyArray) -> list[float]:
            distilled, settings = entrant.draw(number), self._settings(entrant)
            while True:
                try:
                    found = transfer(
                        self.network, distilled, entrant.data, settings=settings, seeds=seeds,
                        key=key,
                    )  # fmt: skip
                    return found.accuracies.tolist()
                except NumericalError:
                    # the rate that was best for the seed of the search is too much for another;
                    # that shows in the loss, without a look at the test images
                    lower = sorted(settings.factor)[:-1]
                    if not lower:
                        raise
                    settings = replace(settings, factor=tuple(lower))

        if not entrant.drawn:
            return trained(0, seeds=seeds, key=key)
        keys = jax.random.split(key, seeds)
        return [trained(number, seeds=1, key=keys[number])[0] for number in range(seeds)]

    def _settings(self, entrant: Entrant) -> TrainingSettings:
        if entrant.name != "full":
            return self.settings
        epochs = _EPOCHS * entrant.images // self.settings.batch_size
        return replace(self.settings, steps=max(self.settings.steps, epochs))


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

    def accuracies(self, entrant: Entrant, *, seeds: int, key: PRNGKeyArray) -> Sequence[float]:
        return [nearest_neighbour(entrant.draw(number), entrant.data) for number in range(seeds)]
