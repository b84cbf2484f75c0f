"""Networks of finite width: twins of the kernels' architectures, and the field's own."""

from kernel_distill.networks._empirical_ntk import empirical_ntk as empirical_ntk
from kernel_distill.networks._finite import finite as finite
from kernel_distill.networks._networks import EVALUATION as EVALUATION
from kernel_distill.networks._networks import NAMES as NAMES
from kernel_distill.networks._networks import Network as Network
from kernel_distill.networks._networks import named as named
from kernel_distill.networks._networks import twin as twin
from kernel_distill.networks._random_features import random_features as random_features
