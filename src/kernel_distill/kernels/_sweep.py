"""A level of the exact convolutional kernel: offset by offset, through to the pooled level.

Only what goes in and what comes out is held for all offsets. The planes between live for one
offset, and once more in the backward pass, which computes them anew.
"""

import functools
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from kernel_distill.kernels._levels import Level
from kernel_distill.kernels._semivariance import Convolved, Plane, inside, surround

# a plane for every offset that matters, with a margin of one offset around
Band = Float[Array, "down across pooled_height pooled_width pair"]
Bands = tuple[Band, Band | None]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Side:
    """What a level needs of the images on one side of its pairs, [height, width, pair] each.

    Attributes:
        images: at the first level, the images themselves, a plane for every channel.
        within: at the others, half the mean semivariance of the pixels of one pooling window
            among themselves: pooling makes features as much less different.
        half_variance: at the others, half the variance of the features that enter.
        stds: standard deviation of the features after each convolution.
    """

    images: Any
    within: Any
    half_variance: Any
    stds: tuple[Any, ...]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def sweep(level: Level, layer: Convolved, entering: Any, one: Side, other: Side) -> Bands:
    """M and T (see `_semivariance`) of the pooled features, at all offsets that matter.

    Args:
        level: sizes and offsets.
        layer: what each of its convolutions does.
        entering: M and T of the level before, as this returns them; None at the first.
        one: the one image of each pair.
        other: the other one.

    Returns:
        A plane for every offset, and around them a margin that holds no meaning.
    """
    sides = _surrounded(level, one, other)
    dtype = jax.tree.leaves(one)[0].dtype
    radius, pairs = level.pooled_radius, jax.tree.leaves(one)[0].shape[-1]
    shape = (2 * radius[0] + 3, 2 * radius[1] + 3, *level.pooled_size, pairs)
    nothing = (jnp.zeros(shape, dtype), jnp.zeros(shape, dtype) if layer.tangent else None)

    def add_offset(k: Int[Array, ""], bands: Bands) -> Bands:
        offset = _offset(level, k)
        planes = _planes(layer, *_at(offset, entering, *sides))
        return jax.tree.map(functools.partial(_pooled, level, offset), bands, planes)

    return jax.lax.fori_loop(0, _offsets(level), add_offset, nothing)


def _forward(level: Level, layer: Convolved, *arguments: Any) -> tuple[Bands, Any]:
    return sweep(level, layer, *arguments), arguments


def _backward(level: Level, layer: Convolved, arguments: Any, bands_bar: Bands) -> Any:
    entering, one, other = arguments
    sides, unsurround = jax.vjp(functools.partial(_surrounded, level), one, other)
    bands_bar = jax.tree.map(_without_margin, bands_bar)
    repeated = jax.tree.map(functools.partial(_repeated, level), bands_bar)

    def add_offset(k: Int[Array, ""], bars: Any) -> Any:
        offset = _offset(level, k)
        entering_bar, one_bar, other_bar = bars
        _, pull = jax.vjp(functools.partial(_planes, layer), *_at(offset, entering, *sides))
        planes_bar = jax.tree.map(functools.partial(_unpooled, level, offset), repeated)
        here_bar, one_here, other_here = pull(planes_bar)
        return (
            jax.tree.map(lambda band, plane: _put(band, plane, offset), entering_bar, here_bar),
            jax.tree.map(jnp.add, one_bar, one_here),
            jax.tree.map(lambda whole, part: _add(whole, part, offset), other_bar, other_here),
        )

    nothing = jax.tree.map(jnp.zeros_like, (entering, *sides))
    entering_bar, *sides_bar = jax.lax.fori_loop(0, _offsets(level), add_offset, nothing)
    return entering_bar, *unsurround(tuple(sides_bar))


sweep.defvjp(_forward, _backward)

Offset = tuple[Int[Array, ""], Int[Array, ""]]  # from 0, which stands for -radius


def _offsets(level: Level) -> int:
    return (2 * level.radius[0] + 1) * (2 * level.radius[1] + 1)


def _offset(level: Level, k: Int[Array, ""]) -> Offset:
    across = 2 * level.radius[1] + 1
    return k // across, k % across


def _surrounded(level: Level, one: Side, other: Side) -> tuple[Side, Side]:
    """Both sides with zeros around: for the convolution, and the other for its offsets too."""
    reach = level.radius[0] + 1, level.radius[1] + 1
    return jax.tree.map(surround, one), jax.tree.map(lambda x: surround(x, reach), other)


def _at(offset: Offset, entering: Bands | None, one: Side, other: Side) -> Any:
    """What goes into one offset's planes."""
    size = jax.tree.leaves(one)[0].shape[:2]

    def moved(x: Array) -> Array:
        start: tuple[Any, ...] = (*offset, *(0,) * (x.ndim - 2))
        return jax.lax.dynamic_slice(x, start, (*size, *x.shape[2:]))

    def plane(band: Array) -> Array:
        start = (offset[0] + 1, offset[1] + 1, 0, 0, 0)
        return jax.lax.dynamic_slice(band, start, (1, 1, *band.shape[2:]))[0, 0]

    return jax.tree.map(plane, entering), one, jax.tree.map(moved, other)


