"""Distribution matching: the classes' mean embeddings are those of the natural images."""

from kernel_distill.matching.distribution._distribution import Distribution as Distribution
from kernel_distill.matching.distribution._settings import (
    DistributionSettings as DistributionSettings,
)
