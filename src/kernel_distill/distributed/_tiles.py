"""Some tiles of a block, and the pull of their cotangents: what is handed out, to whomever.

A block is the grid of two sets' chunks. Of the kernel of a set with itself only the tiles above
the diagonal and on it are computed; those on it by the kernel's own path, which is exact there.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from kernel_distill.distributed._chunks import Chunks, put_tile, take_tile
from kernel_distill.kernels import Kernel

Grid = tuple[Chunks, Chunks]
Tiles = Int[Array, "_ 2"] | Int[np.ndarray, "_ 2"]  # row and column of each in the grid


def all_tiles(grid: Grid) -> Tiles:
    """Every tile of a grid."""
    return np.moveaxis(np.indices((grid[0].count, grid[1].count)), 0, -1).reshape(-1, 2)


def above(chunks: Chunks) -> Tiles:
    """The tiles above the diagonal."""
    return np.stack(np.triu_indices(chunks.count, 1), axis=-1)


def diagonal(chunks: Chunks) -> Tiles:
    """The tiles on the diagonal."""
    return np.stack([np.arange(chunks.count)] * 2, axis=-1)


def cross_tiles(
    kernel: Kernel,
    grid: Grid,
    tiles: Tiles,
    x1: Float[Array, "n1 *shape"],
    x2: Float[Array, "n2 *shape"],
) -> Float[Array, "n1 n2"]:
    """The block of two sets with these tiles, and zero elsewhere."""

    def put(block: Array, at: Array) -> tuple[Array, None]:
        tile = kernel.cross(grid[0].take(x1, at[0]), grid[1].take(x2, at[1]))
        return put_tile(block, grid, at, tile), None

    nothing = jnp.zeros((len(x1), len(x2)), x1.dtype)
    return jax.lax.scan(put, nothing, jnp.asarray(tiles))[0]


def pull_cross_tiles(
    kernel: Kernel,
    grid: Grid,
    tiles: Tiles,
    x1: Float[Array, "n1 *shape"],
    x2: Float[Array, "n2 *shape"],
    *,
    bar: Float[Array, "n1 n2"],
) -> tuple[Float[Array, "n1 *shape"], Float[Array, "n2 *shape"]]:
    """What these tiles, each computed anew, contribute to the cotangents of both sets."""

    def add(bars: tuple[Array, Array], at: Array) -> tuple[tuple[Array, Array], None]:
        _, pull = jax.vjp(kernel.cross, grid[0].take(x1, at[0]), grid[1].take(x2, at[1]))
        part1, part2 = pull(take_tile(bar, grid, at))
        return (grid[0].add(bars[0], at[0], part1), grid[1].add(bars[1], at[1], part2)), None

    nothing = jnp.zeros_like(x1), jnp.zeros_like(x2)
    return jax.lax.scan(add, nothing, jnp.asarray(tiles))[0]


def self_tiles(
    kernel: Kernel,
    chunks: Chunks,
    above: Tiles,
    diagonal: Tiles,
    x: Float[Array, "n *shape"],
) -> Float[Array, "n n"]:
    """The kernel of a set with itself: these tiles with what mirrors them, and zero elsewhere."""

    def put(block: Array, at: Array) -> tuple[Array, None]:
        tile = kernel.of_self(chunks.take(x, at[0]))
        return put_tile(block, (chunks, chunks), at, tile), None

    upper = cross_tiles(kernel, (chunks, chunks), above, x, x)
    return jax.lax.scan(put, upper + upper.T, jnp.asarray(diagonal))[0]


def pull_self_tiles(
    kernel: Kernel,
    chunks: Chunks,
    above: Tiles,
    diagonal: Tiles,
    x: Float[Array, "n *shape"],
    *,
    bar: Float[Array, "n n"],
) -> Float[Array, "n *shape"]:
    """What these tiles, with those that mirror them, contribute to the cotangent of the set."""

    def add(x_bar: Array, at: Array) -> tuple[Array, None]:
        _, pull = jax.vjp(kernel.of_self, chunks.take(x, at[0]))
        (part,) = pull(take_tile(bar, (chunks, chunks), at))
        return chunks.add(x_bar, at[0], part), None

    rows, columns = pull_cross_tiles(kernel, (chunks, chunks), above, x, x, bar=bar + bar.T)
    return jax.lax.scan(add, rows + columns, jnp.asarray(diagonal))[0]
