"""The plain form of `_sweep`: offset by offset, a plane at a time, in whatever JAX runs on."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from kernel_distill.kernels._levels import Level
from kernel_distill.kernels._planes import Plane, surround
from kernel_distill.kernels._semivariance import Convolved
from kernel_distill.kernels._side import Band, Bands, Side, enter


def forward(level: Level, layer: Convolved, entering: Any, one: Side, other: Side) -> Bands:
    """As `_sweep.sweep`; both sides hold planes of the pairs."""
    sides = _surrounded(level, layer, one, other)
    down, across = level.pooled_radius
    shape = 2 * down + 3, 2 * across + 3, level.pooled_size[0], level.size[1] * layer.pairs
    zeros = jnp.zeros(shape, jax.tree.leaves(one)[0].dtype)

    def add_offset(k: Int[Array, ""], bands: Bands) -> Bands:
        offset = _offset(level, k)
        planes = _planes(layer, *_at(layer, offset, entering, *sides))
        return jax.tree.map(functools.partial(_add_rows, level, layer, offset), bands, planes)

    nothing = zeros, zeros if layer.tangent else None
    bands = jax.lax.fori_loop(0, _offsets(level), add_offset, nothing)
    return jax.tree.map(functools.partial(_columns_together, level, layer), bands)


def backward(level: Level, layer: Convolved, arguments: Any, bands_bar: Bands) -> Any:
    """The cotangents of the arguments; every offset's planes are computed anew."""
    entering, one, other = arguments
    sides, unsurround = jax.vjp(functools.partial(_surrounded, level, layer), one, other)
    whole_bar = jax.tree.map(functools.partial(_repeated, level, layer), bands_bar)

    def add_offset(k: Int[Array, ""], bars: Any) -> Any:
        offset = _offset(level, k)
        entering_bar, one_bar, other_bar = bars
        _, pull = jax.vjp(functools.partial(_planes, layer), *_at(layer, offset, entering, *sides))
        unpooled = functools.partial(_unpooled, level, layer, offset)
        here_bar, one_here, other_here = pull(jax.tree.map(unpooled, whole_bar))
        add = functools.partial(_add, layer, offset)
        return (
            jax.tree.map(lambda band, plane: _put(band, plane, offset), entering_bar, here_bar),
            jax.tree.map(jnp.add, one_bar, one_here),
            jax.tree.map(add, other_bar, other_here),
        )

    nothing = jax.tree.map(jnp.zeros_like, (entering, *sides))
    entering_bar, *sides_bar = jax.lax.fori_loop(0, _offsets(level), add_offset, nothing)
    return entering_bar, *unsurround(tuple(sides_bar))


# no index here is negative: what JAX compiles to see to that would be a fifth of the program
_slice = functools.partial(jax.lax.dynamic_slice, allow_negative_indices=False)
_update = functools.partial(jax.lax.dynamic_update_slice, allow_negative_indices=False)

Offset = tuple[Int[Array, ""], Int[Array, ""]]  # from 0, which stands for -radius


