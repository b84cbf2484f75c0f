"""Whether what is asked for can fit, before hours are spent on finding out."""

from kernel_distill._errors import InputError
from kernel_distill._memory import machine_memory

_GIB = 2**30


def require_memory(needed: int, *, what: str, remedy: str) -> None:
    """Raise `InputError` if `needed` bytes are more than the machine has at all."""
    present = machine_memory()
    if present is not None and needed > present:
        raise InputError(
            f"{what} needs about {needed / _GIB:.0f} GiB of memory; this machine has "
            f"{present / _GIB:.0f} GiB. {remedy}"
        )
