"""How unrolled training distils."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from kernel_distill._errors import InputError, unknown_name
from kernel_distill._settings import check_positive, check_positive_finite, make_tuples
from kernel_distill.matching._settings import MatchingSettings
from kernel_distill.matching.performance._initial import INITIALISERS


@dataclass(frozen=True)
class UnrolledSettings(MatchingSettings):
    """What to distil, and how networks learn from it.

    `images_per_class` and `support_size` count the images of all distilled steps together: step t
    of S takes the rows t, t + S, t + 2 S, ... of the support, which is sorted by class.
    `augment` changes the natural images alone: networks take the distilled steps as they are, and
    `training_augment` and `training_steps` are nothing to this method.

    Raises:
        InputError: a value is out of range, or a name is unknown; before any work.
    """

    unused: ClassVar[tuple[str, ...]] = ("training_augment", "training_steps")

    learning_rate: float = 0.03

    schedule: str = "cosine"

    batch_size: int = 500

    distilled_steps: int = 1
    """Steps of gradient descent, each on its own images."""

    epochs: int = 1
    """How often a network goes through the distilled steps; each time at rates of its own."""

    initialisation: Literal["fixed", "random"] = "fixed"
    """Whether the images are for one network's weights before training, or for any that are drawn
    anew at every outer step."""

    initialisations: int = 4
    """Of random weights, how many an outer step draws; its gradient is the mean of theirs. Nothing
    to fixed ones, which are one network, in training and in the test."""

    initialiser: Literal["xavier", "network"] = "xavier"
    """How untrained weights are drawn: normal with variance 2 / (fan-in + fan-out), biases zero, as
    in the paper; or as the network draws its own. PyTorch's default, which most networks here have,
    is so small in dense layers that the first of a few steps hardly moves them."""

    weights: str | None = None
    """A file of trained weights, from `matching.performance.pretrain`, to begin with in place of
    untrained ones: a fixed initialisation is the first of them, random ones are all but the last
    `test_networks`, which test the result (a quarter, where there are fewer than four times as
    many)."""

    others: tuple[str, ...] = ()
    """Names of further networks that the images are distilled for at the same time, with the width
    of the first where they have one."""

    inner_learning_rate: float = 0.1
    """Of the distilled steps, before it is learned: the less, the more steps there are. LeNet does
    well from 0.02 in 30 of them, and wants 0.1 or more in one."""

    rate_learning_rate: float = 0.01
    """Of the learned rates: of r, where the rate is log(1 + e^r)."""

    mislead: tuple[int, int] | None = None
    """A test of robustness, and no way to make data for training: two classes, an attacked one and
    another. The images are distilled to have a network take the first for the second, and all
    others for what they are; accuracies of the run count that as right. With `weights` of a trained
    network it shows how much harm one step on foreign data does (Wang et al. 2018, section 4.3)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        make_tuples(self, "others", "mislead")
        for name, known in (("initialisation", ("fixed", "random")), ("initialiser", INITIALISERS)):
            if (value := getattr(self, name)) not in known:
                raise unknown_name(name, value, known)
        check_positive(self, "distilled_steps", "epochs", "initialisations")
        check_positive_finite(self, "inner_learning_rate", "rate_learning_rate")
        if self.weights and self.others:
            raise InputError(
                "a file of weights is of one network; got weights and "
                f"others={self.others}: leave one of them out"
            )
        if self.mislead is not None and (len(self.mislead) != 2 or len(set(self.mislead)) != 2):
            raise InputError(f"mislead must be two different classes; got {self.mislead}")
