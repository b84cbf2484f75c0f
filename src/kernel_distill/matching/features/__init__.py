"""Neural feature regression: ridge regression on the features of networks in training."""

from kernel_distill.matching.features._method import Features as Features
from kernel_distill.matching.features._settings import FeaturesSettings as FeaturesSettings
