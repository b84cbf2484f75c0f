"""What the wrappers of this folder require of a kernel."""

import jax

from kernel_distill._errors import InputError
from kernel_distill.kernels import Kernel


def check_wrappable(kernel: Kernel) -> None:
    """Raises InputError unless JAX can trace the kernel, and it is a constant of the trace."""
    if not kernel.traceable or jax.tree.leaves(kernel):
        raise InputError(
            "only kernels that JAX can trace, and that depend on no random key, are computed in "
            f"tiles or shared out over devices; got {type(kernel).__name__}"
        )
