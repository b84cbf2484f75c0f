"""What one program of `_sweep_gpu` does at one offset: it streams a strip of columns row by row.

A warp holds 32 pairs of images, one a lane, and of each pair a few columns and the last two or
three rows of every plane, all in registers: columns are Python lists of blocks of pairs, and the
rows a loop. Neighbours are then other registers of the same lane. (Triton can shift nothing along
an axis of a block; a product with a tridiagonal matrix would take 32 operations in place of two.)
The price is a halo: what a strip's columns take of the columns beside them is computed twice.

With n convolutions, at the step that reads row r of what enters, convolution k = 1 ... n computes
its row r - k. In the backward pass what it computed then waits until the cotangents of its row
arrive, at row r + 2 n - k, and those of what enters come out for row r - 2 n. Rows above the image
need no care: their standard deviations are zero, where every result is what it must be, whatever
is convolved (`_arc_cosine`).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

from kernel_distill.kernels import _arc_cosine as arc_cosine
from kernel_distill.kernels._levels import Level
from kernel_distill.kernels._semivariance import Convolved
from kernel_distill.kernels._side import Side, enter

Block = Float[Array, "_one _other"]  # a number for every pair of a program
Row = list[Any]  # of blocks: columns of a strip, and as many on both sides of it as are needed
Rows = tuple[Row, Row | None]  # of M and T, or of their cotangents


@dataclass(frozen=True)
class Strip:
    """One strip of columns at one offset, and where in memory to read what it takes.

    Attributes:
        level: sizes and offsets.
        layer: what each of its convolutions does.
        columns: how many of the strip's own.
        left: the first of them.
        offset: down and across, from 0, which stands for -radius.
        rim: of zeros around the planes of both sides; those of the other side have the radius
            besides.
        entering: M and T of the level before; None at the first.
        one: planes of the images on one side of the pairs, [row, column, image].
        other: of the other side.
    """

    level: Level
    layer: Convolved
    columns: int
    left: Any
    offset: tuple[Any, Any]
    rim: int
    entering: Any
    one: Side
    other: Side

    def around(self, halo: int) -> range:
        """The strip's columns, the first being 0, with some beside it."""
        return range(-halo, self.columns + halo)

    def stds(self, number: int, row: Any, column: int) -> tuple[Block, Block]:
        """Standard deviations after a convolution (the first is 1), of both sides."""
        one, other = self.one.stds[number - 1], self.other.stds[number - 1]
        return self._of_one(row, column, one), self._of_other(row, column, other)

    def entering_pixel(self, row: Any, column: int) -> tuple[Any, Side, Side]:
        """The arguments of `enter`."""
        of_band = functools.partial(self._of_band, row, column)
        of_one = functools.partial(self._of_one, row, column)
        of_other = functools.partial(self._of_other, row, column)
        return (
            jax.tree.map(of_band, self.entering),
            jax.tree.map(of_one, replace(self.one, stds=())),
            jax.tree.map(of_other, replace(self.other, stds=())),
        )

    def _of_one(self, row: Any, column: int, plane: Any) -> Block:
        images = plane[row + self.rim, self.left + (column + self.rim), :]
        return jnp.broadcast_to(images[:, None], self._pairs)

    def _of_other(self, row: Any, column: int, plane: Any) -> Block:
        down, across = self.offset
        images = plane[row + down + self.rim, self.left + across + (column + self.rim), :]
        return jnp.broadcast_to(images[None, :], self._pairs)

    def _of_band(self, row: Any, column: int, band: Any) -> Block:
        # of a pixel outside the image `enter` takes nothing: any number will do
        height, width = self.level.size
        place = jnp.clip(row, 0, height - 1), jnp.clip(self.left + column, 0, width - 1)
        return band[self.offset[0] + 1, self.offset[1] + 1, *place, :, :]

    @property
    def _pairs(self) -> tuple[int, int]:
        one, other = jax.tree.leaves(self.one)[0], jax.tree.leaves(self.other)[0]
        return one.shape[-1], other.shape[-1]

    def takes_tangent(self, number: int) -> bool:
        """Whether there is a T that a convolution sums: at the first layer of all, T is zero."""
        return self.layer.tangent and (number > 1 or self.entering is not None)

    def row_of(self, value: float, halo: int) -> Row:
        """The same number everywhere, to begin with."""
        return [jnp.full(self._pairs, value, jnp.float32) for _ in self.around(halo)]


