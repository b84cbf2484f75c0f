"""What one program of `_sweep_gpu` does at one offset: it streams the planes of its pairs by rows.

Of every plane, as many rows as a convolution takes are in registers: one entry for every column
and pair, spread over the program's threads. Rows pass by in a loop, so that the rows above and
below are other registers of the same thread; columns are exchanged (`_exchange`).

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

from kernel_distill.kernels import _arc_cosine as arc_cosine
from kernel_distill.kernels._exchange import PAIRS, Exchange, Pair, Pixels, Row, beside, inside
from kernel_distill.kernels._levels import Level
from kernel_distill.kernels._semivariance import Convolved
from kernel_distill.kernels._side import Side, enter

Kept = tuple[Row, Row | None]  # u and T of the convolved features


@dataclass(frozen=True)
class Stream:
    """The planes of one offset, and where in memory to read what they are computed of.

    Attributes:
        level: sizes and offsets.
        layer: what each of its convolutions does.
        width: of the rows: a power of two, that of the image or the next.
        offset: down and across, from 0, which stands for -radius.
        exchange: with `slots` slots, in the backward pass with twice as many.
        entering: M and T of the level before; None at the first.
        one: planes of the images on one side of the pairs, [row, column, image], with `rim` rows
            of zeros above and below and a column of zeros on both sides.
        other: of the other side; with the radius besides.
    """

    level: Level
    layer: Convolved
    width: int
    offset: tuple[Any, Any]
    exchange: Exchange
    entering: Any
    one: Side
    other: Side

    @property
    def columns(self) -> tuple[Pixels, Pixels]:
        """Inside and beside the one image. There too the other, moved by the offset, may have
        features, which are apart from none."""
        return inside(self.width), beside(self.width)

    def stds(self, number: int, row: Any, pixels: Pixels) -> tuple[Row, Row]:
        """Standard deviations after a convolution (the first is 1), of both sides."""
        one, other = self.one.stds[number - 1], self.other.stds[number - 1]
        return self._of_one(row, pixels, one), self._of_other(row, pixels, other)

    def entering_pixels(self, row: Any, pixels: Pixels) -> tuple[Any, Side, Side]:
        """The arguments of `enter`."""
        of_band = functools.partial(self._of_band, row, pixels)
        of_one = functools.partial(self._of_one, row, pixels)
        of_other = functools.partial(self._of_other, row, pixels)
        return (
            jax.tree.map(of_band, self.entering),
            jax.tree.map(of_one, replace(self.one, stds=())),
            jax.tree.map(of_other, replace(self.other, stds=())),
        )

    def _of_one(self, row: Any, pixels: Pixels, plane: Any) -> Row:
        return plane[row + rim(self.level), pixels.column + 1, pixels.images[0]]

    def _of_other(self, row: Any, pixels: Pixels, plane: Any) -> Row:
        down, across = self.offset
        place = row + (down + rim(self.level)), pixels.column + (across + 1)
        return plane[(*place, pixels.images[1])]

    def _of_band(self, row: Any, pixels: Pixels, band: Any) -> Row:
        # of a pixel outside the image `enter` takes nothing: any number will do
        height, width = self.level.size
        place = jnp.clip(row, 0, height - 1), jnp.clip(pixels.column, 0, width - 1)
        return band[(self.offset[0] + 1, self.offset[1] + 1, *place, *pixels.images)]

    def takes_tangent(self, number: int) -> bool:
        """Whether there is a T that a convolution sums: at the first layer of all, T is zero."""
        return self.layer.tangent and (number > 1 or self.entering is not None)


def rim(level: Level) -> int:
    """Rows above and below an image that are read."""
    return 2 * level.convolutions + 1


def slots(level: Level) -> int:
    """Rows that are exchanged in a step forward: M and T of every convolution."""
    return 2 * level.convolutions


def forward(stream: Stream, height: int, put: Callable[[Any, Row, Any], None]) -> None:
    """M and T of the activated features after the last convolution.

    Args:
        stream: the planes.
        height: how many rows of them, from the first.
        put: is called with a row's number, M and T.
    """
    last = stream.level.convolutions
    stream.exchange.barrier()  # the steps begin anew: threads may be at the last of those before

    def step(i: Any, windows: Any) -> Any:
        rows, moved = _entering(stream, i - 1), []
        for number in range(1, last + 1):
            window, sums = _slide(windows[number - 1], rows)
            moved.append(window)
            sums = stream.exchange.across(i, 2 * number - 2, *sums)
            if number < last:
                _, rows = _convolved(stream, number, i - 1 - number, sums)
        row = i - 1 - last

        def put_activated() -> None:
            _, (activated, _) = _convolved(stream, last, row, sums)
            put(row, *activated)

        pl.when(row >= 0)(put_activated)
        return moved

    windows = [_no_window(stream, number) for number in range(1, last + 1)]
    jax.lax.fori_loop(0, height + 1 + last, step, windows)


def backward(
    stream: Stream,
    bar: Callable[[Any], Pair],
    put: Callable[..., None],
    put_stds: Callable[..., None],
) -> None:
    """The cotangents of what enters and of the standard deviations, row by row.

    Args:
        stream: the planes.
        bar: the cotangents of M and T of the activated features after the last convolution, of
            the columns of a row: zero outside the image.
        put: is called with a row's number, the cotangents of the arguments of `enter`, and those
            of the other side that come from beside the one image.
        put_stds: with a convolution's number, a row's, the cotangents of `stds`, and that of the
            other side's that comes from beside the one image, or None where nothing does.
    """
    last = stream.level.convolutions
    height = stream.level.size[0]
    numbers = range(1, last + 1)
    stream.exchange.barrier()  # as in `forward`

    def step(i: Any, carried: Any) -> Any:
        windows, waiting, windows_back = map(list, carried)
        rows, arrived = _entering(stream, i - 1), []
        for number in numbers:
            windows[number - 1], sums = _slide(windows[number - 1], rows)
            sums = stream.exchange.across(i, 2 * number - 2, *sums)
            kept, rows = _convolved(stream, number, i - 1 - number, sums)
            queue = [*waiting[number - 1], kept]
            arrived.append(queue[0])
            waiting[number - 1] = queue[1:]
        bars, outer_bar = bar(i - 1 - last), None  # what is beside the image is not pooled
        for number in reversed(numbers):
            row = i - 1 - 2 * last + number
            sums_bar, stds_bar = _pulled(stream, number, row, arrived[number - 1], bars)
            if outer_bar is not None:
                std = stream.stds(number, row, stream.columns[1])[1]
                (outer_bar,) = jax.vjp(arc_cosine.beside, std)[1](outer_bar)
            _near(row, height, functools.partial(put_stds, number, row, stds_bar, outer_bar))
            windows_back[number - 1], sums = _slide(windows_back[number - 1], sums_bar)
            bars, outer_bar = stream.exchange.back_across(i, 2 * (last + number) - 2, sums)
        row = i - 1 - 2 * last

        def put_entering() -> None:
            inner, outer = (stream.entering_pixels(row, pixels) for pixels in stream.columns)
            _, pull = jax.vjp(enter, *inner)
            _, outer_pull = jax.vjp(_m_beside, *outer)
            put(row, pull(bars), outer_pull(outer_bar)[2])

        _near(row, height, put_entering)
        return windows, waiting, windows_back

    start = (
        [_no_window(stream, number) for number in numbers],
        [[_nothing_kept(stream, number)] * (2 * (last - number)) for number in numbers],
        [tuple(inner for inner, _ in _no_window(stream, number)) for number in numbers],
    )
    jax.lax.fori_loop(0, height + 2 + 2 * last, step, start)


def _near(row: Any, height: int, body: Callable[[], None]) -> None:
    """For the rows of the image, and one above and below."""
    pl.when((row >= -1) & (row <= height))(body)


def _m_beside(*pixels: Any) -> Row:
    """M of what enters beside the image, where T is zero."""
    return enter(*pixels)[0]


def _entering(stream: Stream, row: Any) -> tuple[Pair, Row]:
    """What enters, M and T of all columns and M of those beside the image."""
    inner, outer = (stream.entering_pixels(row, pixels) for pixels in stream.columns)
    return enter(*inner), _m_beside(*outer)


def _no_window(stream: Stream, number: int) -> Any:
    """The window of a convolution before any row."""
    zeros = jnp.zeros(stream.width * PAIRS, jnp.float32)
    inner = zeros, zeros if stream.takes_tangent(number) else None
    rows = inner, jnp.zeros(2 * PAIRS, jnp.float32)
    return rows, rows


def _slide(window: Any, rows: Any) -> tuple[Any, Any]:
    """The next window, which is the last two rows, and the sums of the last three."""
    before, middle = window
    return (middle, rows), jax.tree.map(lambda a, b, c: a + b + c, before, middle, rows)


def _convolved(stream: Stream, number: int, row: Any, sums: Pair) -> tuple[Kept, tuple[Pair, Row]]:
    """What the backward pass needs of a convolution, and what the next one takes (`_entering`)."""
    layer, (m, t) = stream.layer, sums
    inner, outer = stream.columns
    stds = stream.stds(number, row, inner)
    u = arc_cosine.one_minus_cosine(layer.scale * m, *stds)
    m_out, t_out, convolved = arc_cosine.activated(u, *stds), None, None
    if layer.tangent:
        summed = None if t is None else layer.scale * t
        convolved = arc_cosine.convolved_tangent(summed, u, *stds)
        t_out = convolved * arc_cosine.k0(u)
    # where T is a function of u, it need not be kept
    kept = u, None if t is None else convolved
    return kept, ((m_out, t_out), arc_cosine.beside(stream.stds(number, row, outer)[1]))


def _nothing_kept(stream: Stream, number: int) -> Kept:
    """The same before any row: of pixels outside the image."""
    u = jnp.full(stream.width * PAIRS, 2, jnp.float32)
    return u, jnp.zeros_like(u) if stream.takes_tangent(number) else None


def _pulled(
    stream: Stream, number: int, row: Any, kept: Kept, bars: Pair
) -> tuple[Pair, tuple[Row, Row]]:
    """The cotangents of the sums of M and T (None where T is not summed), and of both `stds`."""
    (u, t), (m_bar, t_bar) = kept, bars
    scale, stds = stream.layer.scale, stream.stds(number, row, stream.columns[0])
    singular, t_sum_bar = jnp.zeros_like(u), None
    if t_bar is None:
        t_bar = singular
    else:
        convolved = arc_cosine.convolved_tangent(None, u, *stds) if t is None else t
        singular = arc_cosine.singular(t_bar, convolved, u, *stds)
        t_sum_bar = None if t is None else scale * arc_cosine.of_t(t_bar, u)
    m_sum_bar = scale * arc_cosine.of_m(m_bar, t_bar, u, singular)
    of_std = functools.partial(arc_cosine.of_std, m_bar, t_bar, u, singular)
    stds_bar = of_std(mine=stds[0], other=stds[1]), of_std(mine=stds[1], other=stds[0])
    return (m_sum_bar, t_sum_bar), stds_bar
