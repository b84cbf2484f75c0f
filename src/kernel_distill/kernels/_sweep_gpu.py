"""The form of `_sweep` for NVIDIA's GPUs: written with Pallas, compiled by Triton.

A program, which is one warp, computes 4 x 8 pairs of a block of images, and of every plane of
theirs a strip of a few columns, offset after offset (`_streamed`). Planes live in its registers.
What passes through memory:

- the planes of the images of both sides, without their pairs: 12 images' for 32 pairs, and the
  same for all offsets and strips, so that they stay in the caches;
- the pooled planes, into which an offset's results are added. Several offsets add into the same
  plane; those of one program in turn, those of different programs into parts of their own, summed
  afterwards. A program takes `level.pooling` rows of offsets, which meet in two rows of pooled
  ones: parts are twice as many as the pooled planes, in place of nine times (one for every offset
  and window);
- in the backward pass the cotangents of both sides' planes. Each program sums them over its pairs
  by exchange among the lanes, over the offsets across, which it computes in turn, in memory; those
  of different programs are summed afterwards. Without the sums over pairs, they would take
  several times as long as the arithmetic.

No sum depends on which program came first: the same numbers come out at every call.

None of this has run on a GPU: it is tested in Pallas' interpreter, and compiled for CUDA.
For an H100, 32x32x3 and KIP's ConvNet we reckon, by counting, with about 210 instructions a pixel,
offset and pair forward, the halo of the strips included, and 500 in the backward pass: 1.7 and 4
microseconds a pair if every scheduler issued one at every cycle (128 lanes x 132 multiprocessors
x 1.7 GHz), and half as much again at what such code usually reaches. No measurement is behind it.
"""

import functools
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

from kernel_distill.kernels import _programs as programs
from kernel_distill.kernels import _streamed as streamed
from kernel_distill.kernels._levels import Level
from kernel_distill.kernels._planes import Plane
from kernel_distill.kernels._programs import Part, launch, quotient, remainder
from kernel_distill.kernels._semivariance import Convolved
from kernel_distill.kernels._side import IMAGES, Band, Bands, Side

# of a strip: more of them would waste less on the halo, and need more registers than there are
COLUMNS = 8


