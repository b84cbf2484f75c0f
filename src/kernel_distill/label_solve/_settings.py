"""The settings of Label Solve, for Python and the command line alike."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar, Literal

from kernel_distill._errors import InputError, unknown_name


@dataclass(frozen=True)
class Settings:
    """What to solve for; the fields are the arguments of `label_solve.distill`.

    Raises:
        InputError: a value is out of range, or a name is unknown; before any work.
    """

    default_images_per_class: ClassVar[int] = 10

    images_per_class: int | None = None
    """Images of each class; by default 10, unless the support size is given."""

    support_size: int | None = None
    """Images in all, instead of the images per class."""

    balanced: bool = True
    """Whether the images are drawn class by class, or from the training set at random."""

    ridge: float = 1e-6
    """Regularisation: the solve uses K_ss + ridge * trace(K_ss)/s * I."""

    block_size: int = 5000
    """Natural images whose kernel with the support is in memory at a time."""

    precision: Literal["float32", "float64"] = "float32"
    """Of the kernel blocks; the solve is float64 in any case."""

    def __post_init__(self) -> None:
        if self.images_per_class is not None and self.support_size is not None:
            raise InputError(
                "images_per_class and support_size say the same thing twice; got "
                f"{self.images_per_class} and {self.support_size}: give one of them"
            )
        if self.precision not in ("float32", "float64"):
            raise unknown_name("precision", self.precision, ("float32", "float64"))
        for name in ("images_per_class", "support_size", "block_size"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"{name} must be 1 or more; got {value}")
        if not 0 <= self.ridge < inf:
            raise InputError(f"ridge must be 0 or more, and finite; got {self.ridge}")
