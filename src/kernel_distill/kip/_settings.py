"""The settings of a KIP run, for Python and the command line alike."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from kernel_distill._errors import InputError
from kernel_distill._optimizers import check_optimizer
from kernel_distill._settings import (
    check_common,
    check_positive,
    check_positive_finite,
    check_start,
)
from kernel_distill.data import check_augmentations


@dataclass(frozen=True)
class Settings:
    """What to distil and how; the fields are the arguments of `kip.distill`.

    Raises:
        InputError: a value is out of range, or a name is unknown; before any work.
    """

    default_images_per_class: ClassVar[int] = 1

    images_per_class: int | None = None
    """Images of each class; by default 1, unless the support size is given."""

    support_size: int | None = None
    """Images in all, instead of the images per class: as many of each class as of any other, and
    one more of some where that leaves a rest."""

    steps: int = 800
    """Steps of the optimiser."""

    learning_rate: float = 0.01
    """Its learning rate (the peak, where the schedule has one)."""

    optimizer: str = "adam"
    """Any optimiser of optax that needs a gradient and a learning rate: adam, sgd, lion, ..."""

    schedule: str = "constant"
    """How the learning rate goes on: constant, cosine, linear, exponential, warmup_cosine,
    one_cycle."""

    batch_size: int = 5000
    """Natural images that the support must predict, drawn anew at every step, as many of each
    class as of any other; at most the training set."""

    ridge: float = 1e-6
    """Regularisation: the solve uses K_ss + ridge * trace(K_ss)/s * I."""

    learn_images: bool = True
    """Whether the images are learned."""

    learn_labels: bool = True
    """Whether the labels are learned."""

    label_solve_rate: float = 0.0
    """How the labels are learned: 0, by the optimiser, as in the papers; above, they move at every
    step this part of the way (less as the schedule goes down, at most all of it: 1) to those that
    are the best for the batch, in closed form. On CIFAR-10, 100 images, 0.3 halved the steps."""

    start: Literal["real", "herding", "noise"] = "real"
    """The first support: images of the training set, drawn at random; those near the mean of their
    class, one after the other (Welling 2009); or Gaussian noise of the magnitude of real ones."""

    augment: tuple[str, ...] = ()
    """What is done at random to the natural images of a batch: flip, shift, rotate, crop, scale,
    colour, cutout. Whitened images have no colour to change: leave it out with zca."""

    augment_fraction: float = 1.0
    """The fraction of the batches that are augmented."""

    corruption: float = 0.0
    """The fraction of each support image's pixels that stay at random noise for good."""

    precision: Literal["float32", "float64"] = "float32"
    """Of the kernel blocks; the solve is float64 in any case."""

    patience: int | None = None
    """Stop after so many validations without a better accuracy; by default never."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "augment", tuple(self.augment))  # a list, from YAML or a user
        check_common(self)
        check_optimizer(self.optimizer, schedule=self.schedule)
        check_augmentations(self.augment)
        check_start(self)
        if not (self.learn_images or self.learn_labels):
            raise InputError("nothing is learned: learn_images and learn_labels are both off")
        if self.label_solve_rate and not self.learn_labels:
            raise InputError(
                f"label_solve_rate={self.label_solve_rate} asks for learned labels, and "
                "learn_labels is off: leave one of them out"
            )
        check_positive(self, "batch_size", "patience")
        if self.steps < 0:
            raise InputError(f"steps must not be negative; got {self.steps}")
        check_positive_finite(self, "learning_rate")
        for name in ("label_solve_rate", "augment_fraction", "corruption"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise InputError(f"{name} must lie between 0 and 1; got {value}")
