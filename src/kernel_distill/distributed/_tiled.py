"""Kernel blocks computed tile by tile on one device."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.distributed._budget import allowed_memory, largest_tile
from kernel_distill.distributed._checks import check_wrappable
from kernel_distill.distributed._chunks import Chunks
from kernel_distill.distributed._tiles import (
    Grid,
    above,
    all_tiles,
    cross_tiles,
    diagonal,
    pull_cross_tiles,
    pull_self_tiles,
    self_tiles,
)
from kernel_distill.kernels import Kernel


@dataclass(frozen=True)
class TiledKernel(Kernel):
    """See `tiled`."""

    kernel: Kernel
    block: tuple[int, int] | None
    memory: int | None

    @property
    def members(self) -> tuple[Kernel, ...]:
        return tuple(map(self._of, self.kernel.members))

    def at(self, key: PRNGKeyArray) -> Kernel:
        return self._of(self.kernel.at(key))

    def _of(self, kernel: Kernel) -> Kernel:
        return tiled(kernel, block=self.block, memory=self.memory)

    def cross(
        self, x1: Float[Array, "n1 *shape"], x2: Float[Array, "n2 *shape"]
    ) -> Float[Array, "n1 n2"]:
        rows, columns = self._tile(x1, x2)
        grid = Chunks.at_most(rows, len(x1)), Chunks.at_most(columns, len(x2))
        return _cross(self.kernel, grid, x1, x2)

    def of_self(self, x: Float[Array, "n *shape"]) -> Float[Array, "n n"]:
        return _self(self.kernel, Chunks.at_most(min(self._tile(x, x)), len(x)), x)

    def _tile(self, x1: Array, x2: Array) -> tuple[int, int]:
        if self.block is not None:
            return self.block
        assert self.memory is not None  # `tiled` sees to it
        return largest_tile(self.kernel, x1.shape, x2.shape, x1.dtype.name, self.memory)


def tiled(
    kernel: Kernel, *, block: tuple[int, int] | None = None, memory: int | None = None
) -> Kernel:
    """The kernel with its blocks computed tile by tile, one after another.

    Memory, with the gradient in both arguments, is that of one tile besides arguments and result:
    the backward pass keeps nothing of the forward pass and computes every tile anew. Of the kernel
    of a set with itself only the upper half is computed, in tiles as high as they are wide.

    Args:
        kernel: any kernel that JAX can trace; a mixture stays one.
        block: rows and columns of a tile, at most; all tiles of a block have the same size. None:
            as many as `memory` allows, which the compiler is asked for (it compiles a few sizes
            when a block is first computed).
        memory: bytes that a tile may take; None: a quarter of a device's memory.

    Raises:
        InputError: a tile without rows or columns, no memory; the kernel is computed elsewhere, or
            depends on random keys. When a block is computed: a single pair takes more memory.
    """
    check_wrappable(kernel)
    if block is not None and min(block) < 1:
        raise InputError(f"a tile needs a row and a column at least; got block={block}")
    if block is None and memory is None:
        memory = allowed_memory()
    if memory is not None and memory < 1:
        raise InputError(f"a tile needs memory, in bytes; got memory={memory}")
    return TiledKernel(kernel.architecture, kernel.kind, kernel, block, memory)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _cross(
    kernel: Kernel, grid: Grid, x1: Float[Array, "n1 *shape"], x2: Float[Array, "n2 *shape"]
) -> Float[Array, "n1 n2"]:
    return cross_tiles(kernel, grid, all_tiles(grid), x1, x2)


def _cross_forward(kernel: Kernel, grid: Grid, *x: Array) -> tuple[Array, Any]:
    return _cross(kernel, grid, *x), x


def _cross_backward(kernel: Kernel, grid: Grid, x: Any, bar: Array) -> tuple[Array, Array]:
    return pull_cross_tiles(kernel, grid, all_tiles(grid), *x, bar=bar)


_cross.defvjp(_cross_forward, _cross_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _self(kernel: Kernel, chunks: Chunks, x: Float[Array, "n *shape"]) -> Float[Array, "n n"]:
    return self_tiles(kernel, chunks, above(chunks), diagonal(chunks), x)


def _self_forward(kernel: Kernel, chunks: Chunks, x: Array) -> tuple[Array, Array]:
    return _self(kernel, chunks, x), x


def _self_backward(kernel: Kernel, chunks: Chunks, x: Array, bar: Array) -> tuple[Array]:
    return (pull_self_tiles(kernel, chunks, above(chunks), diagonal(chunks), x, bar=bar),)


_self.defvjp(_self_forward, _self_backward)
