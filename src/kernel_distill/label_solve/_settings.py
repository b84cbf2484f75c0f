"""The settings of Label Solve, for Python and the command line alike."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from kernel_distill._settings import check_common, check_positive


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
        check_common(self)
        check_positive(self, "block_size")
