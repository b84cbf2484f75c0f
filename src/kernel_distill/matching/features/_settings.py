"""What neural feature regression can be told."""

from dataclasses import dataclass
from math import inf

from kernel_distill._errors import InputError
from kernel_distill._settings import check_positive, check_positive_finite
from kernel_distill.matching._settings import MatchingSettings


@dataclass(frozen=True)
class FeaturesSettings(MatchingSettings):
    """The pool, its training and the ridge are those of Zhou et al. 2022.

    Raises:
        InputError: a value is out of range.
    """

    steps: int = 5000
    batch_size: int = 1024
    learn_labels: bool = True

    pool: int = 10
    """Networks in training, of which a step draws one."""

    pool_steps: int = 100
    """Steps that a network is trained for before a fresh one takes its place."""

    pool_learning_rate: float = 3e-4
    """Of the networks of the pool (Adam)."""

    ridge: float = 1e-6
    """Of the regression on the features: times the mean of the kernel's diagonal."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "pool", "pool_steps")
        check_positive_finite(self, "pool_learning_rate")
        if not 0 <= self.ridge < inf:
            raise InputError(f"ridge must be 0 or more, and finite; got {self.ridge}")
