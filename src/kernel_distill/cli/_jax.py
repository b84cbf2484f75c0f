"""JAX's global settings, which the command line makes and the library does not."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import jax

from kernel_distill._errors import InputError


def configure() -> None:
    """float64 admitted, a device for every core, and compiled programs kept between runs."""
    from platformdirs import user_cache_dir

    jax.config.update("jax_enable_x64", True)
    # XLA's own threads bring nothing to the convolutional kernels: their blocks are shared out
    # over devices (`distributed.on_mesh`)
    forced = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if jax.config.jax_num_cpu_devices < 0 and not forced:  # type: ignore[attr-defined]
        # where JAX has begun its work in this process, its devices are what they are
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", _cores())
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        cache = Path(user_cache_dir("kernel-distill", appauthor=False)) / "programs"
        jax.config.update("jax_compilation_cache_dir", str(cache))


@contextlib.contextmanager
def out_of_memory() -> Iterator[None]:
    """Within the block, an error of JAX that a device is out of memory says what to do.

    Raises:
        InputError: so it is.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not str(error).startswith("RESOURCE_EXHAUSTED"):
            raise
        raise InputError(
            f"a device ran out of memory ({str(error).splitlines()[0]}): compute kernel blocks in "
            "smaller tiles (--memory 1GiB, or --tile 50x250), or take smaller batches. What a run "
            "has saved goes on with --resume."
        ) from error


def _cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
