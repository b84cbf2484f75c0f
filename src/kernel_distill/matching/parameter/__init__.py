"""Matching what networks learn: the gradients that images give, and the way of their training."""

from kernel_distill.matching.parameter._distance import gradient_distance as gradient_distance
from kernel_distill.matching.parameter._distance import trajectory_distance as trajectory_distance
from kernel_distill.matching.parameter._experts import Experts as Experts
from kernel_distill.matching.parameter._experts import train_experts as train_experts
from kernel_distill.matching.parameter._gradient import Gradient as Gradient
from kernel_distill.matching.parameter._gradient_settings import (
    GradientSettings as GradientSettings,
)
from kernel_distill.matching.parameter._trajectory import Trajectory as Trajectory
from kernel_distill.matching.parameter._trajectory_settings import (
    TrajectorySettings as TrajectorySettings,
)
