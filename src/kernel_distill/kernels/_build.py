"""From an architecture to the implementation of its kernel."""

from kernel_distill._errors import InputError, unknown_name
from kernel_distill.kernels._architectures import Architecture, FullyConnected, Implementation
from kernel_distill.kernels._convolutional import ConvolutionalKernel
from kernel_distill.kernels._fully_connected import FullyConnectedKernel
from kernel_distill.kernels._kernel import Kernel, KernelKind, check_kind
from kernel_distill.kernels._levels import has_levels
from kernel_distill.kernels._stax import StaxKernel


def build_kernel(
    architecture: Architecture, kind: KernelKind, implementation: Implementation
) -> Kernel:
    """See `Architecture.kernel`."""
    check_kind(kind)
    if implementation not in ("auto", "exact", "neural_tangents"):
        raise unknown_name("implementation", implementation, ("auto", "exact", "neural_tangents"))
    if implementation != "neural_tangents":
        if isinstance(architecture, FullyConnected) and _is_plain(architecture):
            return FullyConnectedKernel(architecture, kind)
        if has_levels(architecture.layers):
            return ConvolutionalKernel(architecture, kind)
    if implementation == "exact":
        raise InputError(
            f"there is no exact form of {architecture.name} here: it takes fully connected layers, "
            "or 3x3 convolutions, each with the same activation right after it, then poolings, and "
            'one Flatten and one Dense at the end. Take implementation="neural_tangents", or '
            '"auto", which falls back on it'
        )
    return StaxKernel(architecture, kind)


def _is_plain(architecture: FullyConnected) -> bool:
    """Whether the layers are those of a `FullyConnected`: a subclass may have others."""
    plain = FullyConnected(depth=architecture.depth, activation=architecture.activation)
    return architecture.layers == plain.layers
