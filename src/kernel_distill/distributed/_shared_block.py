"""A kernel block, and the pull of its cotangent, computed by a pool."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import numpy as np
from jaxtyping import Array, Float

from kernel_distill.distributed._chunks import Chunks
from kernel_distill.distributed._groups import Groups, group_shape, measured_pairs
from kernel_distill.distributed._pool import Pool, Task
from kernel_distill.distributed._sums import TreeSum
from kernel_distill.distributed._tiles import above, all_tiles, diagonal
from kernel_distill.distributed._worker import Done, Job, pull_tile, tile_values
from kernel_distill.kernels import Kernel, Rows

Store = Callable[[Array | np.ndarray], object]
"""Puts an array where workers find it, once; gives what stands for it there."""


@dataclass(frozen=True, eq=False)
class Group:
    """One job's place in a block: a tile, of chunks whose rows it is the first to hold.

    Attributes:
        spans: first row and the one after the last; the same of columns.
        new: how many of the first ones an earlier chunk holds already.
        targets: which set, and which chunk of it, each of its cotangents is for.
        alone: whether it lies on the diagonal of a set with itself.
    """

    spans: tuple[tuple[int, int], ...]
    new: tuple[int, ...]
    targets: tuple[tuple[int, int], ...]
    alone: bool


class SharedBlock:
    """The block of two sets, or of one with itself.

    Args:
        pool: computes it.
        store: see `Store`.
        groups: how it is divided.
        kernel: what workers compute.
        sets: the one or the two.
    """

    def __init__(
        self,
        pool: Pool,
        store: Store,
        groups: Groups,
        kernel: Kernel,
        sets: tuple[Rows | Float[Array, "..."], ...],
    ) -> None:
        self._pool, self._store, self._groups, self._kernel = pool, store, groups, kernel
        self._sets = sets
        self._rows = tuple(x if isinstance(x, Rows) else Rows(x, np.arange(len(x))) for x in sets)
        self._images = tuple(store(rows.images) for rows in self._rows)

    @property
    def _sizes(self) -> tuple[int, int]:
        return len(self._rows[0]), len(self._rows[-1])

    def values(self) -> Float[np.ndarray, "n1 n2"] | Float[Array, "n1 n2"]:
        """The block."""
        grid = self._grid("values")
        if len(self._sets) == 1 and grid[0].count == 1:
            # as long as one job: not worth that every worker compiles the program of a set with
            # itself
            return tile_values(self._kernel, *self._sets)[0]
        groups = self._divide(grid)
        block = np.empty(self._sizes, np.result_type(*(rows.dtype for rows in self._rows)))

        def take(number: int, done: Done) -> None:
            group = groups[number]
            (top, bottom), (left, right) = group.spans
            over, before = group.new
            rows, columns = slice(top + over, bottom), slice(left + before, right)
            tile = done.arrays[0][over:, before:]
            block[rows, columns] = tile
            if len(self._sets) == 1:
                block[columns, rows] = tile.T

        self._pool.compute(len(groups), lambda number: self._task(groups[number]), take)
        return block

    def pull(
        self, bar: Float[Array, "n1 n2"], wanted: tuple[bool, ...]
    ) -> tuple[Float[np.ndarray, "..."] | Float[Array, "..."], ...]:
        """The cotangents of those sets that are wanted, from that of the block."""
        grid = self._grid("gradient")
        if len(self._sets) == 1 and grid[0].count == 1:
            return pull_tile(wanted, self._kernel, bar, *self._sets)
        groups = self._divide(grid)
        whole = np.asarray(bar)
        mirrored = whole + whole.T if len(self._sets) == 1 else whole
        # every chunk's terms in a fixed order
        terms: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for number, group in enumerate(groups):
            of_group = [target for target in group.targets if wanted[target[0]]]
            for place, target in enumerate(of_group):
                terms.setdefault(target, []).append((number, place))
        sums = {target: TreeSum(len(each)) for target, each in terms.items()}
        places = {
            term: (target, position)
            for target, each in terms.items()
            for position, term in enumerate(each)
        }

        def make(number: int) -> Task:
            group = groups[number]
            rows, columns = (slice(*span) for span in group.spans)
            over, before = group.new
            tile = (whole if group.alone else mirrored)[rows, columns].copy()
            tile[:over], tile[:, :before] = 0, 0
            return self._task(group, tile, wanted)

        def take(number: int, done: Done) -> None:
            for place, array in enumerate(done.arrays):
                target, position = places[number, place]
                sums[target].add(position, array)

        self._pool.compute(len(groups), make, take)
        return tuple(
            self._put_together(side, grid[side], sums) for side, w in enumerate(wanted) if w
        )

    def _put_together(
        self, side: int, chunks: Chunks, sums: dict[tuple[int, int], TreeSum]
    ) -> np.ndarray:
        bar = np.zeros(self._rows[side].shape, self._rows[side].dtype)
        for k in range(chunks.count):
            bar[slice(*chunks.span(k))] += sums[side, k].total
        return bar

    def _grid(self, what: str) -> tuple[Chunks, Chunks]:
        n1, n2 = self._sizes
        rows = self._rows[-1]
        architecture = self._kernel.architecture
        shape = "x".join(map(str, rows.shape[1:]))
        name = f"{architecture.name} {self._kernel.kind}, {shape} {rows.dtype}, {what}"
        pairs = self._groups.pairs(name, lambda: measured_pairs(self._seconds(what), n1, n2))
        if len(self._sets) == 1:
            chunks = Chunks.at_most(min(n1, max(1, math.isqrt(pairs))), n1)
            return chunks, chunks
        size1, size2 = group_shape(pairs, n1, n2)
        return Chunks.at_most(size1, n1), Chunks.at_most(size2, n2)

    def _seconds(self, what: str) -> Callable[[int, int], float]:
        """The time of a tile, measured by a worker."""

        def seconds(rows: int, columns: int) -> float:
            group = Group(((0, rows), (0, columns)), (0, 0), ((0, 0), (1, 0)), False)
            bar = np.ones((rows, columns), self._rows[-1].dtype)
            # as in a step of KIP: natural images stay as they are
            wanted = (not isinstance(self._sets[0], Rows), True)
            task = self._task(group, bar if what == "gradient" else None, wanted)
            task = replace(task, job=replace(task.job, kind="measured", repeat=True))
            found: list[float] = []
            self._pool.compute(1, lambda _: task, lambda _, done: found.append(done.seconds))
            return found[0]

        return seconds

    def _divide(self, grid: tuple[Chunks, Chunks]) -> list[Group]:
        def group(i: int, j: int, *, alone: bool = False) -> Group:
            place = (grid[0], i), (grid[1], j)
            last = len(self._sets) - 1
            return Group(
                spans=tuple(chunks.span(k) for chunks, k in place),
                new=tuple(chunks.repeated(k) for chunks, k in place),
                targets=((0, i),) if alone else ((0, i), (last, j)),
                alone=alone,
            )

        if len(self._sets) == 1:
            off = [group(int(i), int(j)) for i, j in above(grid[0])]
            return off + [group(int(i), int(j), alone=True) for i, j in diagonal(grid[0])]
        # column by column: of one column's terms only some wait for others to be added
        tiles = all_tiles((grid[1], grid[0]))
        return [group(int(i), int(j)) for j, i in tiles]

    def _task(
        self,
        group: Group,
        bar: Float[np.ndarray, "size1 size2"] | None = None,
        wanted: tuple[bool, ...] = (),
    ) -> Task:
        sides = (0,) if group.alone else (0, len(self._sets) - 1)
        spans = group.spans[: len(sides)]
        parts = [
            replace(self._rows[side].part(*span), images=None)
            for side, span in zip(sides, spans, strict=True)
        ]
        (top, bottom), (left, right) = group.spans
        n1, n2 = self._sizes
        job = Job(
            name=f"the tile [{top}:{bottom}, {left}:{right}] of the {n1} x {n2} block",
            kind=f"{self._kernel!r} {'values' if bar is None else 'gradient'}",
            kernel=self._kernel,
            rows=tuple(parts),
            bar=bar,
            wanted=tuple(wanted[side] for side in sides) if bar is not None else (),
            x64=bool(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
        )
        return Task(job, tuple(self._images[side] for side in sides))


def on_host(
    values: Callable[..., Array], pull: Callable[..., tuple[Array, ...]]
) -> Callable[..., Array]:
    """A function that JAX can differentiate, outside of `jax.jit`, with both halves on the host.

    Args:
        values: its value.
        pull: from the cotangent of the value, and the arguments, to their cotangents.
    """
    function = jax.custom_vjp(values)

    def backward(x: tuple[Array, ...], bar: Array) -> tuple[Array, ...]:
        return pull(bar, *x)

    function.defvjp(lambda *x: (values(*x), x), backward)
    return functools.wraps(values)(function)
