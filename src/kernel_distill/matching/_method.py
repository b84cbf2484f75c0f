"""What tells a method whose inner learner is a finite network from others; the rest is common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from kernel_distill._settings import Report
from kernel_distill.data import ClassBalanced, Dataset, Split
from kernel_distill.matching._evaluation import CROSS_ENTROPY, accuracies_of_training
from kernel_distill.matching._settings import MatchingSettings
from kernel_distill.transfer import Model, TrainingSettings

Support = dict[str, Float[Array, "..."]]
"""What an outer step may move, by name: "images" [s, *shape], "labels" [s, class], and what a
method learns besides; float32."""

SettingsType = TypeVar("SettingsType", bound=MatchingSettings)


class Found(NamedTuple):
    """What an outer step found.

    Attributes:
        gradient: of the loss, by the names of what is learned.
        memory: of the method, now.
        metrics: what the step is logged with: "loss" at least, [] each.
    """

    gradient: Support
    memory: Any
    metrics: dict[str, Float[Array, ""]]


class Method(ABC, Generic[SettingsType]):
    """A method of a run: where the gradient of an outer step comes from.

    An outer step is `gradient`, an update of the optimiser, and `after`. All three depend on the
    state that is handed to them and on the key of the step alone, so that a run that was stopped
    goes on to the same bits.

    Attributes:
        name: of the method, as the command line takes it.
        settings_type: the dataclass of its settings.
        training: how networks are trained to test it.
        validation_networks: how many are, in the course of a run, to choose the best state by.
        likely_cause: why a loss may not be finite, besides learning rates of the support.
        model: the network, as a function of its parameters.
        data: what is distilled.
        settings: of the method.
        key: the randomness of what stays the same throughout the run.
        images: the training images on the device, [n, *shape].
    """

    name: ClassVar[str]
    settings_type: ClassVar[type[MatchingSettings]]
    training: ClassVar[TrainingSettings] = CROSS_ENTROPY
    validation_networks: ClassVar[int] = 1
    likely_cause: ClassVar[str] = "the network's training diverged"

    def __init__(
        self, model: Model, data: Dataset, settings: SettingsType, key: PRNGKeyArray
    ) -> None:
        self.model, self.data, self.settings, self.key = model, data, settings, key
        self.images = jnp.asarray(data.train.images)
        self._balanced = ClassBalanced(data.train)

    @property
    def learners(self) -> str:
        """The networks whose mean accuracy `accuracies` leads to, for people."""
        return self.model.network.label

    @property
    def rests_on(self) -> str:
        """What `prepare` has made or found, for people; empty where it is nothing."""
        return ""

    def batch(self, key: PRNGKeyArray, size: int | None = None) -> Int[np.ndarray, "t"]:
        """Rows of natural images, as many of each class as of any other.

        Args:
            key: the randomness of the draw.
            size: how many; by default `batch_size`, or all where there are no more.
        """
        if size is None:
            size = min(self.settings.batch_size, len(self.data.train))
        return self._balanced.draw(key, size)

    def prepare(self, report: Report | None) -> None:
        """What has to be there before the first step, such as networks trained on natural images.

        A run that goes on calls it too: what is there is not made again.

        Args:
            report: called as it goes on.

        Raises:
            InputError: what is there is of another network or other data.
            NumericalError: a training diverged.
            StorageError: a file could not be written.
        """
        del report

    def support(self, images: Float[Array, "s *shape"], labels: Float[Array, "s class"]) -> Support:
        """What there is before the first step.

        Args:
            images: the first ones, sorted by class.
            labels: their labels, centred.
        """
        return {"images": images, "labels": labels}

    def learning_rates(self) -> dict[str, float]:
        """Of the optimiser, for each part of the support that is learned."""
        rates = {"images": self.settings.learning_rate}
        if self.settings.learn_labels:
            rates["labels"] = self.settings.label_learning_rate
        return rates

    def memory(self, support: Support, *, key: PRNGKeyArray) -> Any:
        """What the method carries from step to step, before the first: a tree of arrays and keys.

        It is kept in checkpoints. Nothing, unless the method trains networks as it goes.
        """
        del support, key
        return {}

    @abstractmethod
    def gradient(self, support: Support, memory: Any, *, step: int, key: PRNGKeyArray) -> Found:
        """Of the loss of an outer step.

        Args:
            support: what there is now.
            memory: as `memory` or the last `after` left it.
            step: its number, from 0.
            key: the randomness of this step.
        """

    def after(self, support: Support, memory: Any, *, step: int, key: PRNGKeyArray) -> Any:
        """The memory after the update: networks in training go on with the new support.

        Args:
            support: after the update.
            memory: as `gradient` left it.
            step: the number of the step that was done.
            key: randomness apart from that of `gradient`.
        """
        del support, step, key
        return memory

    def accuracies(
        self, support: Support, splits: Sequence[Split], *, networks: int, key: PRNGKeyArray
    ) -> Float[np.ndarray, "split network"]:
        """What the support teaches, as a fraction of each split, by each of several networks.

        Raises:
            NumericalError: the trainings diverged.
        """
        return accuracies_of_training(
            self.model,
            support,
            splits,
            settings=self.settings,
            training=self.training,
            networks=networks,
            key=key,
        )

    def metadata(self, support: Support) -> dict[str, Any]:
        """What an artefact says besides of how to use the support; goes into JSON."""
        del support
        return {}