def forward(strip: Strip, height: int, put: Callable[[Any, int, Block, Any], None]) -> None:
    """M and T of the activated features after the last convolution.

    Args:
        strip: where.
        height: how many rows of them, from the first.
        put: is called with a row, a column of the strip, M and T.
    """
    last = strip.level.convolutions

    def step(i: Any, windows: Any) -> Any:
        rows = _rows([enter(*strip.entering_pixel(i - 1, c)) for c in strip.around(last)])
        moved = []
        for number in range(1, last):
            window, sums = _slide(windows[number - 1], rows)
            moved.append(window)
            convolved = _convolved(strip, number, i - 1 - number, last - number, sums)
            rows = _rows([_activate(*pixel) for pixel in convolved])
        window, sums = _slide(windows[-1], rows)
        row = i - 1 - last

        @pl.when(row >= 0)
        def _() -> None:
            convolved = _convolved(strip, last, row, 0, sums)
            for column, pixel in zip(strip.around(0), convolved, strict=True):
                put(row, column, *_activate(*pixel))

        return [*moved, window]

    windows = [_no_window(strip, number, last - number) for number in range(1, last + 1)]
    jax.lax.fori_loop(0, height + 1 + last, step, windows)


def backward(
    strip: Strip,
    bar: Callable[[Any, int], tuple[Block, Any]],
    put: Callable[..., None],
    put_stds: Callable[[int, Any, int, Block, Block], None],
) -> None:
    """The cotangents of all that the strip's own pixels take.

    And the pixels beside the one image, a row or a column away: there the other image, moved by
    the offset, may have features, and these are apart from none.

    Args:
        strip: where.
        bar: the cotangents of M and T of the activated features after the last convolution, at a
            row and a column: zero outside the image.
        put: is called with a row, a column, and the cotangents of the arguments of `enter`.
        put_stds: with a convolution's number, a row, a column, and the cotangents of `stds`.
    """
    last = strip.level.convolutions
    numbers = range(1, last + 1)

    def step(i: Any, carried: Any) -> Any:
        windows, waiting, windows_back = map(list, carried)
        rows = _rows([enter(*strip.entering_pixel(i - 1, c)) for c in strip.around(2 * last)])
        arrived = []
        for number in numbers:
            halo = 2 * last - number
            windows[number - 1], sums = _slide(windows[number - 1], rows)
            convolved = _convolved(strip, number, i - 1 - number, halo, sums)
            if number < last:
                rows = _rows([_activate(*pixel) for pixel in convolved])
            needed = convolved[halo - number : len(convolved) - halo + number]
            queue = [*waiting[number - 1], _kept(strip, number, needed)]
            arrived.append(queue[0])
            waiting[number - 1] = queue[1:]
        bars = _rows([bar(i - 1 - last, column) for column in strip.around(last)])
        for number in reversed(numbers):
            row = i - 1 - 2 * last + number
            pulled = _pulled(strip, number, row, arrived[number - 1], bars)

            def pixel(
                column: int, number: int = number, row: Any = row, all_: Any = pulled
            ) -> None:
                put_stds(number, row, column, *all_[number + column][1])

            _each_pixel(strip, row, pixel)
            bars = _rows([sums_bar for sums_bar, _ in pulled])
            if number == 1:  # further beside the image there is nothing
                nothing = strip.row_of(0, 0)[:1]
                m_bars, t_bars = bars
                bars = [*nothing, *m_bars, *nothing], t_bars and [*nothing, *t_bars, *nothing]
            windows_back[number - 1], bars = _slide(windows_back[number - 1], bars)
        row = i - 1 - 2 * last

        def entering(column: int) -> None:
            _, pull = jax.vjp(enter, *strip.entering_pixel(row, column))
            put(row, column, *pull(tuple(each and each[column + 1] for each in bars)))

        _each_pixel(strip, row, entering)
        return windows, waiting, windows_back

    start = (
        [_no_window(strip, number, 2 * last - number) for number in numbers],
        # of equal pixels u is 0, of none 2
        [
            [_kept(strip, number, [(None, u, u, None, None) for u in strip.row_of(2, number)])]
            * (2 * (last - number))
            for number in numbers
        ],
        [_no_window(strip, number, max(number - 1, 1)) for number in numbers],
    )
    jax.lax.fori_loop(0, strip.level.size[0] + 2 + 2 * last, step, start)


def _each_pixel(strip: Strip, row: Any, body: Callable[[int], None]) -> None:
    """A row's pixels: the strip's own, and those beside the image. Of other rows none."""
    height, width = strip.level.size
    near = (row >= -1) & (row <= height)

    @pl.when(near)
    def _() -> None:
        for column in strip.around(0):
            body(column)

    first, last = strip.left == 0, strip.left + strip.columns >= width
    pl.when(near & first)(lambda: body(-1))
    pl.when(near & last)(lambda: body(strip.columns))