def _offsets(level: Level) -> int:
    down, across = (2 * radius // level.step + 1 for radius in level.radius)
    return down * across


def _offset(level: Level, k: Int[Array, ""]) -> Offset:
    across = 2 * level.radius[1] // level.step + 1
    return level.step * jax.lax.div(k, across), level.step * jax.lax.rem(k, across)


def _surrounded(level: Level, layer: Convolved, one: Side, other: Side) -> tuple[Side, Side]:
    """Both sides with zeros around, and the other with more of them, for its offsets.

    A convolution takes a pixel from every edge: what enters the level has a rim of as many pixels
    as there are convolutions, and every result one less.
    """

    def with_rims(side: Side, reach: tuple[int, int]) -> Side:
        def rim(x: Plane, more: int) -> Plane:
            return surround(x, layer.pairs, (reach[0] + more, reach[1] + more))

        entering = functools.partial(rim, more=level.convolutions)
        return Side(
            images=jax.tree.map(entering, side.images),
            within=jax.tree.map(entering, side.within),
            half_variance=jax.tree.map(entering, side.half_variance),
            stds=tuple(
                rim(std, level.convolutions - 1 - number) for number, std in enumerate(side.stds)
            ),
        )

    return with_rims(one, (0, 0)), with_rims(other, level.radius)


def _at(
    layer: Convolved, offset: Offset, entering: Bands | None, one: Side, other: Side
) -> tuple[Any, Side, Side]:
    """What goes into one offset's planes."""
    start = offset[0], offset[1] * layer.pairs

    def plane(band: Band) -> Plane:
        return _slice(band, _place(offset), (1, 1, *band.shape[2:]))[0, 0]

    def moved(like: Plane, x: Plane) -> Plane:
        return _slice(x, start, like.shape)

    return jax.tree.map(plane, entering), one, jax.tree.map(moved, one, other)


def _place(offset: Offset) -> tuple[Any, ...]:
    """Where a band holds an offset's plane."""
    return offset[0] + 1, offset[1] + 1, 0, 0


def _put(band: Band, plane: Plane, offset: Offset) -> Band:
    return _update(band, plane[None, None], _place(offset))


def _add(layer: Convolved, offset: Offset, whole: Plane, part: Plane) -> Plane:
    start = offset[0], offset[1] * layer.pairs
    present = _slice(whole, start, part.shape)
    return _update(whole, present + part, start)


def _planes(
    layer: Convolved, here: tuple[Plane, Plane | None] | None, one: Side, other: Side
) -> tuple[Plane, Plane | None]:
    """M and T before the pooling, at one offset."""
    rim = (len(one.stds), len(one.stds))
    m, t = enter(jax.tree.map(lambda x: surround(x, layer.pairs, rim), here), one, other)
    for std1, std2 in zip(one.stds, other.stds, strict=True):
        m, t = layer(m, t, std1, std2)
    return m, t


# Pooling takes the columns of a window together only after the last offset: each is short (a
# number a pair), and the loops over them slow. Until then a pooled plane has all columns.


def _add_rows(level: Level, layer: Convolved, offset: Offset, band: Band, plane: Plane) -> Band:
    """Adds every pixel of a plane to the pooled plane that it belongs to."""
    columns = _within_window(level, layer)[1]
    height = level.pooled_size[0] * level.pooling
    for row, column, place in _windows(level, offset):
        part = jnp.where(columns == column, plane[row : height : level.pooling], 0)
        here = _slice(band, place, (1, 1, *part.shape)) + part
        band = _update(band, here, place)
    return band


def _columns_together(level: Level, layer: Convolved, band: Band) -> Band:
    side, width = level.pooling, level.pooled_size[1]
    filled = _of_length(band, 3, width * side * layer.pairs)
    windows = filled.reshape(*band.shape[:3], width, side, layer.pairs)
    return windows.sum(axis=4).reshape(*band.shape[:3], -1) / len(level.pixels) ** 2


def _repeated(level: Level, layer: Convolved, band: Band) -> Band:
    """Pooled planes with every pixel repeated all over its window."""
    side = level.pooling
    pixels = band.reshape(*band.shape[:3], -1, layer.pairs) / len(level.pixels) ** 2
    whole = pixels.repeat(side, axis=2).repeat(side, axis=3)
    for axis, length in zip((2, 3), level.size, strict=True):
        whole = _of_length(whole, axis, length)
    return whole.reshape(*whole.shape[:3], -1)


def _of_length(x: Float[Array, "..."], axis: int, length: int) -> Float[Array, "..."]:
    """What there is beyond the length left out, what is missing filled up with zeros."""
    kept = jax.lax.slice_in_dim(x, 0, min(length, x.shape[axis]), axis=axis)
    rest = [(0, length - n if each == axis else 0) for each, n in enumerate(kept.shape)]
    return jnp.pad(kept, rest)


def _unpooled(level: Level, layer: Convolved, offset: Offset, repeated: Band) -> Plane:
    """The transpose of the pooling, with respect to the plane of an offset.

    A choice between whole planes: XLA would interleave smaller ones element by element.
    """
    rows, columns = _within_window(level, layer)
    result = jnp.zeros(repeated.shape[2:], repeated.dtype)
    for row, column, place in _windows(level, offset):
        plane = _slice(repeated, place, (1, 1, *repeated.shape[2:]))[0, 0]
        result = jnp.where((rows[:, None] == row) & (columns == column), plane, result)
    return result


def _within_window(
    level: Level, layer: Convolved
) -> tuple[Int[np.ndarray, "h"], Int[np.ndarray, "w"]]:
    """Where in its window each row of a plane is, and each number of a row.

    NumPy's, so that they are constants: XLA would divide in every loop.
    """
    height, width = level.size
    return (
        np.arange(height) % level.pooling,
        np.arange(width * layer.pairs) // layer.pairs % level.pooling,
    )


def _windows(level: Level, offset: Offset) -> list[tuple[int, int, tuple[Any, ...]]]:
    """For each pixel of a window: its row, its column, and where in a band its pairs go.

    Pixel a of a window is paired with pixel a + d - s D of the window at offset D: where that is
    a pixel of the window, D = (d + a) // s. (Divided as a number that is never negative.)
    """
    side = level.pooling
    starts = [
        [jax.lax.div(d - r + a + side * (pooled_r + 1), side) for a in range(side)]
        for d, r, pooled_r in zip(offset, level.radius, level.pooled_radius, strict=True)
    ]
    return [(a, b, (starts[0][a], starts[1][b], 0, 0)) for a, b in level.pixels]
