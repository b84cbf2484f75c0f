"""What the workers of a pool compute: one tile of a block, or the pull of its cotangent."""

import contextlib
import functools
import os
import pickle
import time
import traceback
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from kernel_distill._errors import KernelDistillError, NumericalError, PoolError
from kernel_distill.kernels import Kernel, Rows


@dataclass(frozen=True, eq=False)
class Job:
    """A tile of a block, as it is sent to a worker: small, and no arrays of JAX.

    Attributes:
        name: for messages.
        kind: jobs of one kind take about the same time on the same machine.
        kernel: whose block it is.
        rows: of the tile, and its columns; of a tile of a set with itself, the rows alone. Their
            images are sent apart, by way of the object store.
        bar: the cotangent of the tile; None: its values are wanted.
        wanted: of which of `rows` the cotangents are wanted.
        x64: whether JAX admits 64 bits.
        repeat: whether to compute it twice, and to measure the second time.
    """

    name: str
    kind: str
    kernel: Kernel
    rows: tuple[Rows, ...]
    bar: Float[np.ndarray, "size1 size2"] | None
    wanted: tuple[bool, ...]
    x64: bool
    repeat: bool = False


@dataclass(frozen=True, eq=False)
class Done:
    """What a worker gives back.

    Attributes:
        arrays: the tile; or the cotangents that are wanted.
        seconds: that it took.
        first: whether `seconds` tells little about others of its kind: the program had to be
            compiled first, or it was a job to be measured.
    """

    arrays: tuple[np.ndarray, ...]
    seconds: float
    first: bool


class UnfitError(Exception):
    """A node cannot do any job: it lacks the package, or has another version of it."""


@functools.cache
def versions() -> dict[str, str]:
    """Of what must be alike on all machines, for the same bits; of a source tree that is not
    installed nothing is known."""
    found = {}
    for name in ("kernel-distill", "jax", "jaxlib"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def compute(
    packed: bytes, expected: dict[str, str], *images: Float[np.ndarray, "n *shape"]
) -> Done | KernelDistillError | UnfitError:
    """Does a job.

    Args:
        packed: the job, pickled: what it is made of is imported here, once JAX is set up.
        expected: `versions` of the process that it is for.
        images: the set that each of its rows are of.

    Returns:
        What it gives; NumericalError where that is not finite; PoolError where the kernel raises
        an error; UnfitError where other versions are here. (To raise them here would have Ray
        print them, of each worker one.)
    """
    name = "a job"
    if (here := versions()) != expected:
        return UnfitError(f"{_here()} has {here}, not {expected}")
    try:
        _set_up()
        job: Job = pickle.loads(packed)  # from the process that this one works for
        name = job.name
        with jax.enable_x64(job.x64):
            return _compute(job, images)
    except NumericalError as error:
        return error
    except Exception as error:
        failure = PoolError(f"{name} failed on {_here()}: {type(error).__name__}: {error}")
        failure.add_note(traceback.format_exc())  # the error itself might not unpickle elsewhere
        return failure


def _compute(job: Job, images: tuple[np.ndarray, ...]) -> Done:
    begin = time.monotonic()
    sets = zip(job.rows, images, strict=True)
    x = [replace(rows, images=of).materialise() for rows, of in sets]
    bar = None if job.bar is None else jnp.asarray(job.bar)
    first = _is_first((job.kernel, bar is None, job.wanted, *((y.shape, y.dtype) for y in x)))
    for _ in range(1 + job.repeat):
        begin = begin if not job.repeat else time.monotonic()
        computed = (
            tile_values(job.kernel, *x)
            if bar is None
            else pull_tile(job.wanted, job.kernel, bar, *x)
        )
        arrays = tuple(np.asarray(each) for each in computed)
    if not all(np.isfinite(array).all() for array in arrays):
        what = "values" if bar is None else "derivatives"
        raise NumericalError(
            f"{job.name} has {what} that are not finite, on {_here()}; likely causes: the images "
            f"are too large for {x[0].dtype} (standardise them)"
        )
    return Done(arrays, time.monotonic() - begin, first or job.repeat)


def _of(kernel: Kernel, *x: Array) -> Array:
    return kernel.cross(*x) if len(x) == 2 else kernel.of_self(*x)


@jax.jit
def tile_values(kernel: Kernel, *x: Float[Array, "..."]) -> tuple[Float[Array, "size1 size2"]]:
    """A tile of two sets, or of one with itself."""
    return (_of(kernel, *x),)


@functools.partial(jax.jit, static_argnums=0)
def pull_tile(
    wanted: tuple[bool, ...],
    kernel: Kernel,
    bar: Float[Array, "size1 size2"],
    *x: Float[Array, "..."],
) -> tuple[Float[Array, "..."], ...]:
    """The cotangents of those sets that are wanted, from that of the tile."""

    def of_wanted(*some: Array) -> Array:
        given = iter(some)
        return _of(kernel, *(next(given) if w else y for w, y in zip(wanted, x, strict=True)))

    _, pull = jax.vjp(of_wanted, *(y for w, y in zip(wanted, x, strict=True) if w))
    return pull(bar)


_programs: set[Any] = set()


def _is_first(program: Any) -> bool:
    if program in _programs:
        return False
    _programs.add(program)
    return True


@functools.cache
def _set_up() -> None:
    """One core a worker, and no GPU: all workers of a machine would take the same."""
    # XLA's number of threads, read when JAX begins its work. (Its flag xla_cpu_multi_thread_eigen
    # leaves loops shared out over all cores: two workers then were as fast as one.)
    os.environ["NPROC"] = "1"
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 1)


def _here() -> str:
    from ray.util import get_node_ip_address

    return f"worker {os.getpid()} at {get_node_ip_address()}"