def _put(band: Array, plane: Plane, offset: Offset) -> Array:
    start = (offset[0] + 1, offset[1] + 1, 0, 0, 0)
    return jax.lax.dynamic_update_slice(band, plane[None, None], start)


def _add(whole: Array, part: Array, offset: Offset) -> Array:
    start: tuple[Any, ...] = (*offset, *(0,) * (whole.ndim - 2))
    present = jax.lax.dynamic_slice(whole, start, part.shape)
    return jax.lax.dynamic_update_slice(whole, present + part, start)


def _planes(
    layer: Convolved, here: tuple[Plane, Plane | None] | None, one: Side, other: Side
) -> tuple[Plane, Plane | None]:
    """M and T before the pooling, at one offset."""
    if here is None:
        m, t = _half_squared_distance(one.images, other.images), None
    else:
        m, t = here
        within = one.within + other.within
        apart = surround(m) - within
        # equal images are not apart, whatever rounding says of two sums that should be equal
        apart = jnp.where(apart > 8 * jnp.finfo(apart.dtype).eps * within, apart, 0)
        # outside of an image, where half_variance is zero, so are the features
        real = one.half_variance * other.half_variance > 0
        m = jnp.where(real, apart, one.half_variance + other.half_variance)
        t = None if t is None else jnp.where(real, surround(t), 0)
    for std1, std2 in zip(one.stds[:-1], other.stds[:-1], strict=True):
        m, t = layer(m, t, std1, std2)
    if not one.stds:
        return inside(m), None if t is None else inside(t)
    last = replace(layer, rim=False)
    return last(m, t, inside(one.stds[-1]), inside(other.stds[-1]))


def _half_squared_distance(x1: tuple[Plane, ...], x2: tuple[Plane, ...]) -> Plane:
    squares = [(a - b) ** 2 for a, b in zip(x1, x2, strict=True)]
    return sum(squares[1:], squares[0]) / (2 * len(squares))


def _pooled(level: Level, offset: Offset, band: Band, plane: Plane) -> Band:
    """Adds a plane to those pooled planes that it belongs to.

    Pixel a of a window is paired with pixel a + d - s D of the window at offset D: where that is
    a pixel of the window, D = (d + a) // s.
    """
    for rows, columns, start in _windows(level, offset):
        part = plane[rows, columns][None, None] / level.pooling**4
        present = jax.lax.dynamic_slice(band, start, part.shape)
        band = jax.lax.dynamic_update_slice(band, present + part, start)
    return band


def _repeated(level: Level, band: Band) -> Float[Array, "down across height width pair"]:
    """Pooled planes with every pixel repeated all over its window, as `_unpooled` takes them."""
    repeated = band.repeat(level.pooling, axis=2).repeat(level.pooling, axis=3)
    rest = [
        (0, size - level.pooling * pooled)
        for size, pooled in zip(level.size, level.pooled_size, strict=True)
    ]
    return jnp.pad(repeated / level.pooling**4, ((0, 0), (0, 0), *rest, (0, 0)))


def _unpooled(level: Level, offset: Offset, repeated: Array) -> Plane:
    """The transpose of `_pooled`, with respect to the plane.

    A choice between whole planes: XLA would interleave smaller ones element by element.
    """
    row, column = (jnp.arange(size) % level.pooling for size in level.size)
    result = jnp.zeros(repeated.shape[2:], repeated.dtype)
    for rows, columns, start in _windows(level, offset):
        plane = jax.lax.dynamic_slice(repeated, start, (1, 1, *repeated.shape[2:]))[0, 0]
        here = (row == rows.start)[:, None, None] & (column == columns.start)[None, :, None]
        result = jnp.where(here, plane, result)
    return result


def _windows(level: Level, offset: Offset) -> list[tuple[slice, slice, tuple[Any, ...]]]:
    """For each pixel of a window: its rows, its columns, and where in a band its pairs go."""
    side = level.pooling
    slices = [[slice(a, side * (size // side), side) for a in range(side)] for size in level.size]
    starts = [
        [(d - r + a) // side + pooled_r + 1 for a in range(side)]
        for d, r, pooled_r in zip(offset, level.radius, level.pooled_radius, strict=True)
    ]
    return [
        (slices[0][a], slices[1][b], (starts[0][a], starts[1][b], 0, 0, 0))
        for a in range(side)
        for b in range(side)
    ]


def _without_margin(bar: Band) -> Band:
    """What is in the margin counts for nothing, whatever the caller says."""
    return surround(bar[1:-1, 1:-1])
