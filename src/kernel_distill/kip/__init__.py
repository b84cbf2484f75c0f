"""Kernel Inducing Points."""

from kernel_distill._optimizers import SCHEDULES as SCHEDULES
from kernel_distill._optimizers import optimizer_names as optimizer_names
from kernel_distill.kip._distill import distill as distill
from kernel_distill.kip._estimate import estimate as estimate
from kernel_distill.kip._settings import Settings as Settings
