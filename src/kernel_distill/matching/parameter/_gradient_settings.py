"""The settings of gradient matching, for Python and the command line alike."""

from dataclasses import dataclass

from kernel_distill._errors import InputError
from kernel_distill._settings import check_positive, check_positive_finite
from kernel_distill.matching._settings import MatchingSettings


@dataclass(frozen=True)
class GradientSettings(MatchingSettings):
    """Gradient matching.

    Raises:
        InputError: a value is out of range, or a name is unknown; before any work.
    """

    learning_rate: float = 0.1
    """Of the images (the peak, where the schedule has one)."""

    optimizer: str = "sgd"
    """Any optimiser of optax that needs a gradient and a learning rate: adam, sgd, lion, ..."""

    updates_a_network: int = 1
    """Outer steps by one network, before a fresh one is drawn; with 1 it is not trained, and the
    settings of its training do nothing. The paper takes 1 for one image a class, 10 for 10, 50 for
    50."""

    network_steps: int = 1
    """By how many steps the network is trained on the distilled images between two outer steps.
    The paper takes 50 epochs for 10 images a class, 10 for 50."""

    network_learning_rate: float = 0.01
    """The learning rate of these steps."""

    network_batch_size: int = 256
    """Distilled images of each of these steps: all, where there are no more."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "updates_a_network", "network_steps", "network_batch_size")
        check_positive_finite(self, "network_learning_rate")
        if self.learn_labels:
            raise InputError(
                "gradient matching goes class by class, and an image has one: its labels stay "
                "fixed. Leave learn_labels out; matching trajectories can learn them"
            )
