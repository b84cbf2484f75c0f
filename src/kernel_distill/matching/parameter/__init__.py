"""Matching what networks learn: the gradients that images give, and the way of their training."""

from kernel_distill.matching.parameter._distance import gradient_distance as gradient_distance
from kernel_distill.matching.parameter._gradient import Gradient as Gradient
from kernel_distill.matching.parameter._gradient_settings import (
    GradientSettings as GradientSettings,
)
