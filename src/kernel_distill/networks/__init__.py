"""Networks of finite width, of the same architectures as the kernels."""

from kernel_distill.networks._random_features import random_features as random_features
