"""How a network is trained on a distilled set, for Python and the command line alike."""

from dataclasses import dataclass
from math import inf
from typing import Literal

from kernel_distill._errors import InputError, unknown_name
from kernel_distill._settings import check_positive, make_tuples
from kernel_distill.data import check_augmentations


@dataclass(frozen=True)
class TrainingSettings:
    """How to train. The defaults follow the finite networks of Nguyen et al. 2021b (momentum 0.9,
    cosine, batches of 100, L2 1e-3), in fewer steps than their 5,000.

    Raises:
        InputError: a value is out of range, or a name is unknown; before any work.
    """

    loss: Literal["mse", "cross_entropy"] = "mse"
    """Half the mean squared error on the centred labels; or the cross-entropy with the
    distributions that they stand for: 1/C is added, what is negative becomes 0, and each row is
    divided by its sum."""

    optimizer: Literal["momentum", "adam"] = "momentum"
    """Stochastic gradient descent with momentum 0.9, or Adam."""

    schedule: Literal["cosine", "constant"] = "cosine"
    """How the learning rate goes on."""

    steps: int = 300
    """Steps of the optimiser; the state after the last one counts."""

    batch_size: int = 100
    """Images a step: all, where there are no more; else the next of a permutation, drawn anew when
    less than a batch of it is left."""

    factor: tuple[float, ...] = (1.0,)
    """The learning rate is this times the largest stable one. Of several, the best on validation
    images is taken."""

    learning_rate: float | None = None
    """The learning rate itself, in place of the factor, which then does nothing. Adam needs one."""

    l2: tuple[float, ...] = (1e-3,)
    """Half of this times the sum of squares of all parameters is added to the loss. Of several, the
    best on validation images is taken."""

    label_scale: tuple[float, ...] = (1.0,)
    """The centred labels are multiplied by it: the larger they are, the less of what a network says
    before it is trained is left in the end. Of several, the best on validation images is taken."""

    augment: tuple[str, ...] = ()
    """What is done at random to the distilled images at every step: flip, shift, rotate, crop,
    scale, colour, cutout."""

    validation_images: int = 500
    """Held-out images on which the curve is measured and settings are chosen."""

    def __post_init__(self) -> None:
        make_tuples(self, "factor", "l2", "label_scale", "augment")
        if self.learning_rate is not None:
            object.__setattr__(self, "factor", (1.0,))  # there is nothing to choose
        for name, known in (
            ("loss", ("mse", "cross_entropy")),
            ("optimizer", ("momentum", "adam")),
            ("schedule", ("cosine", "constant")),
        ):
            if (value := getattr(self, name)) not in known:
                raise unknown_name(name, value, known)
        check_positive(self, "steps", "batch_size", "validation_images")
        check_augmentations(self.augment)
        for name in ("factor", "l2", "label_scale"):
            if not getattr(self, name):
                raise InputError(f"{name} needs one value at least; got none")
        for name in ("factor", "label_scale"):
            values = getattr(self, name)
            if not all(0 < value < inf for value in values):
                raise InputError(f"{name} must be positive and finite; got {values}")
        if not all(0 <= value < inf for value in self.l2):
            raise InputError(f"l2 must be 0 or more, and finite; got {self.l2}")
        if self.learning_rate is not None and not 0 < self.learning_rate < inf:
            raise InputError(f"learning_rate must be positive and finite; got {self.learning_rate}")
        if self.optimizer == "adam" and self.learning_rate is None:
            raise InputError(
                "the largest stable rate is that of gradient descent, and says nothing of Adam: "
                "give a learning_rate with it, 0.001 for example"
            )
