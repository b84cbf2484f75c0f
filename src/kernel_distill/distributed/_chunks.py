"""Rows in chunks of one size, so that one program serves them all.

Where the size does not divide the rows, the last chunk begins earlier and holds rows of the one
before again. Nothing is filled up: rows of zeros could make a gradient NaN, even where their part
is cropped off.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Index = Any  # an int, or a traced one
Tile = Any  # two of them: its row and its column


@dataclass(frozen=True)
class Chunks:
    """How some rows are cut.

    Attributes:
        rows: how many there are.
        size: rows of a chunk, at most `rows`.
        count: how many chunks; more than are needed hold only rows that were there before.
    """

    rows: int
    size: int
    count: int

    @classmethod
    def at_most(cls, size: int, rows: int) -> "Chunks":
        """As few chunks of at most `size` rows as can be, and of those the smallest."""
        count = -(-rows // size)
        return cls(rows, -(-rows // count), count)

    @classmethod
    def into(cls, count: int, rows: int) -> "Chunks":
        """So many chunks."""
        return cls(rows, -(-rows // count), count)

    def start(self, k: Index) -> Index:
        """The first row of chunk k."""
        return jnp.minimum(k * self.size, self.rows - self.size)

    def span(self, k: int) -> tuple[int, int]:
        """The first row of chunk k, and the one after its last, as numbers of Python's."""
        first = min(k * self.size, self.rows - self.size)
        return first, first + self.size

    def repeated(self, k: int) -> int:
        """How many rows of chunk k the one before it holds already."""
        return k * self.size - self.span(k)[0]

    def take(self, x: Float[Array, "n *shape"], k: Index) -> Float[Array, "size *shape"]:
        """Chunk k."""
        return jax.lax.dynamic_slice_in_dim(x, self.start(k), self.size)

    def add(
        self, x: Float[Array, "n *shape"], k: Index, part: Float[Array, "size *shape"]
    ) -> Float[Array, "n *shape"]:
        """Adds something to chunk k."""
        return jax.lax.dynamic_update_slice_in_dim(x, self.take(x, k) + part, self.start(k), 0)

    def new(self, k: Index) -> Bool[Array, "size"]:
        """Which rows of chunk k no chunk before it holds."""
        return self.start(k) + jnp.arange(self.size) >= k * self.size


def take_tile(
    block: Float[Array, "n1 n2"], grid: tuple[Chunks, Chunks], at: Tile
) -> Float[Array, "size1 size2"]:
    """What stands in a block where two chunks meet; zero in what other tiles hold too."""
    rows, columns = (each.new(k) for each, k in zip(grid, at, strict=True))
    place, sizes = _place(grid, at), tuple(each.size for each in grid)
    tile = jax.lax.dynamic_slice(block, place, sizes)
    return jnp.where(rows[:, None] & columns, tile, 0)


def put_tile(
    block: Float[Array, "n1 n2"],
    grid: tuple[Chunks, Chunks],
    at: Tile,
    tile: Float[Array, "size1 size2"],
) -> Float[Array, "n1 n2"]:
    """The block with a tile where two chunks meet; what other tiles hold too is left as it is."""
    rows, columns = (each.new(k) for each, k in zip(grid, at, strict=True))
    place = _place(grid, at)
    present = jax.lax.dynamic_slice(block, place, tile.shape)
    tile = jnp.where(rows[:, None] & columns, tile, present)
    return jax.lax.dynamic_update_slice(block, tile, place)


def _place(grid: tuple[Chunks, Chunks], at: Tile) -> tuple[Index, Index]:
    return grid[0].start(at[0]), grid[1].start(at[1])
