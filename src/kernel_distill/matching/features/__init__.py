"""Neural feature regression: ridge regression on the features of networks in training."""

from kernel_distill.matching.features._features import Features as Features
from kernel_distill.matching.features._settings import FeaturesSettings as FeaturesSettings
