"""Label Solve."""

from kernel_distill.label_solve._distill import distill as distill
from kernel_distill.label_solve._estimate import estimate as estimate
from kernel_distill.label_solve._settings import Settings as Settings
