"""Kernels computed by neural-tangents: any architecture, and a user's own network."""

import functools
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, assert_never

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kernel_distill._errors import InputError
from kernel_distill.kernels._architectures import Architecture
from kernel_distill.kernels._blocks import in_blocks
from kernel_distill.kernels._kernel import Kernel, KernelKind, check_kind
from kernel_distill.kernels._layers import Activation, AveragePooling, Convolution, Dense, Flatten
from kernel_distill.kernels._neural_tangents_import import neural_tangents


@dataclass(frozen=True)
class CustomArchitecture:
    """A network given by the three functions of `neural_tangents.stax`.

    Those are functions within functions, which compare by identity. Sent to another process it is
    one object there, however often it arrives: programs compiled for it serve again.
    """

    init_fn: Callable[..., Any]
    apply_fn: Callable[..., Any]
    kernel_fn: Callable[..., Any]

    name = "custom"

    def check_images(self, shape: tuple[int, ...]) -> None:
        """Any shape is passed on: stax says what does not fit."""

    def to_metadata(self) -> dict[str, Any]:
        """Functions cannot be written to a file: artefacts say "custom"."""
        return {"name": self.name}

    def __reduce__(self) -> tuple[Callable[[bytes], "CustomArchitecture"], tuple[bytes]]:
        return _revived, (self._pickled,)

    @functools.cached_property
    def _pickled(self) -> bytes:
        import cloudpickle

        return cloudpickle.dumps((self.init_fn, self.apply_fn, self.kernel_fn))


@functools.cache
def _revived(pickled: bytes) -> CustomArchitecture:
    neural_tangents()  # before the functions import it themselves, on a JAX that is not prepared
    return CustomArchitecture(*pickle.loads(pickled))  # from this project's own processes


# bytes of one covariance of a tile: neural-tangents holds about five of them at a time, and the
# gradient about fifteen
BUDGET = 2**28


@dataclass(frozen=True)
class StaxKernel(Kernel):
    """A kernel that neural-tangents computes.

    For convolutional architectures it holds the covariance of all pairs of pixels, layer by
    layer: 4 MiB for one pair of 32x32 images in float32. Larger blocks are computed tile by tile,
    and so are their gradients: memory stays that of one tile.

    In float32 the diagonal of the kernel of a set with itself comes out about 1e-5 too small (the
    angle of an image with itself is the square root of rounding): where the smallest eigenvalue
    is below 1e-5 of the mean diagonal, use float64.
    """

    architecture: Architecture | CustomArchitecture

    def cross(
        self, x1: Float[Array, "n1 *shape"], x2: Float[Array, "n2 *shape"]
    ) -> Float[Array, "n1 n2"]:
        pairs = self._pairs_a_tile(x1)
        if len(x1) * len(x2) <= pairs:
            return self._compute(x1, x2)
        # about square: each image's covariance with itself is computed once a tile
        columns = min(len(x2), max(1, math.isqrt(pairs)))
        rows = min(len(x1), max(1, pairs // columns))
        columns = min(len(x2), max(1, pairs // rows))
        tile = jax.checkpoint(self._compute)  # computed again in the backward pass
        return in_blocks(
            lambda some1: in_blocks(lambda some2: tile(some1, some2).T, x2, columns).T, x1, rows
        )

    def of_self(self, x: Float[Array, "n *shape"]) -> Float[Array, "n n"]:
        if len(x) ** 2 <= self._pairs_a_tile(x):
            return self._compute(x, None)
        block = self.cross(x, x)
        diagonal = in_blocks(jax.checkpoint(lambda one: self._compute(one, None)[0]), x, 1)
        return jnp.where(jnp.eye(len(x), dtype=bool), diagonal, (block + block.T) / 2)

    def _compute(
        self, x1: Float[Array, "n1 *shape"], x2: Float[Array, "n2 *shape"] | None
    ) -> Float[Array, "n1 n2"]:
        # neural-tangents computes in the widest type that JAX has switched on, not in that of the
        # images; and the default precision is TF32 on GPUs and bfloat16 on TPUs
        with jax.enable_x64(x1.dtype == jnp.float64), jax.default_matmul_precision("highest"):
            block = self._kernel_fn(x1, x2, self.kind)
        if block.ndim != 2:
            raise InputError(
                "a network must end in a readout, so that its kernel is [n1, n2]; got shape "
                f"{block.shape}. End it with stax.Flatten() or stax.GlobalAvgPool(), and stax.Dense"
            )
        return block

    def _pairs_a_tile(self, x: Float[Array, "n *shape"]) -> int:
        """How many pairs of images keep their covariances within the budget."""
        pixels = math.prod(x.shape[1:-1])
        if not isinstance(self.architecture, CustomArchitecture) and not any(
            isinstance(layer, AveragePooling) for layer in self.architecture.layers
        ):
            return max(1, BUDGET // (pixels * x.dtype.itemsize))  # pairs of equal pixels only
        return max(1, BUDGET // (pixels**2 * x.dtype.itemsize))

    @property
    def _kernel_fn(self) -> Callable[..., Any]:
        if isinstance(self.architecture, CustomArchitecture):
            return self.architecture.kernel_fn
        return stax_network(self.architecture)[2]


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
            case Convolution(size=size, stride=stride):
                steps = (stride, stride)
                layers.append(stax.Conv(width, (size, size), steps, padding="SAME", **gaussian))
            case Activation(name=name):
                layers.append(activations[name]())
            case AveragePooling(size=size):
                layers.append(stax.AvgPool((size, size), strides=(size, size)))
            case Flatten():
                layers.append(stax.Flatten())
            case _:
                assert_never(layer)
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
