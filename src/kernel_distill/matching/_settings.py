"""What the settings of all methods of matching have in common."""

from dataclasses import dataclass, fields
from typing import ClassVar, Literal

from kernel_distill._errors import InputError
from kernel_distill._optimizers import check_optimizer
from kernel_distill._settings import (
    check_positive,
    check_positive_finite,
    check_size,
    check_start,
    make_tuples,
)
from kernel_distill.data import check_augmentations


@dataclass(frozen=True)
class MatchingSettings:
    """What to distil and how, whatever the method. Methods have defaults of their own.

    Raises:
        InputError: a value is out of range, or a name is unknown; before any work.
    """

    default_images_per_class: ClassVar[int] = 1

    unused: ClassVar[tuple[str, ...]] = ()
    """Those that are nothing to a method, which would be said in vain."""

    images_per_class: int | None = None
    """Images of each class; by default 1, unless the support size is given."""

    support_size: int | None = None
    """Images in all, instead of the images per class: as many of each class as of any other, and
    one more of some where that leaves a rest."""

    steps: int = 1000
    """Outer steps: updates of the distilled images."""

    learning_rate: float = 0.01
    """Of the images (the peak, where the schedule has one)."""

    optimizer: str = "adam"
    """Any optimiser of optax that needs a gradient and a learning rate: adam, sgd, lion, ..."""

    schedule: str = "constant"
    """How the learning rates go on: constant, cosine, linear, exponential, warmup_cosine,
    one_cycle."""

    batch_size: int = 640
    """Natural images of an outer step, as many of each class as of any other; at most the training
    set."""

    learn_labels: bool = False
    """Whether the labels are learned too."""

    label_learning_rate: float = 0.01
    """Of the labels, where they are learned."""

    start: Literal["real", "herding", "noise"] = "real"
    """The first support: images of the training set, drawn at random; those near the mean of their
    class, one after the other (Welling 2009); or Gaussian noise of the magnitude of real ones."""

    augment: tuple[str, ...] = ()
    """What is done at random to images: flip, shift, rotate, crop, scale, colour, cutout. To
    natural and distilled ones alike (differentiable siamese augmentation); in unrolled training to
    natural ones alone, and in that of trajectories to each by a draw of its own."""

    validations: int = 5
    """How often networks are trained on the distilled images as they are then, to choose the best
    by validation images; 0: the last are the result."""

    test_networks: int = 5
    """How many networks of the kind are trained on the result, to test it."""

    training_steps: int = 300
    """Steps of each such training."""

    training_augment: tuple[str, ...] | None = None
    """What is done at random to the distilled images in these trainings; by default as augment."""

    def __post_init__(self) -> None:
        for each in fields(self):
            if each.name in self.unused and getattr(self, each.name) != each.default:
                raise InputError(
                    f"{each.name} has no effect on this method; got {getattr(self, each.name)}: "
                    "leave it out"
                )
        make_tuples(self, "augment", "training_augment")
        check_size(self)
        check_optimizer(self.optimizer, schedule=self.schedule)
        for names in (self.augment, self.training_augment or ()):
            check_augmentations(names)
        check_start(self)
        check_positive(self, "batch_size", "test_networks", "training_steps")
        for name in ("steps", "validations"):
            if (value := getattr(self, name)) < 0:
                raise InputError(f"{name} must not be negative; got {value}")
        check_positive_finite(self, "learning_rate", "label_learning_rate")
