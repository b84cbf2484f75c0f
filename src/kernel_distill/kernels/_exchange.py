"""Rows of a plane whose columns are exchanged between the threads of a program.

Triton shifts nothing along an axis of a block (a product with a tridiagonal matrix would do it,
for 32 operations in place of two). So a row is written to memory that is the program's own and
small enough to stay in the caches, and read from a column to the left and one to the right.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from kernel_distill.kernels._side import IMAGES

PAIRS = IMAGES[0] * IMAGES[1]  # of a program

Row = Float[Array, "_pixel"]  # a number for every column and pair, the pairs minor
Pair = tuple[Row, Row | None]  # of M and T, or of their cotangents


@dataclass(frozen=True)
class Pixels:
    """What each entry of a `Row` is of.

    Attributes:
        column: of the image.
        pair: of the program's.
    """

    column: Int[Array, "_pixel"]
    pair: Int[Array, "_pixel"]

    @property
    def images(self) -> tuple[Int[Array, "_pixel"], Int[Array, "_pixel"]]:
        """Which of the program's images on both sides."""
        return quotient(self.pair, IMAGES[1]), remainder(self.pair, IMAGES[1])


def inside(width: int) -> Pixels:
    """All columns of an image."""
    entries = jax.lax.iota(jnp.int32, width * PAIRS)
    return Pixels(quotient(entries, PAIRS), remainder(entries, PAIRS))


def beside(width: int) -> Pixels:
    """The columns next to it, one to the left and one to the right."""
    entries = jax.lax.iota(jnp.int32, 2 * PAIRS)
    return Pixels(quotient(entries, PAIRS) * (width + 1) - 1, remainder(entries, PAIRS))


def quotient(x: Any, by: int) -> Any:
    """Of numbers that are not negative: the operator's own care for the sign is many operations."""
    return x // by if isinstance(x, int) else jax.lax.div(x, jnp.full_like(x, by))


def remainder(x: Any, by: int) -> Any:
    """Of numbers that are not negative."""
    return x % by if isinstance(x, int) else jax.lax.rem(x, jnp.full_like(x, by))


@dataclass(frozen=True)
class Exchange:
    """Memory in which the threads of a program find each other's columns.

    A step uses every slot once, and the steps two copies of them in turn: what a thread writes
    the others may still be reading the step before, but no longer the one before that, when all
    have come to the barrier in between.

    Attributes:
        memory: [2, slot, (width + 2) * PAIRS], zero in the beginning.
        width: of the rows.
        barrier: waits for all threads.
    """

    memory: Any
    width: int
    barrier: Callable[[], None]

    def across(self, step: Any, slot: int, inner: Pair, outer: Row) -> Pair:
        """The sum of each column with its neighbours, of M and of T.

        Args:
            step: its number.
            slot: the first of two.
            inner: all columns.
            outer: M of those next to the image, where T is zero.
        """
        self._write(step, slot, inner)
        pixels = beside(self.width)
        ends = (pixels.column + 1) * PAIRS + pixels.pair
        self.memory[(*self._place(step, slot), ends)] = outer
        return self._sums(step, slot, inner)

    def back_across(self, step: Any, slot: int, inner: Pair) -> tuple[Pair, Row]:
        """Its transpose: of all columns M and T, and of those next to the image M."""
        self._write(step, slot, inner)
        sums = self._sums(step, slot, inner)
        pixels = beside(self.width)
        neighbours = jnp.clip(pixels.column + 1, 1, self.width) * PAIRS + pixels.pair
        return sums, self.memory[(*self._place(step, slot), neighbours)]

    def _sums(self, step: Any, slot: int, inner: Pair) -> Pair:
        self.barrier()
        sums: list[Any] = [None, None]
        for k, row in enumerate(inner):
            if row is not None:
                place = self._place(step, slot + k)
                left, right = (
                    self.memory[(*place, pl.ds(start, len(row)))] for start in (0, 2 * PAIRS)
                )
                sums[k] = left + row + right
        return sums[0], sums[1]

    def _write(self, step: Any, slot: int, inner: Pair) -> None:
        for k, row in enumerate(inner):
            if row is not None:
                self.memory[(*self._place(step, slot + k), pl.ds(PAIRS, len(row)))] = row

    def _place(self, step: Any, slot: int) -> tuple[Any, int]:
        return remainder(step, 2), slot
