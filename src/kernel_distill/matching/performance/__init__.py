"""Performance matching: the loss after training on the distilled images is differentiated."""

from kernel_distill.matching.performance._follow import Followed as Followed
from kernel_distill.matching.performance._follow import follow as follow
from kernel_distill.matching.performance._mislead import Harm as Harm
from kernel_distill.matching.performance._mislead import harm as harm
from kernel_distill.matching.performance._settings import UnrolledSettings as UnrolledSettings
from kernel_distill.matching.performance._unrolled import Unrolled as Unrolled
from kernel_distill.matching.performance._weights import pretrain as pretrain
from kernel_distill.matching.performance._weights import read_weights as read_weights
from kernel_distill.matching.performance._weights import save_weights as save_weights
