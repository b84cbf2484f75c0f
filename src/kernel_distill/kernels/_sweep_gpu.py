"""The form of `_sweep` for NVIDIA's GPUs: written with Pallas, compiled by Triton.

A program computes 4 x 8 pairs of a block of images, offset after offset, and of every plane of
theirs a few rows at a time (`_streamed`), in registers. What passes through memory:

- the planes of the images of both sides, without their pairs: those of 12 images for 32 pairs, and
  the same for all offsets, so that they stay in the caches;
- the pooled planes, into which an offset's results are added. Several offsets add into the same
  plane; those of one program in turn, those of different programs into parts of their own, summed
  afterwards. A program takes `level.pooling` rows of offsets, which meet in two rows of pooled
  ones: parts are twice as many as the pooled planes, where one for every offset and pixel of a
  window would be nine times as many;
- in the backward pass the cotangents of both sides' planes. A program sums them over its pairs in
  registers, and over the offsets across, which it computes in turn, in memory; those of different
  programs are summed afterwards. Without the sums over pairs, they would take several times as
  long as the arithmetic;
- rows whose columns the threads of a program exchange (`_exchange`): of its own 35 KB forward and
  70 KB backward, with rows of 32 pixels and two convolutions.

No sum depends on which program came first.

None of this has run on a GPU, and no time is measured: it is tested in Pallas' interpreter, and
lowered for CUDA.
"""

import functools
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float

from kernel_distill.kernels import _programs as programs
from kernel_distill.kernels import _streamed as streamed
from kernel_distill.kernels._exchange import (
    PAIRS,
    Exchange,
    Pixels,
    inside,
    quotient,
    remainder,
)
from kernel_distill.kernels._levels import Level
from kernel_distill.kernels._planes import Plane
from kernel_distill.kernels._programs import Part, launch
from kernel_distill.kernels._semivariance import Convolved
from kernel_distill.kernels._side import IMAGES, Band, Bands, Side

# entries of a row that a thread holds: as many as its registers have room for
ENTRIES = 4


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
    shared = _Shared(level, layer, interpret)
    side = level.pooling
    down, across = level.pooled_radius
    height, width = level.pooled_size
    groups, windows = 2 * down + 2, shared.width // side
    shape = 2, 2 * across + 3, height, windows
    part = Part(
        (groups, *shape, *shared.block),
        (None, *shape, *IMAGES),
        lambda group, i, j: (group, 0, 0, 0, 0, i, j),
    )

    def program(inputs: Any, outputs: Any) -> None:
        *parts, exchange = outputs
        group = pl.program_id(0)
        # the offsets whose pixels meet in the pooled offsets `group` and `group` + 1 of a band
        first = side * (group - down - 1) + 1 + level.radius[0]
        end = jnp.minimum(first + side, 2 * level.radius[0] + 1)

        def at_offset(*offset: Any) -> None:
            def put(row: Any, m: Any, t: Any) -> None:
                pixels = inside(shared.width)
                down_place, _ = _pooled_offset(level, offset, 0, row)
                # the first pixels of a window belong to one pooled offset, the others to the next
                across_place, over = _pooled_offset(level, offset, 1, 0)
                is_first = remainder(pixels.column, side) < side - over
                for ref, value in zip(parts, (m, t), strict=False):
                    for k, mine in enumerate((is_first, ~is_first)):
                        added = (
                            jnp.where(mine, value, 0).reshape(windows, side, *IMAGES).sum(axis=1)
                        )
                        ref[down_place - group, across_place + k, quotient(row, side)] += added

            streamed.forward(shared.stream(inputs, exchange, offset), height * side, put)

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
        [*[part] * (1 + layer.tangent), shared.exchange(groups, streamed.slots(level))],
        grid=groups,
        block=shared.block,
        warps=shared.warps,
        interpret=interpret,
    )
    return band(parts[0]), band(parts[1]) if layer.tangent else None


