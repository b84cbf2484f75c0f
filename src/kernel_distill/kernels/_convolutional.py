"""The exact kernel of a convolutional network with a flattening readout."""

import functools
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from kernel_distill.kernels._architectures import Architecture
from kernel_distill.kernels._blocks import in_blocks
from kernel_distill.kernels._duals import dual
from kernel_distill.kernels._kernel import Kernel
from kernel_distill.kernels._layers import Convolution
from kernel_distill.kernels._levels import Level, make_levels, with_radii
from kernel_distill.kernels._semivariance import Convolved, Plane, box, surround
from kernel_distill.kernels._sweep import Side, sweep

# pairs of images that are computed at a time: their planes stay in the caches of a core
PAIRS = 32


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Features:
    """What the kernel needs of each image by itself.

    Attributes:
        sides: of every level.
        half_variance: half the variance of the features that the readout flattens.
    """

    sides: tuple[Side, ...]
    half_variance: Any


@dataclass(frozen=True)
class ConvolutionalKernel(Kernel):
    """Only those covariances of pixels that a flattening readout needs (`_levels`).

    At 32x32 with three poolings these are 225 offsets, in place of 1024 x 1024 pairs of pixels.
    Besides the features of each image, it holds those planes of a few pairs, whatever the size of
    the block, gradients included.
    """

    architecture: Architecture

    def cross(
        self,
        x1: Float[Array, "n1 height width channel"],
        x2: Float[Array, "n2 height width channel"],
    ) -> Float[Array, "n1 n2"]:
        i, j = jnp.divmod(jnp.arange(len(x1) * len(x2)), len(x2))
        return _entries(self, x1, x2, i, j).reshape(len(x1), len(x2))

    def of_self(self, x: Float[Array, "n height width channel"]) -> Float[Array, "n n"]:
        i, j = jnp.triu_indices(len(x))
        entries = _entries(self, x, x, i, j)
        block = jnp.zeros((len(x), len(x)), x.dtype).at[i, j].set(entries)
        return block + jnp.triu(block, 1).T

    def features(self, x: Float[Array, "height width channel pair"]) -> Features:
        """What is needed of each image alone.

        Variances come from the semivariances of the pixels of one image among themselves. The
        last level with convolutions needs those of pixels with themselves, which are zero.
        """
        levels = self._levels(x)
        _, variance = dual(self.architecture.activation)
        layer = self._layer(tangent=False)
        last = max(i for i, level in enumerate(levels) if level.convolutions)
        narrow = with_radii(levels[:last])
        half_variance = jnp.mean(x * x, axis=2) / 2
        channels = tuple(x[:, :, c] for c in range(x.shape[2]))
        entering = Side(images=channels, within=None, half_variance=None, stds=())
        sides: list[Side] = []
        bands = None
        for i, level in enumerate(levels):
            stds = []
            for _ in range(level.convolutions):
                summed = 2 * layer.scale * box(surround(half_variance))
                stds.append(_square_root(summed + self.architecture.b_std**2))
                half_variance = variance(stds[-1] ** 2) / 2
            sides.append(replace(entering, stds=tuple(stds)))
            half_variance = _average(level, half_variance)
            # after the last convolution M and half_variance need not be those of pooled
            # features, so long as N is their difference
            within = jnp.zeros_like(half_variance)
            if i < last:
                bands = sweep(narrow[i], layer, bands, sides[i], sides[i])
                rows, columns = narrow[i].pooled_radius
                within = bands[0][rows + 1, columns + 1] / 2
                half_variance = half_variance - within
            entering = Side(images=None, within=within, half_variance=half_variance, stds=())
        return Features(tuple(sides), half_variance)

    def pairs(self, one: Features, other: Features) -> Float[Array, "pair"]:
        """The kernel of pairs of images."""
        levels = self._levels(one.sides[0].images[0])
        layer = self._layer(tangent=self.kind == "ntk")
        bands = None
        for level, side1, side2 in zip(levels, one.sides, other.sides, strict=True):
            bands = sweep(level, layer, bands, side1, side2)
        m, t = jax.tree.map(lambda band: band[1, 1], bands)
        weight, bias = self.architecture.w_std**2, self.architecture.b_std**2
        nngp = weight * jnp.mean(one.half_variance + other.half_variance - m, axis=(0, 1)) + bias
        return nngp if t is None else weight * jnp.mean(t, axis=(0, 1)) + nngp

    def _levels(self, x: Float[Array, "height width *rest"]) -> tuple[Level, ...]:
        return make_levels(self.architecture.layers, (x.shape[0], x.shape[1]))

    def _layer(self, *, tangent: bool) -> Convolved:
        scale = self.architecture.w_std**2 / Convolution().size ** 2
        return Convolved(self.architecture.activation, scale, tangent, rim=True)


