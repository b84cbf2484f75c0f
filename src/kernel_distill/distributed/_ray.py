"""Kernel blocks computed by workers on a Ray cluster."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.distributed._checks import check_wrappable
from kernel_distill.distributed._groups import Groups
from kernel_distill.distributed._pool import Pool, Status
from kernel_distill.distributed._shared_block import SharedBlock, Store, on_host
from kernel_distill.kernels import Kernel, Rows, Settled


@dataclass(frozen=True)
class RayKernel(Kernel):
    """See `on_ray`.

    Attributes:
        kernel: what every worker computes.
        pool: the workers.
        store: puts arrays where they find them.
        groups: how blocks are divided.
    """

    kernel: Kernel
    pool: Pool
    store: Store
    groups: Groups

    @property
    def traceable(self) -> bool:
        return False

    @property
    def members(self) -> tuple[Kernel, ...]:
        return tuple(self._like(member) for member in self.kernel.members)

    @property
    def status(self) -> Status:
        """How far the block is that is being computed."""
        return self.pool.status

    @property
    def progress(self) -> str:
        return str(self.status)

    def for_run(self, settled: Settled) -> Kernel:
        return replace(self, groups=self.groups.kept_in(settled))

    def at(self, key: PRNGKeyArray) -> Kernel:
        return self._like(self.kernel.at(key))

    def cross(
        self, x1: Float[Array, "n1 *shape"] | Rows, x2: Float[Array, "n2 *shape"]
    ) -> Float[Array, "n1 n2"]:
        if isinstance(x1, Rows):
            return self._on_host((x1,), x2)
        return self._on_host((), x1, x2)

    def of_self(self, x: Float[Array, "n *shape"]) -> Float[Array, "n n"]:
        return self._on_host((), x)

    def _like(self, kernel: Kernel) -> "RayKernel":
        return replace(self, architecture=kernel.architecture, kind=kernel.kind, kernel=kernel)

    def _on_host(self, rows: tuple[Rows, ...], *x: Array) -> Array:
        """The block of rows that stay as they are, and of sets with derivatives."""

        def block(*x: Array) -> SharedBlock:
            if any(isinstance(each, jax.core.Tracer) for each in x):
                raise InputError(
                    "a pool's kernel is computed outside of jax.jit (kernel.traceable says so): "
                    "leave the function that calls it as it is"
                )
            return SharedBlock(self.pool, self.store, self.groups, self.kernel, (*rows, *x))

        def values(*x: Array) -> Array:
            return jnp.asarray(block(*x).values())

        def pull(bar: Array, *x: Array) -> tuple[Array, ...]:
            wanted = (False,) * len(rows) + (True,) * len(x)
            return tuple(map(jnp.asarray, block(*x).pull(bar, wanted)))

        return on_host(values, pull)(*x)


def on_ray(
    kernel: Kernel,
    address: str | None = None,
    *,
    insecure: bool = False,
    group: int | None = None,
    deadline: float = 60.0,
    give_up_after: float = 300.0,
) -> Kernel:
    """The kernel with its blocks computed by the cores of a Ray cluster.

    Groups of pairs of images are handed out to the nodes as these become free, so that they may be
    of different speeds, be added while a run goes on, die, and freeze; a group that is late is
    handed out again. On the way back a worker is sent the cotangent of its group, and gives back
    what that contributes to the gradient. Partial gradients are added along a fixed tree: on
    machines of one kind, the bits of a result do not depend on who computed what, nor on what
    failed. What one job would compute of a set with itself is computed here.

    Give natural images as `Rows`: they are sent to a node once. Call it, and differentiate it,
    outside of `jax.jit`. Workers need the same version of Python and of this package, and one core
    each; they leave GPUs alone.

    A cluster does not outlive its head node. Where that dies PoolError is raised, or Ray ends this
    process after a minute: a run then goes on from its last checkpoint, two minutes old at most
    where steps are shorter.

    A token is asked for on this side alone, which does not tell whether the cluster asks for it
    too: one whose head was started without RAY_AUTH_MODE=token lets everybody run code on it, and
    takes those with a token as well.

    Args:
        kernel: any kernel that JAX can trace; a mixture stays one. `tiled` first, where a core's
            share of memory is short.
        address: "local" starts Ray on the cores of this machine; "auto" joins the cluster that
            this machine is a part of (`ray start`); or host:port. None: the cluster that this
            process is connected to, or else "local". Where it is connected already, only the
            address that led there.
        insecure: join a cluster without a token.
        group: pairs of images in a group; None: as many as are measured to take a second, when a
            run begins.
        deadline: seconds after which a group is handed out again, at least; five times the longest
            that one of its kind took, where that is more.
        give_up_after: seconds without any result after which PoolError is raised, or three times
            the deadline, if that is longer.

    Raises:
        InputError: the kernel is computed elsewhere already, or depends on random keys; there is
            no cluster at the address, or not the token for it.
        MissingExtraError: Ray is not installed.
    """
    from kernel_distill.distributed._cluster import join

    check_wrappable(kernel)
    if group is not None and group < 1:
        raise InputError(f"a group needs a pair of images at least; got group={group}")
    cluster = join(address, insecure=insecure)
    pool = Pool(cluster, deadline=deadline, give_up_after=give_up_after)
    # bound once: kernels compare by what they were made with
    return RayKernel(kernel.architecture, kernel.kind, kernel, pool, cluster.store, Groups(group))