def backward(
    level: Level, layer: Convolved, arguments: Any, bands_bar: Bands, *, interpret: bool = False
) -> Any:
    """The cotangents of the arguments."""
    shared = _Shared(level, layer, interpret)
    height, width = level.size
    down, across = (2 * radius + 1 for radius in level.radius)
    n1, n2 = shared.block
    of_pairs = down + 2, across + 2, height, shared.width
    # with a row above and below and a column on both sides; the other image is moved by the offset
    of_one, of_other = (height + 2, shared.width), (height + 2, shared.width + 2 + across - 1)
    outputs = (
        Part((*of_pairs, n1, n2), (*of_pairs, *IMAGES), lambda k, i, j: (0, 0, 0, 0, i, j)),
        Part(
            (down, n2 // IMAGES[1], *of_one, n1),
            (None, None, *of_one, IMAGES[0]),
            lambda k, i, j: (k, j, 0, 0, i),
        ),
        Part(
            (down, n1 // IMAGES[0], *of_other, n2),
            (None, None, *of_other, IMAGES[1]),
            lambda k, i, j: (k, i, 0, 0, j),
        ),
    )

    def program(inputs: Any, outputs: Any) -> None:
        *inputs, pooled_bars = inputs
        (entering_refs, *side_refs), exchange = outputs
        down_offset = pl.program_id(0)
        inner = inside(shared.width)

        def at_offset(across_offset: Any) -> None:
            offset = down_offset, across_offset

            def add(row: Any, refs: Any, bars: Any, outer_bar: Any) -> None:
                """To both sides, each summed over the images of the other."""
                outside = ((), ()) if outer_bar is None else (refs[1], outer_bar)
                to_one, to_other, to_other_outside = (
                    zip(*map(jax.tree.leaves, each), strict=True)
                    for each in (*zip(refs, bars, strict=True), outside)
                )
                for ref, value in to_one:
                    ref[row + 1] += value.reshape(-1, *IMAGES).sum(axis=2)
                for ref, value in to_other:
                    moved = pl.ds(across_offset + 1, shared.width)
                    ref[row + 1, moved, :] += value.reshape(-1, *IMAGES).sum(axis=1)
                for ref, value in to_other_outside:
                    moved = jax.lax.iota(jnp.int32, 2) * (shared.width + 1) + across_offset
                    ref[row + 1, moved, :] += value.reshape(-1, *IMAGES).sum(axis=1)

            def put(row: Any, bars: Any, outer_bar: Any) -> None:
                add(row, [replace(refs, stds=()) for refs in side_refs], bars[1:], outer_bar)

                @pl.when((row >= 0) & (row < height))
                def _() -> None:
                    place = offset[0] + 1, offset[1] + 1, row, inner.column, *inner.images
                    for ref, value in zip(
                        *map(jax.tree.leaves, (entering_refs, bars[0])), strict=True
                    ):
                        ref[place] = value

            def put_stds(number: int, row: Any, bars: Any, outer_bar: Any) -> None:
                refs = [refs.stds[number - 1] for refs in side_refs]
                add(row, refs, bars, outer_bar)

            bar = functools.partial(_repeated, level, offset, pooled_bars, inner)
            streamed.backward(shared.stream(inputs, exchange, offset), bar, put, put_stds)

        _each(across, at_offset)

    def of_band(bar: Any) -> Band:
        return bar[:, :, :, :width].reshape(*bar.shape[:3], -1)

    def of_plane_of_one(parts: Any) -> Plane:
        return parts.sum(axis=(0, 1))[1:-1, :width].reshape(height, -1)

    def of_plane_of_other(parts: Any) -> Plane:
        rows, columns = (
            slice(1 + r, 1 + r + n) for r, n in zip(level.radius, level.size, strict=True)
        )
        return _meeting(parts.sum(axis=1))[rows, columns].reshape(height, -1)

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
        (trees, shared.exchange(down, 2 * streamed.slots(level))),
        grid=down,
        block=shared.block,
        warps=shared.warps,
        interpret=interpret,
    )
    finish = of_band, of_plane_of_one, of_plane_of_other
    return tuple(jax.tree.map(each, bar) for each, bar in zip(finish, results[0], strict=True))


@dataclass(frozen=True)
class _Shared:
    """What both passes have in common."""

    level: Level
    layer: Convolved
    interpret: bool

    @property
    def block(self) -> tuple[int, int]:
        assert self.layer.block is not None
        return self.layer.block

    @property
    def width(self) -> int:
        """Of the rows in registers: of a tensor Triton wants a power of two."""
        return 1 << (self.level.size[1] - 1).bit_length()

    @property
    def warps(self) -> int:
        return max(1, self.width * PAIRS // (32 * ENTRIES))

    def exchange(self, grid: int, slots: int) -> Part:
        """The memory for `Exchange`."""
        tiles = [n // images for n, images in zip(self.block, IMAGES, strict=True)]
        shape = 2, slots, (self.width + 2) * PAIRS
        return Part(
            (grid, *tiles, *shape), (None, None, None, *shape), lambda k, i, j: (k, i, j, 0, 0, 0)
        )

    def stream(self, inputs: Any, memory: Any, offset: Any) -> streamed.Stream:
        # the interpreter goes through a program's threads in step
        barrier = (lambda: None) if self.interpret else triton.debug_barrier
        exchange = Exchange(memory, self.width, barrier)
        return streamed.Stream(self.level, self.layer, self.width, offset, exchange, *inputs)

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
        """A plane with zeros around, as wide as the rows in registers and more."""
        rows, columns = streamed.rim(self.level) + reach[0], 1 + reach[1]
        right = columns + self.width - self.level.size[1]
        return jnp.pad(
            plane.reshape(len(plane), -1, images), ((rows, rows), (columns, right), (0, 0))
        )


def _each(n: int, body: Any) -> None:
    jax.lax.fori_loop(0, n, lambda k, _: body(k), None)


def _pooled_offset(level: Level, offset: Any, axis: int, position: Any) -> tuple[Any, Any]:
    """Where a band has the pooled offset of a pixel (`_sweep_plain`), and what is left over.

    Of the pixels of a window, that many less than the pooling's side belong to the same one.
    """
    side = level.pooling
    first = side * (level.pooled_radius[axis] + 1) - level.radius[axis]
    moved = offset[axis] + first + remainder(position, side)
    return quotient(moved, side), remainder(moved, side)


def _repeated(level: Level, offset: Any, pooled_bars: Any, pixels: Pixels, row: Any) -> Any:
    """The cotangents of a row: those of the windows in which they are, and zero where in none."""
    position = row, pixels.column
    near = [
        jnp.clip(p, 0, level.pooling * n - 1)
        for p, n in zip(position, level.pooled_size, strict=True)
    ]
    inside = (near[0] == position[0]) & (near[1] == position[1])
    place = [_pooled_offset(level, offset, axis, p)[0] for axis, p in enumerate(near)]
    window = [quotient(p, level.pooling) for p in near]

    def read(ref: Any) -> Any:
        return jnp.where(inside, ref[(*place, *window, *pixels.images)], 0)

    return jax.tree.map(read, pooled_bars)


def _meeting(parts: Float[Array, "part m *rest"]) -> Float[Array, "n *rest"]:
    """The sum of parts, each of which lies a place beyond the one before."""
    n, m, *rest = parts.shape
    length = n - 1 + m
    # one more a row than there is room for: seen as rows of `length`, each begins a place later
    rows = jnp.pad(parts, ((0, 0), (0, length + 1 - m), *[(0, 0)] * len(rest)))
    return rows.reshape(-1, *rest)[: n * length].reshape(n, length, *rest).sum(axis=0)
