"""Kernel blocks whose rows are computed side by side by the devices of a mesh."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.kernels import Kernel


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
        # every device computes it: that of a support is small beside its block with the targets
        return self.kernel.of_self(x)


def on_mesh(kernel: Kernel, mesh: Mesh | None = None) -> Kernel:
    """The kernel with its blocks shared out over the devices of a mesh.

    Args:
        kernel: any kernel whose blocks JAX can trace; a mixture stays one.
        mesh: the devices; None: all that JAX has. What a block is computed of must lie on these
            devices, or be committed to none (as `jnp.asarray` leaves it).

    Raises:
        InputError: the kernel is computed elsewhere, or depends on random keys.
    """
    if not kernel.traceable or jax.tree.leaves(kernel):
        raise InputError(
            "only kernels that JAX can trace, and that depend on no random key, are shared out "
            f"over a mesh; got {type(kernel).__name__}"
        )
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
