"""Whether what is asked for can fit, before hours are spent on finding out."""

import os

from kernel_distill._errors import InputError

_GIB = 2**30


def require_memory(needed: int, *, what: str, remedy: str) -> None:
    """Raise `InputError` if `needed` bytes are more than the machine has at all."""
    try:
        present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not every system tells
        return
    if needed > present:
        raise InputError(
            f"{what} needs about {needed / _GIB:.0f} GiB of memory; this machine has "
            f"{present / _GIB:.0f} GiB. {remedy}"
        )
