"""The exact kernel of a convolutional network with a flattening readout."""

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from kernel_distill.kernels._architectures import Architecture
from kernel_distill.kernels._blocks import in_blocks
from kernel_distill.kernels._duals import dual
from kernel_distill.kernels._kernel import Kernel
from kernel_distill.kernels._layers import ActivationName, Convolution
from kernel_distill.kernels._levels import Level, activation, make_levels, with_radii
from kernel_distill.kernels._planes import Plane, average, box, from_plane, surround, to_plane
from kernel_distill.kernels._semivariance import Convolved
from kernel_distill.kernels._side import IMAGES, Side, by_pairs
from kernel_distill.kernels._sweep import sweep

# pairs of images that are computed at a time: their planes stay in the caches of a core
PAIRS = 16
# elsewhere they keep the whole of a device busy: so many as have pooled planes of this many bytes,
# and several times as many of all that is computed of them, gradients included. KIP's ConvNet at
# 32x32 has 0.18 MB of pooled planes a pair, and tiles of 2,048 pairs
BYTES_OF_ACCELERATOR = 4 * 10**8


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Features:
    """What the kernel needs of each image by itself, as planes of some images side by side.

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

    In float32, with the ReLU, images that differ by less than about a thousandth of their contrast
    count as equal after the first pooling. An entry of such a pair comes out up to 1e-4 too large,
    and what sets the two apart has no part in the gradient there: where that matters, use float64.
    """

    architecture: Architecture

    @property
    def activation(self) -> ActivationName:
        """That of the layers, which need not be the one that the architecture has as a setting."""
        return activation(self.architecture.layers)

    def cross(
        self,
        x1: Float[Array, "n1 height width channel"],
        x2: Float[Array, "n2 height width channel"],
    ) -> Float[Array, "n1 n2"]:
        if takes_blocks(self, x1):
            return _block(self, _features(self, x1), _features(self, x2))
        # both sides at once: what is compiled is compiled once
        features = _features(self, jnp.concatenate([x1, x2]))
        features1 = jax.tree.map(lambda each: each[: len(x1)], features)
        features2 = jax.tree.map(lambda each: each[len(x1) :], features)
        i, j = jnp.divmod(jnp.arange(len(x1) * len(x2)), len(x2))
        return _entries(self, features1, features2, i, j).reshape(len(x1), len(x2))

    def of_self(self, x: Float[Array, "n height width channel"]) -> Float[Array, "n n"]:
        features = _features(self, x)
        if takes_blocks(self, x):
            block = jnp.triu(_block(self, features, features, above=True))
        else:
            i, j = jnp.triu_indices(len(x))
            entries = _entries(self, features, features, i, j)
            block = jnp.zeros((len(x), len(x)), x.dtype).at[i, j].set(entries)
        return block + jnp.triu(block, 1).T

    def features(self, images: tuple[Plane, ...], pairs: int) -> Features:
        """What is needed of each of some images alone; a plane for every channel.

        Variances come from the semivariances of the pixels of one image among themselves. The
        last level with convolutions needs those of pixels with themselves, which are zero.
        """
        levels = self._levels(images[0], pairs)
        _, variance = dual(self.activation)
        layer = self._layer(pairs, tangent=False)
        last = max(i for i, level in enumerate(levels) if level.convolutions)
        narrow = with_radii(levels[:last])
        half_variance: Plane = sum((x * x for x in images[1:]), images[0] ** 2) / (2 * len(images))
        entering = Side(images=images, within=None, half_variance=None, stds=())
        sides: list[Side] = []
        bands = None
        for i, level in enumerate(levels):
            stds = []
            for _ in range(level.convolutions):
                summed = 2 * layer.scale * box(surround(half_variance, pairs, (1, 1)), pairs)
                stds.append(_square_root(summed + self.architecture.b_std**2))
                half_variance = variance(stds[-1] ** 2) / 2
            sides.append(replace(entering, stds=tuple(stds)))
            half_variance = _pooled(level, half_variance, pairs)
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

    def of_pairs(
        self, one: Features, other: Features, pairs: int, block: tuple[int, int] | None = None
    ) -> Float[Array, "pair"]:
        """The kernel of pairs of images, side by side.

        Args:
            one: of the one image of each pair.
            other: of the other one.
            pairs: how many.
            block: where they are all pairs of some images with some others: how many of each.
                Both sides are then of the images.
        """
        images = pairs if block is None else block[0]
        levels = self._levels(one.sides[0].images[0], images)
        layer = replace(self._layer(pairs, tangent=self.kind == "ntk"), block=block)
        bands = None
        for level, side1, side2 in zip(levels, one.sides, other.sides, strict=True):
            bands = sweep(level, layer, bands, side1, side2)

        def mean(plane: Plane) -> Float[Array, "pair"]:
            return from_plane(plane, pairs).mean(axis=(1, 2))

        m, t = jax.tree.map(lambda band: band[1, 1], bands)
        weight, bias = self.architecture.w_std**2, self.architecture.b_std**2
        half_variance1, half_variance2 = by_pairs(one.half_variance, other.half_variance, block)
        n = half_variance1 + half_variance2 - m
        # exactly zero without rounding errors where features of one image are
        n = jnp.where((half_variance1 > 0) & (half_variance2 > 0), n, 0)
        nngp = weight * mean(n) + bias
        return nngp if t is None else weight * mean(t) + nngp

    def _levels(self, plane: Plane, pairs: int) -> tuple[Level, ...]:
        return make_levels(self.architecture.layers, (len(plane), plane.shape[1] // pairs))

    def _layer(self, pairs: int, *, tangent: bool) -> Convolved:
        scale = self.architecture.w_std**2 / Convolution().size ** 2
        return Convolved(self.activation, scale, tangent, pairs)


def _pooled(level: Level, plane: Plane, pairs: int) -> Plane:
    if level.taken is None:
        return average(plane, pairs, level.pooling)
    row, column = level.taken
    return to_plane(from_plane(plane, pairs)[:, row :: level.pooling, column :: level.pooling])


def _square_root(x: Plane) -> Plane:
    """With a derivative of zero at zero."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def _entries(
    kernel: ConvolutionalKernel,
    one: Features,
    other: Features,
    i: Int[Array, "entry"],
    j: Int[Array, "entry"],
) -> Float[Array, "entry"]:
    """The kernel of image i of the one with image j of the other, for all i and j."""
    tiles = _tiled(len(i), min(_pairs(kernel, one.sides[0].images[0]), len(i)))
    entries = _tiles(kernel, False, (one, other), i[tiles], j[tiles])
    return entries.reshape(-1)[: len(i)]


def takes_blocks(kernel: ConvolutionalKernel, x: Array) -> bool:
    """Whether pairs are computed as blocks of images with images: there `sweep` has a form of its
    own for GPUs. That JAX has one decides, before it is known what a program is compiled for."""
    relu = kernel.activation == "relu"
    return jax.default_backend() == "gpu" and relu and x.dtype == jnp.float32


def _block(
    kernel: ConvolutionalKernel, one: Features, other: Features, *, above: bool = False
) -> Float[Array, "n1 n2"]:
    """The kernel of all images with all others, by tiles that are blocks themselves.

    Args:
        kernel: what computes it.
        one: of the images that rows are of.
        other: of those that columns are of.
        above: leaves out, and zero, what lies in tiles that are wholly below the diagonal.
    """
    n1, n2 = len(one.half_variance), len(other.half_variance)
    height, width = _tile(n1, n2, _pairs(kernel, one.sides[0].images[0]))
    rows, columns = _tiled(n1, height), _tiled(n2, width)
    down, across = np.divmod(np.arange(len(rows) * len(columns)), len(columns))
    if above:
        wanted = down * height < (across + 1) * width
        down, across = down[wanted], across[wanted]
    entries = _tiles(kernel, True, (one, other), rows[down], columns[across])
    tiles = jnp.zeros((len(rows), len(columns), height * width), entries.dtype)
    tiles = tiles.at[down, across].set(entries)
    block = tiles.reshape(len(rows), len(columns), height, width).swapaxes(1, 2)
    return block.reshape(len(rows) * height, -1)[:n1, :n2]


def _tile(n1: int, n2: int, pairs: int) -> tuple[int, int]:
    """Images on both sides of a tile, of about so many pairs: multiples of `IMAGES`."""
    height, width = (-(-n // images) * images for n, images in zip((n1, n2), IMAGES, strict=True))
    height = min(height, 32, max(1, pairs // IMAGES[1] // IMAGES[0]) * IMAGES[0])
    return height, min(width, max(1, pairs // height // IMAGES[1]) * IMAGES[1])


def _tiled(n: int, size: int) -> Int[Array, "tile entry"]:
    """The numbers below n in tiles; the last one is filled with some that are there already."""
    return jnp.resize(jnp.arange(n), (-(-n // size), size))


def _pairs(kernel: ConvolutionalKernel, x: Float[Array, "n height width *channel"]) -> int:
    """How many pairs, or images, are computed at a time."""
    if jax.default_backend() == "cpu":
        return PAIRS
    numbers = 0
    for level in make_levels(kernel.architecture.layers, (x.shape[1], x.shape[2])):
        down, across = (2 * radius + 3 for radius in level.pooled_radius)
        numbers += 2 * down * across * math.prod(level.pooled_size)  # of M and of T
    return max(1, BYTES_OF_ACCELERATOR // (numbers * x.dtype.itemsize))


def _features(kernel: ConvolutionalKernel, x: Float[Array, "n height width channel"]) -> Features:
    """`kernel.features`, some images at a time; images on the leading axis."""

    @jax.checkpoint
    def of_some(x: Array) -> Features:
        channels = tuple(to_plane(x[..., channel]) for channel in range(x.shape[-1]))
        features = kernel.features(channels, len(x))
        return jax.tree.map(lambda plane: from_plane(plane, len(x)), features)

    return in_blocks(of_some, x, min(_pairs(kernel, x), len(x)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _tiles(
    kernel: ConvolutionalKernel,
    of_all: bool,
    features: tuple[Features, Features],
    rows: Int[Array, "tile row"],
    columns: Int[Array, "tile column"],
) -> Float[Array, "tile pair"]:
    """The entries, tile by tile; the backward pass holds one tile's intermediates at a time.

    Args:
        kernel: what computes them.
        of_all: whether a tile's entries are of all its rows with all its columns, or of the first
            with the first, and so on.
        features: of the images that `rows` count, and of those that `columns` count.
        rows: of each tile.
        columns: of each tile.
    """
    of_tile = _of_tile(kernel, of_all, rows, columns)

    def compute(tile: tuple[Array, Array]) -> Float[Array, "pair"]:
        return of_tile(*map(_rows_of, features, tile))

    return jax.lax.map(compute, (rows, columns))


def _of_tile(kernel: ConvolutionalKernel, of_all: bool, rows: Array, columns: Array) -> Any:
    shape = rows.shape[1], columns.shape[1]
    if of_all:
        return functools.partial(kernel.of_pairs, pairs=shape[0] * shape[1], block=shape)
    return functools.partial(kernel.of_pairs, pairs=shape[0])


def _rows_of(features: Features, index: Int[Array, "image"]) -> Features:
    return jax.tree.map(lambda images: to_plane(images[index]), features)


def _forward(kernel: ConvolutionalKernel, of_all: bool, *arguments: Any) -> tuple[Array, Any]:
    return _tiles(kernel, of_all, *arguments), arguments


def _backward(kernel: ConvolutionalKernel, of_all: bool, arguments: Any, entries_bar: Array) -> Any:
    features, rows, columns = arguments
    of_tile = _of_tile(kernel, of_all, rows, columns)

    def add_tile(bars: Any, tile: Any) -> Any:
        *indices, bar = tile
        _, pull = jax.vjp(of_tile, *map(_rows_of, features, indices))

        def add(index: Array, whole: Array, part: Plane) -> Array:
            return whole.at[index].add(from_plane(part, len(index)))

        added = [
            jax.tree.map(functools.partial(add, index), *each)
            for index, *each in zip(indices, bars, pull(bar), strict=True)
        ]
        return tuple(added), None

    nothing = jax.tree.map(jnp.zeros_like, features)
    features_bar, _ = jax.lax.scan(add_tile, nothing, (rows, columns, entries_bar))
    return features_bar, None, None


_tiles.defvjp(_forward, _backward)
