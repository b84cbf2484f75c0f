"""How much memory there is, for what asks before it starts."""

import os


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
