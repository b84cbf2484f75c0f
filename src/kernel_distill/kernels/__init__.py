"""Architectures, their kernels at infinite width, and kernel ridge regression."""

from kernel_distill.kernels._architectures import NAMES as NAMES
from kernel_distill.kernels._architectures import Architecture as Architecture
from kernel_distill.kernels._architectures import ConvNet as ConvNet
from kernel_distill.kernels._architectures import FullyConnected as FullyConnected
from kernel_distill.kernels._architectures import Myrtle as Myrtle
from kernel_distill.kernels._architectures import from_metadata as from_metadata
from kernel_distill.kernels._architectures import named as named
from kernel_distill.kernels._convolutional import ConvolutionalKernel as ConvolutionalKernel
from kernel_distill.kernels._kernel import Kernel as Kernel
from kernel_distill.kernels._kernel import Settled as Settled
from kernel_distill.kernels._kernel import check_finite as check_finite
from kernel_distill.kernels._layers import Activation as Activation
from kernel_distill.kernels._layers import AveragePooling as AveragePooling
from kernel_distill.kernels._layers import Convolution as Convolution
from kernel_distill.kernels._layers import Dense as Dense
from kernel_distill.kernels._layers import Flatten as Flatten
from kernel_distill.kernels._layers import Layer as Layer
from kernel_distill.kernels._mixture import mixture as mixture
from kernel_distill.kernels._neural_tangents_import import neural_tangents as neural_tangents
from kernel_distill.kernels._ridge import UNSTABLE as UNSTABLE
from kernel_distill.kernels._ridge import RidgeRegression as RidgeRegression
from kernel_distill.kernels._ridge import fit as fit
from kernel_distill.kernels._ridge import ridge_regression as ridge_regression
from kernel_distill.kernels._rows import Rows as Rows
from kernel_distill.kernels._stax import from_stax as from_stax