# --- rows


def _rows(pixels: list[Any]) -> Rows:
    """A row of M and one of T, of pairs of both."""
    m, t = zip(*pixels, strict=True)
    return list(m), None if t[0] is None else list(t)


def _no_window(strip: Strip, number: int, halo: int) -> tuple[Rows, Rows]:
    """The window of a convolution before any row: for results with some halo."""
    zeros = strip.row_of(0, halo)
    rows = zeros, zeros if strip.takes_tangent(number) else None
    return rows, rows


def _slide(window: tuple[Rows, Rows], rows: Rows) -> tuple[tuple[Rows, Rows], Rows]:
    """The next window, and the sums over the neighbourhoods of the row in its middle.

    A window is the two rows before, in which each column has its neighbours added already.
    """

    def across(row: Row) -> Row:
        return [a + b + c for a, b, c in zip(row, row[1:], row[2:], strict=False)]

    before, middle = window
    after = across(rows[0]), None if rows[1] is None else across(rows[1])
    return (middle, after), jax.tree.map(lambda a, b, c: a + b + c, before, middle, after)


def _convolved(strip: Strip, number: int, row: Any, halo: int, sums: Rows) -> list[Any]:
    """For each pixel of a row: the layer, u, T of the convolved features, standard deviations."""
    pixels = []
    for k, column in enumerate(strip.around(halo)):
        stds = strip.stds(number, row, column)
        m, t = (each and each[k] for each in sums)
        pixels.append((strip.layer, *_convolve(strip.layer, m, t, *stds), *stds))
    return pixels


def _kept(strip: Strip, number: int, pixels: list[Any]) -> tuple[Row, Row | None]:
    """What the backward pass needs of `_convolved`: where T is a function of u, not T."""
    _, u, t, *_ = zip(*pixels, strict=True)
    return list(u), list(t) if strip.takes_tangent(number) else None


def _pulled(strip: Strip, number: int, row: Any, kept: Any, bars: Rows) -> list[Any]:
    """For each pixel of a row: the cotangents of the two sums, and of both `stds`."""
    pixels = []
    for k, column in enumerate(strip.around(number)):
        u, t, m_bar, t_bar = (each and each[k] for each in (*kept, *bars))
        stds = strip.stds(number, row, column)
        pixels.append(_pull(strip.layer, u, t, *stds, m_bar, t_bar))
    return pixels


# --- pixels. Of one function, every pixel's operations are traced once.


@functools.partial(jax.jit, static_argnums=0)
def _convolve(layer: Convolved, m: Block, t: Block | None, std1: Block, std2: Block) -> Any:
    """u, and T of the convolved features, from the sums over the neighbourhood."""
    u = arc_cosine.one_minus_cosine(layer.scale * m, std1, std2)
    if not layer.tangent:
        return u, None
    t = None if t is None else layer.scale * t
    return u, arc_cosine.convolved_tangent(t, u, std1, std2)


@functools.partial(jax.jit, static_argnums=0)
def _activate(layer: Convolved, u: Block, t: Block | None, std1: Block, std2: Block) -> Any:
    """M and T of the activated features."""
    return arc_cosine.activated(u, std1, std2), t if t is None else t * arc_cosine.k0(u)


@functools.partial(jax.jit, static_argnums=0)
def _pull(
    layer: Convolved,
    u: Block,
    t: Block | None,
    std1: Block,
    std2: Block,
    m_bar: Block,
    t_bar: Block | None,
) -> Any:
    """The cotangents of the sums of M and T (None where T is not summed), and of both `stds`."""
    singular, t_sum_bar = jnp.zeros_like(u), None
    if t_bar is None:
        t_bar = singular
    else:
        convolved = arc_cosine.convolved_tangent(None, u, std1, std2) if t is None else t
        singular = arc_cosine.singular(t_bar, convolved, u, std1, std2)
        t_sum_bar = None if t is None else layer.scale * arc_cosine.of_t(t_bar, u)
    m_sum_bar = layer.scale * arc_cosine.of_m(m_bar, t_bar, u, singular)
    of_std = functools.partial(arc_cosine.of_std, m_bar, t_bar, u, singular)
    return (m_sum_bar, t_sum_bar), (of_std(mine=std1, other=std2), of_std(mine=std2, other=std1))
