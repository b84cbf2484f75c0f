"""Kernel blocks computed side by side by the devices of a mesh.

Of a block every device computes some rows. Of the kernel of a set with itself, which is symmetric,
D devices cut the set into 2 D chunks: above the diagonal there are D (2 D - 1) tiles and on it
2 D, so that each device has 2 D - 1 of the ones and 2 of the others.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill.distributed._checks import check_wrappable
from kernel_distill.distributed._chunks import Chunks
from kernel_distill.distributed._tiles import (
    Tiles,
    above,
    diagonal,
    pull_self_tiles,
    self_tiles,
)
from kernel_distill.kernels import Kernel

Results = TypeVar("Results")


@dataclass(frozen=True)
class MeshKernel(Kernel):
    """A kernel of the same values, the rows of its blocks shared out over devices.

    Attributes:
        kernel: what every device computes.
        mesh: the devices; all of its axes share the rows.
    """

    kernel: Kernel
    mesh: Mesh

    @property
    def members(self) -> tuple[Kernel, ...]:
        return tuple(on_mesh(member, self.mesh) for member in self.kernel.members)

    def at(self, key: PRNGKeyArray) -> Kernel:
        return on_mesh(self.kernel.at(key), self.mesh)

    def whole(self, results: Results) -> Results:
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        return jax.lax.with_sharding_constraint(results, everywhere)

    def cross(
        self, x1: Float[Array, "n1 *shape"], x2: Float[Array, "n2 *shape"]
    ) -> Float[Array, "n1 n2"]:
        if len(x1) < len(x2):  # the longer side is shared out
            return self.cross(x2, x1).T
        padding = -len(x1) % self.mesh.size
        # a real row again: rows of zeros could make the gradient NaN
        padded = jnp.concatenate([x1, jnp.repeat(x1[-1:], padding, axis=0)])
        return _shared(self.kernel, self.mesh, padded, x2)[: len(x1)]

    def of_self(self, x: Float[Array, "n *shape"]) -> Float[Array, "n n"]:
        return _shared_self(self.kernel, self.mesh, x)


def on_mesh(kernel: Kernel, mesh: Mesh | None = None) -> Kernel:
    """The kernel with its blocks shared out over the devices of a mesh.

    Args:
        kernel: any kernel whose blocks JAX can trace; a mixture stays one.
        mesh: the devices; None: all that JAX has, those of all processes that `jax.distributed`
            has joined. What a block is computed of must lie on these devices, or be committed to
            none (as `jnp.asarray` leaves it); of several processes, each must have the same. Each
            then has some rows of the block: what is computed of it in a traced function can be
            read through `kernel.whole`.

    Raises:
        InputError: the kernel is computed elsewhere, or depends on random keys.
    """
    check_wrappable(kernel)
    mesh = Mesh(np.asarray(jax.devices()), ("rows",)) if mesh is None else mesh
    return MeshKernel(kernel.architecture, kernel.kind, kernel, mesh)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _shared(
    kernel: Kernel, mesh: Mesh, x1: Float[Array, "n1 *shape"], x2: Float[Array, "n2 *shape"]
) -> Float[Array, "n1 n2"]:
    rows, everywhere = PartitionSpec(mesh.axis_names), PartitionSpec()
    compute = jax.shard_map(
        kernel.cross, mesh=mesh, in_specs=(rows, everywhere), out_specs=rows, check_vma=False
    )
    return compute(x1, x2)


def _forward(
    kernel: Kernel, mesh: Mesh, x1: Float[Array, "n1 *shape"], x2: Float[Array, "n2 *shape"]
) -> tuple[Array, tuple[Array, Array]]:
    return _shared(kernel, mesh, x1, x2), (x1, x2)


def _backward(
    kernel: Kernel, mesh: Mesh, arguments: tuple[Array, Array], bar: Float[Array, "n1 n2"]
) -> tuple[Array, Array]:
    """Every device pulls its rows back; what it finds for x2 is a part of the sum."""

    def of_rows(x1: Array, x2: Array, bar: Array) -> tuple[Array, Array]:
        _, pull = jax.vjp(kernel.cross, x1, x2)
        x1_bar, x2_bar = pull(bar)
        return x1_bar, jax.lax.psum(x2_bar, mesh.axis_names)

    rows, everywhere = PartitionSpec(mesh.axis_names), PartitionSpec()
    shared = jax.shard_map(
        of_rows,
        mesh=mesh,
        in_specs=(rows, everywhere, rows),
        out_specs=(rows, everywhere),
        check_vma=False,
    )
    return shared(*arguments, bar)


_shared.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _shared_self(kernel: Kernel, mesh: Mesh, x: Float[Array, "n *shape"]) -> Float[Array, "n n"]:
    chunks = _halves(mesh, x)

    def of_tiles(above: Array, diagonal: Array, x: Array) -> Array:
        return jax.lax.psum(self_tiles(kernel, chunks, above, diagonal, x), mesh.axis_names)

    return _over_tiles(mesh, of_tiles)(above(chunks), diagonal(chunks), x)


def _self_forward(kernel: Kernel, mesh: Mesh, x: Array) -> tuple[Array, Array]:
    return _shared_self(kernel, mesh, x), x


def _self_backward(kernel: Kernel, mesh: Mesh, x: Array, bar: Array) -> tuple[Array]:
    chunks = _halves(mesh, x)

    def of_tiles(above: Array, diagonal: Array, x: Array, bar: Array) -> Array:
        part = pull_self_tiles(kernel, chunks, above, diagonal, x, bar=bar)
        return jax.lax.psum(part, mesh.axis_names)

    return (_over_tiles(mesh, of_tiles)(above(chunks), diagonal(chunks), x, bar),)


_shared_self.defvjp(_self_forward, _self_backward)


def _halves(mesh: Mesh, x: Array) -> Chunks:
    return Chunks.into(2 * mesh.size, len(x))


def _over_tiles(mesh: Mesh, of_tiles: Callable[..., Array]) -> Callable[..., Array]:
    """The sum of what devices make of their tiles; the arguments after the tiles they share."""

    def compute(above: Tiles, diagonal: Tiles, *arrays: Array) -> Array:
        tiles, everywhere = PartitionSpec(mesh.axis_names), PartitionSpec()
        in_specs = (tiles, tiles, *(everywhere for _ in arrays))
        shared = jax.shard_map(
            of_tiles, mesh=mesh, in_specs=in_specs, out_specs=everywhere, check_vma=False
        )
        return shared(jnp.asarray(above), jnp.asarray(diagonal), *arrays)

    return compute