def forward(
    level: Level,
    layer: Convolved,
    entering: Any,
    one: Side,
    other: Side,
    *,
    interpret: bool = False,
) -> Bands:
    """As `_sweep.sweep`, of blocks of multiples of `IMAGES`, float32 and the ReLU."""
    shared = _Shared(level, layer)
    side = level.pooling
    down, across = level.pooled_radius
    height, width = level.pooled_size
    windows = shared.columns // side
    groups, strips = 2 * down + 2, -(-width // windows)
    part = Part(
        (groups, 2, 2 * across + 3, height, strips * windows, *shared.block),
        (None, 2, 2 * across + 3, height, windows, *IMAGES),
        lambda group, strip, i, j: (group, 0, 0, 0, strip, i, j),
    )

    def program(inputs: Any, parts: Any) -> None:
        group, strip = pl.program_id(0), pl.program_id(1)
        # the offsets whose pixels meet in the pooled offsets `group` and `group` + 1 of a band
        first = side * (group - down - 1) + 1 + level.radius[0]
        end = jnp.minimum(first + side, 2 * level.radius[0] + 1)

        def at_offset(*offset: Any) -> None:
            def put(row: Any, column: int, *m_and_t: Any) -> None:
                pooled = _pooled_offset(level, offset, row, column)
                place = pooled[0] - group, pooled[1], quotient(row, side), column // side
                for ref, value in zip(parts, m_and_t, strict=False):
                    ref[(*place, slice(None), slice(None))] += value

            streamed.forward(shared.strip(inputs, strip, offset), height * side, put)

        def at_row(k: Any, _: None) -> None:
            _each(2 * level.radius[1] + 1, functools.partial(at_offset, k))

        jax.lax.fori_loop(jnp.maximum(first, 0), end, at_row, None)

    def band(part: Any) -> Any:
        below, own = (
            jnp.pad(part[:, k, :, :, :width], ((k, 1 - k), *[(0, 0)] * (part.ndim - 2)))
            for k in range(2)
        )
        return ((below + own) / side**4).reshape(groups + 1, *part.shape[2:4], -1)

    parts = launch(
        program,
        *shared.inputs(entering, one, other),
        [part] * (1 + layer.tangent),
        grid=(groups, strips),
        block=shared.block,
        interpret=interpret,
    )
    return band(parts[0]), band(parts[1]) if layer.tangent else None


def backward(
    level: Level, layer: Convolved, arguments: Any, bands_bar: Bands, *, interpret: bool = False
) -> Any:
    """The cotangents of the arguments."""
    shared = _Shared(level, layer)
    height, width = level.size
    down, across = (2 * radius + 1 for radius in level.radius)
    columns, strips = shared.columns, shared.strips
    n1, n2 = shared.block
    # with what lies beside the image; the other side's columns are moved by the offset
    rows, beside = height + 2, columns + 2 + across - 1
    outputs = (
        Part(
            (down + 2, across + 2, height, strips * columns, n1, n2),
            (down + 2, across + 2, height, columns, *IMAGES),
            lambda k, strip, i, j: (0, 0, 0, strip, i, j),
        ),
        Part(
            (down, n2 // IMAGES[1], rows, strips * columns, n1),
            (None, None, rows, columns, IMAGES[0]),
            lambda k, strip, i, j: (k, j, 0, strip, i),
        ),
        Part(
            (down, n1 // IMAGES[0], strips, rows, beside, n2),
            (None, None, None, rows, beside, IMAGES[1]),
            lambda k, strip, i, j: (k, i, strip, 0, 0, j),
        ),
    )

    def program(inputs: Any, outputs: Any) -> None:
        *inputs, pooled_bars = inputs
        entering_refs, *side_refs = outputs
        down_offset, strip = pl.program_id(0), pl.program_id(1)

        def at_offset(across_offset: Any) -> None:
            offset = down_offset, across_offset

            def bar(row: Any, column: int) -> Any:
                return _repeated(level, offset, row, column, strip * columns, pooled_bars)

            def add(row: Any, column: int, refs: Any, bars: Any) -> None:
                """Of both sides, each summed over the other's images."""
                own = 0 <= column < columns
                for axis, place in enumerate((column, column + 1 + across_offset)):
                    if axis == 0 and not own:
                        continue
                    each = map(jax.tree.leaves, (refs[axis], bars[axis]))
                    for ref, value in zip(*each, strict=True):
                        ref[row + 1, place, :] += value.sum(axis=1 - axis)

            def put(row: Any, column: int, here_bar: Any, *side_bars: Any) -> None:
                def write() -> None:
                    place = offset[0] + 1, offset[1] + 1, row, column, slice(None), slice(None)
                    for ref, value in zip(
                        *map(jax.tree.leaves, (entering_refs, here_bar)), strict=True
                    ):
                        ref[place] = value

                if 0 <= column < columns:
                    pl.when((row >= 0) & (row < height))(write)
                add(row, column, [replace(side, stds=()) for side in side_refs], side_bars)

            def put_stds(number: int, row: Any, column: int, *stds_bar: Any) -> None:
                add(row, column, [side.stds[number - 1] for side in side_refs], stds_bar)

            streamed.backward(shared.strip(inputs, strip, offset), bar, put, put_stds)

        _each(across, at_offset)

    def of_band(bar: Any) -> Band:
        return bar[:, :, :, :width].reshape(*bar.shape[:3], -1)

    def of_one(parts: Any) -> Plane:
        return parts.sum(axis=(0, 1))[1:-1, :width].reshape(height, -1)

    def of_other(parts: Any) -> Plane:
        by_strip = jnp.moveaxis(parts.sum(axis=1), 2, 1)  # offset, row, strip, column, image
        by_strip = jnp.moveaxis(_meeting(by_strip, 1), 0, 2)  # strip, column, row, image
        plane = jnp.moveaxis(_meeting(by_strip, columns), 0, 1)
        inside = [slice(1 + r, 1 + r + n) for r, n in zip(level.radius, level.size, strict=True)]
        return plane[tuple(inside)].reshape(height, -1)

    inputs, in_parts = shared.inputs(*arguments)
    pooled_bars, pooled_parts = shared.bands(
        jax.tree.map(lambda bar: bar / level.pooling**4, bands_bar)
    )
    trees = [
        jax.tree.map(lambda _, part=part: part, argument)
        for argument, part in zip(arguments, outputs, strict=True)
    ]
    results = launch(
        program,
        (*inputs, pooled_bars),
        (*in_parts, pooled_parts),
        trees,
        grid=(down, strips),
        block=shared.block,
        interpret=interpret,
    )
    finish = of_band, of_one, of_other
    return tuple(jax.tree.map(each, bar) for each, bar in zip(finish, results, strict=True))


@dataclass(frozen=True)
class _Shared:
    """What both passes have in common."""

    level: Level
    layer: Convolved

    @property
    def block(self) -> tuple[int, int]:
        assert self.layer.block is not None
        return self.layer.block

    @property
    def columns(self) -> int:
        """Of a strip: whole windows of the pooling."""
        side = self.level.pooling
        return side * min(max(1, COLUMNS // side), -(-self.level.size[1] // side))

    @property
    def strips(self) -> int:
        return -(-self.level.size[1] // self.columns)

    @property
    def rim(self) -> int:
        """As far as a pixel's cotangent reaches: two pixels a convolution, and a row above."""
        return 2 * self.level.convolutions + 1

    def strip(self, inputs: Any, number: Any, offset: Any) -> streamed.Strip:
        sizes = self.columns, number * self.columns
        return streamed.Strip(self.level, self.layer, *sizes, offset, self.rim, *inputs)

    def inputs(self, entering: Any, one: Side, other: Side) -> tuple[Any, Any]:
        """The arrays that a program reads, and its parts of them."""
        bands, band_parts = self.bands(entering)
        sides = (
            jax.tree.map(functools.partial(self._surrounded, self.block[0], (0, 0)), one),
            jax.tree.map(
                functools.partial(self._surrounded, self.block[1], self.level.radius), other
            ),
        )
        parts = (
            jax.tree.map(lambda x: programs.of_one(x.shape), sides[0]),
            jax.tree.map(lambda x: programs.of_other(x.shape), sides[1]),
        )
        return (bands, *sides), (band_parts, *parts)

    def bands(self, bands: Any) -> tuple[Any, Any]:
        arrays = jax.tree.map(lambda x: x.reshape(*x.shape[:3], -1, *self.block), bands)
        return arrays, jax.tree.map(lambda x: programs.of_pairs(x.shape), arrays)

    def _surrounded(
        self, images: int, reach: tuple[int, int], plane: Plane
    ) -> Float[Array, "row column image"]:
        """A plane with zeros around, and as many columns as the strips together have."""
        rows, columns = (self.rim + r for r in reach)
        right = columns + self.strips * self.columns - self.level.size[1]
        return jnp.pad(
            plane.reshape(len(plane), -1, images), ((rows, rows), (columns, right), (0, 0))
        )


def _each(n: int, body: Any) -> None:
    jax.lax.fori_loop(0, n, lambda k, _: body(k), None)


def _pooled_offset(level: Level, offset: Any, row: Any, column: int) -> tuple[Any, ...]:
    """Where a band has the pooled offset to which a pixel of the image belongs (`_sweep_plain`)."""
    side = level.pooling
    return tuple(
        quotient(d + remainder(position, side) + side * (pooled + 1) - radius, side)
        for d, position, radius, pooled in zip(
            offset, (row, column), level.radius, level.pooled_radius, strict=True
        )
    )


def _repeated(
    level: Level, offset: Any, row: Any, column: int, left: Any, pooled_bars: Any
) -> tuple[Any, Any]:
    """The cotangents of a pixel: those of the window in which it is, and zero where in none."""
    side = level.pooling
    inside, window = True, []
    for position, size in zip((row, left + column), level.pooled_size, strict=True):
        inside &= (position >= 0) & (position < side * size)
        window.append(jnp.clip(position, 0, side * size - 1))
    place = _pooled_offset(level, offset, window[0], column % side)
    pixel = [quotient(position, side) for position in window]

    def read(ref: Any) -> Any:
        return jnp.where(inside, ref[(*place, *pixel, slice(None), slice(None))], 0)

    return jax.tree.map(read, pooled_bars)


def _meeting(parts: Float[Array, "part m *rest"], step: int) -> Float[Array, "n *rest"]:
    """The sum of parts, each of which lies `step` places beyond the one before."""
    n, m, *rest = parts.shape
    length = step * (n - 1) + m
    # one more step a row than there is room for: seen as rows of `length`, each begins later
    rows = jnp.pad(parts, ((0, 0), (0, length + step - m), *[(0, 0)] * len(rest)))
    return rows.reshape(-1, *rest)[: n * length].reshape(n, length, *rest).sum(axis=0)
