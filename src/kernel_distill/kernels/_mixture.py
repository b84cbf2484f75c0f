"""Several kernels at once, one drawn for each step."""

from dataclasses import dataclass, replace

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.kernels._kernel import Kernel, Settled


@dataclass(frozen=True)
class MixtureKernel(Kernel):
    """A kernel that is another of its `members` at every step (KIP over several architectures).

    Attributes:
        kernels: what `at` draws from, with equal chances.
    """

    kernels: tuple[Kernel, ...]

    @property
    def members(self) -> tuple[Kernel, ...]:
        return self.kernels

    @property
    def traceable(self) -> bool:
        return all(kernel.traceable for kernel in self.kernels)

    @property
    def progress(self) -> str:
        told = (kernel.progress for kernel in self.kernels)
        return ", ".join(dict.fromkeys(filter(None, told)))

    def for_run(self, settled: Settled) -> Kernel:
        return replace(self, kernels=tuple(kernel.for_run(settled) for kernel in self.kernels))

    def at(self, key: PRNGKeyArray) -> Kernel:
        member = self.kernels[int(jax.random.randint(key, (), 0, len(self.kernels)))]
        return member.at(jax.random.fold_in(key, 1))

    def cross(
        self, x1: Float[Array, "n1 *shape"], x2: Float[Array, "n2 *shape"]
    ) -> Float[Array, "n1 n2"]:
        raise InputError(_AT)

    def of_self(self, x: Float[Array, "n *shape"]) -> Float[Array, "n n"]:
        raise InputError(_AT)


_AT = "a mixture of kernels is no kernel by itself: draw one with kernel.at(key)"


def mixture(*kernels: Kernel) -> Kernel:
    """One kernel out of several: `kernel.at(key)` draws one of them, as a KIP step does.

    Members of a mixture among them are drawn as often as the others.

    Raises:
        InputError: no kernel was given.
    """
    if not kernels:
        raise InputError("a mixture needs at least one kernel; got none")
    members = tuple(member for kernel in kernels for member in kernel.members)
    return MixtureKernel(members[0].architecture, members[0].kind, members)
