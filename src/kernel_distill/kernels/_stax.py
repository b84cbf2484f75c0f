"""Kernels computed by neural-tangents: any architecture, and a user's own network."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kernel_distill.kernels._architectures import Architecture
from kernel_distill.kernels._kernel import Kernel, KernelKind, check_kind
from kernel_distill.kernels._layers import Activation, AveragePooling, Convolution, Dense, Flatten
from kernel_distill.kernels._neural_tangents_import import neural_tangents


@dataclass(frozen=True)
class CustomArchitecture:
    """A network given by the three functions of `neural_tangents.stax`."""

    init_fn: Callable[..., Any]
    apply_fn: Callable[..., Any]
    kernel_fn: Callable[..., Any]

    name = "custom"

    def check_images(self, shape: tuple[int, ...]) -> None:
        """Any shape is passed on: stax says what does not fit."""

    def to_metadata(self) -> dict[str, Any]:
        """Functions cannot be written to a file: artefacts say "custom"."""
        return {"name": self.name}


@dataclass(frozen=True)
class StaxKernel(Kernel):
    """A kernel that neural-tangents computes.

    For convolutional architectures it holds the covariance of all pairs of pixels, layer by
    layer: 4 MiB for one pair of 32x32 images.
    """

    architecture: Architecture | CustomArchitecture

    def cross(
        self, x1: Float[Array, "n1 *shape"], x2: Float[Array, "n2 *shape"]
    ) -> Float[Array, "n1 n2"]:
        if x1.ndim < 4 or (rows := _rows_a_block(x1, len(x2))) >= len(x1):
            return self._kernel_fn(x1, x2, self.kind)
        # block by block, and again in the backward pass: memory stays that of one block
        padding = -len(x1) % rows
        padded = jnp.concatenate([x1, jnp.repeat(x1[-1:], padding, axis=0)])
        block = jax.checkpoint(lambda images: self._kernel_fn(images, x2, self.kind))
        blocks = jax.lax.map(block, padded.reshape(-1, rows, *x1.shape[1:]))
        return blocks.reshape(-1, len(x2))[: len(x1)]

    def of_self(self, x: Float[Array, "n *shape"]) -> Float[Array, "n n"]:
        return self._kernel_fn(x, None, self.kind)

    @property
    def _kernel_fn(self) -> Callable[..., Any]:
        if isinstance(self.architecture, CustomArchitecture):
            return self.architecture.kernel_fn
        return stax_network(self.architecture)[2]


def _rows_a_block(x1: Float[Array, "n1 height width channel"], columns: int) -> int:
    """How many rows of a block keep the covariances of all pixel pairs within a budget."""
    budget = 2**29
    pixels = x1.shape[1] * x1.shape[2]
    return max(1, budget // (columns * pixels**2 * x1.dtype.itemsize))


@functools.cache
def stax_network(architecture: Architecture) -> tuple[Callable[..., Any], ...]:
    """(init_fn, apply_fn, kernel_fn) of an architecture, in the NTK parameterisation."""
    stax = neural_tangents().stax
    gaussian = {"W_std": architecture.w_std, "b_std": architecture.b_std}
    activations = {
        "relu": stax.Relu,
        "erf": stax.Erf,
        "gelu": functools.partial(stax.Gelu, approximate=False),
    }
    width = 512  # of no consequence to the kernel
    layers = []
    for layer in architecture.layers:
        match layer:
            case Dense():
                layers.append(stax.Dense(width, **gaussian))
            case Convolution(size=size):
                layers.append(stax.Conv(width, (size, size), padding="SAME", **gaussian))
            case Activation(name=name):
                layers.append(activations[name]())
            case AveragePooling(size=size):
                layers.append(stax.AvgPool((size, size), strides=(size, size)))
            case Flatten():
                layers.append(stax.Flatten())
    return stax.serial(*layers)


def from_stax(
    init_fn: Callable[..., Any],
    apply_fn: Callable[..., Any],
    kernel_fn: Callable[..., Any],
    *,
    kind: KernelKind = "ntk",
) -> Kernel:
    """The kernel of a user's own network, as `neural_tangents.stax.serial` returns it.

    `kernels.neural_tangents()` gives the library itself, imported so that it works on today's
    JAX:

        stax = kernels.neural_tangents().stax
        kernel = kernels.from_stax(*stax.serial(stax.Flatten(), stax.Dense(1)))

    Raises:
        UnknownNameError: `kind` is neither "ntk" nor "nngp".
    """
    check_kind(kind)
    return StaxKernel(CustomArchitecture(init_fn, apply_fn, kernel_fn), kind)