def _square_root(x: Plane) -> Plane:
    """With a derivative of zero at zero."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def _average(level: Level, plane: Plane) -> Float[Array, "pooled_height pooled_width pair"]:
    side = level.pooling
    height, width = level.pooled_size
    windows = plane[: side * height, : side * width].reshape(height, side, width, side, -1)
    return windows.mean(axis=(1, 3))


def _entries(
    kernel: ConvolutionalKernel,
    x1: Float[Array, "n1 height width channel"],
    x2: Float[Array, "n2 height width channel"],
    i: Int[Array, "entry"],
    j: Int[Array, "entry"],
) -> Float[Array, "entry"]:
    """The kernel of row i of x1 with row j of x2, for all i and j."""
    # both sides at once: what is compiled is compiled once
    features = _features(kernel, jnp.concatenate([x1, x2]))
    features1 = jax.tree.map(lambda each: each[: len(x1)], features)
    features2 = jax.tree.map(lambda each: each[len(x1) :], features)
    width = min(PAIRS, len(i))
    # the last tile is filled with pairs that are there already
    tiles = jnp.resize(jnp.arange(len(i)), (-(-len(i) // width), width))
    rows, columns = i[tiles], j[tiles]
    return _tiles(kernel, features1, features2, rows, columns).reshape(-1)[: len(i)]


def _features(kernel: ConvolutionalKernel, x: Float[Array, "n height width channel"]) -> Features:
    """`kernel.features`, some images at a time; images on the leading axis."""

    @jax.checkpoint
    def of_some(x: Array) -> Features:
        return jax.tree.map(_leading, kernel.features(_minor(x)))

    return in_blocks(of_some, x, min(PAIRS, len(x)))


def _minor(x: Array) -> Array:
    return jnp.moveaxis(x, 0, -1)


def _leading(x: Array) -> Array:
    return jnp.moveaxis(x, -1, 0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _tiles(
    kernel: ConvolutionalKernel,
    features1: Features,
    features2: Features,
    rows: Int[Array, "tile pair"],
    columns: Int[Array, "tile pair"],
) -> Float[Array, "tile pair"]:
    """The entries, tile by tile; the backward pass holds one tile's intermediates at a time."""
    return jax.lax.map(lambda at: kernel.pairs(*_taken(features1, features2, *at)), (rows, columns))


def _taken(
    features1: Features, features2: Features, i: Array, j: Array
) -> tuple[Features, Features]:
    return (
        jax.tree.map(lambda x: _minor(x[i]), features1),
        jax.tree.map(lambda x: _minor(x[j]), features2),
    )


def _forward(kernel: ConvolutionalKernel, *arguments: Any) -> tuple[Array, Any]:
    return _tiles(kernel, *arguments), arguments


def _backward(kernel: ConvolutionalKernel, arguments: Any, entries_bar: Array) -> Any:
    features1, features2, rows, columns = arguments

    def add_tile(bars: Any, tile: Any) -> Any:
        i, j, bar = tile
        _, pull = jax.vjp(kernel.pairs, *_taken(features1, features2, i, j))
        added = [
            jax.tree.map(lambda whole, part, k=k: whole.at[k].add(_leading(part)), whole, parts)
            for k, whole, parts in zip((i, j), bars, pull(bar), strict=True)
        ]
        return tuple(added), None

    nothing = jax.tree.map(jnp.zeros_like, (features1, features2))
    (bar1, bar2), _ = jax.lax.scan(add_tile, nothing, (rows, columns, entries_bar))
    return bar1, bar2, None, None


_tiles.defvjp(_forward, _backward)
