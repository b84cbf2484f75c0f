"""How much memory there is, for what asks before it starts."""

import os
from math import ceil


def machine_memory() -> int | None:
    """Bytes of the machine, in use or not; None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def device_memory() -> int | None:
    """Bytes of the device that JAX computes on, if it has its own; None on CPU."""
    import jax

    statistics = jax.local_devices()[0].memory_stats()  # None on CPU
    return int(statistics["bytes_limit"]) if statistics and "bytes_limit" in statistics else None


def available_memory() -> int | None:
    """Bytes of the device that JAX computes on, or of the machine; None where no one tells."""
    own = device_memory()
    return machine_memory() if own is None else own


def at_a_time(most: int, needed: int) -> int:
    """How many of what takes so many bytes each fit half the memory together; at least one.

    They are as many each time as may be: of ten, of which eight fit, five and five.
    """
    fitting = max(1, min(most, (available_memory() or 0) // (2 * needed)))
    return ceil(most / ceil(most / fitting))
