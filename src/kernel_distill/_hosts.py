"""Several processes, of one host or of many, that do a run together: joined by JAX, each with all
data, the same program and its own devices.

The first of them (number 0) owns the run: it alone writes files and speaks to the user, and what it
reads there it hands to the others, so that they need no file system in common. They go in step:
what is decided (to stop, to go on from a checkpoint) is decided for all. Where JAX has not been
joined there is one process, the first, and nothing here costs anything.
"""

import contextlib
import functools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Shaped

from kernel_distill._errors import InputError, KernelDistillError, PoolError

HEARTBEAT = 30  # seconds
_FAREWELL = 5.0  # seconds
Made = TypeVar("Made")


def join(
    coordinator: str,
    *,
    num_processes: int | None = None,
    process_id: int | None = None,
    heartbeat: int = HEARTBEAT,
) -> None:
    """Joins the other processes; before anything is computed. Returns when all of them are there.

    Args:
        coordinator: HOST:PORT, where the first process listens, or "auto": it and the numbers are
            found by JAX (SLURM, Cloud TPU, Open MPI, Kubernetes).
        num_processes: how many there are; with HOST:PORT only.
        process_id: which of them this is, from 0; with HOST:PORT only.
        heartbeat: seconds without a sign of life after which a process counts as lost. JAX then
            ends all others, in the midst of what they do.

    Raises:
        InputError: they do not come together (within JAX's five minutes), or nothing is found.
    """
    options: dict[str, Any] = {"heartbeat_timeout_seconds": heartbeat}
    if coordinator != "auto":
        # else JAX looks for a cluster even so, and takes one GPU of those that the process has
        options |= {"cluster_detection_method": "deactivate", "coordinator_address": coordinator}
        options |= {"num_processes": num_processes, "process_id": process_id}
        if coordinator.startswith(("127.", "localhost:", "[::1]:")):
            options["coordinator_bind_address"] = coordinator  # not on all interfaces
    elif int(os.environ.get("SLURM_LOCALID", "0")) > 0 and _sees_one_gpu():
        # JAX takes the GPU of the task's number, where this is the only one (--gpus-per-task)
        options["local_device_ids"] = [0]
    try:
        with _stoppable():
            jax.distributed.initialize(**options)
    except (RuntimeError, ValueError) as error:  # of JAX's and XLA's
        remedy = (
            "It finds processes on SLURM (srun), Cloud TPUs, Open MPI and Kubernetes; elsewhere "
            "give each HOST:PORT, the number of processes and its own."
            if coordinator == "auto"
            else "All must be started with the same HOST:PORT, which is free on the host of "
            "process 0 and can be reached from the others, and with numbers of their own."
        )
        raise InputError(
            f"the processes could not be joined with coordinator {coordinator}: "
            f"{_line(error)}. {remedy}"
        ) from error


def _sees_one_gpu() -> bool:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return len(visible.split(",")) == 1 and visible not in ("", "-1")


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Signals end the process while it waits for others, in which Python would not see them.

    Afterwards they are what they were, though JAX has put a handler of its own there.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def joined() -> bool:
    """Whether this process has joined others; asking does not start JAX's devices."""
    return jax.distributed.is_initialized()


def is_first() -> bool:
    """Whether this is the process that owns the run."""
    return not joined() or jax.process_index() == 0


def connect(devices: Sequence[jax.Device]) -> None:
    """Lets devices of several processes find one another, while all of these are at one point.

    On CPU those that are first wait for the others for 30 seconds, when they compute together for
    the first time, and some may take longer to compile what they compute.
    """
    if joined():
        _largest(np.zeros(1, np.int32), devices)


def agreed(number: int | None) -> int | None:
    """The largest of the numbers (positive) that the processes call this with; None: of none."""
    if not joined():
        return number
    return int(_largest(np.asarray([number or 0], np.int32))[0]) or None


def from_first(data: bytes) -> bytes:
    """What the first process called this with."""
    if not joined():
        return data
    own = data if is_first() else b""
    size = agreed(len(own))
    if size is None:
        return b""
    sent = np.frombuffer(own, np.uint8) if is_first() else np.zeros(size, np.uint8)
    return _largest(sent).tobytes()


def by_first(act: Callable[[], Made]) -> Made | None:
    """What comes of `act` in the first process, and None in the others, once it is done there.

    Raises:
        PoolError: in the others, where it raised an error of this project's in the first.
    """
    made, failed = None, None
    if is_first():
        try:
            made = act()
        except KernelDistillError as error:
            failed = error
    message = from_first(str(failed or "").encode())
    if failed is not None:
        raise failed
    if message:
        raise PoolError(f"process 0: {message.decode()}")
    return made


def check_same(settings: Mapping[str, Any]) -> None:
    """Whether all processes have what they must have alike: settings, data, versions.

    Args:
        settings: values by name, of what JSON can hold.

    Raises:
        InputError: in all of them, where one differs from the first.
    """
    own = {name: json.dumps(value, sort_keys=True, default=str) for name, value in settings.items()}
    first = json.loads(from_first(json.dumps(own).encode()))
    differing = [
        f"{name}={first.get(name)} there, {own.get(name)} here"
        for name in sorted(own | first)
        if own.get(name) != first.get(name)
    ]
    if agreed(1 if differing else None) is not None:
        found = "; ".join(differing) or "the same here, not in another process, which says what"
        raise InputError(
            "all processes of a run must have the settings, data and versions of process 0; got "
            f"{found}. Start all of them alike."
        )


@contextlib.contextmanager
def losses() -> Iterator[None]:
    """Within the block, that JAX failed where several processes compute means that one is lost.

    Raises:
        PoolError: so it is. Where JAX notices before the computation fails, it ends the process.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        # on CPU where a computation begins, JAX's error is a bare ValueError
        lost = isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error)
        if not joined() or not lost or isinstance(error, KernelDistillError):
            raise
        raise PoolError(
            f"the processes of this run cannot go on together ({_line(error)}): where one has "
            "ended, it says why. Start them again, as many or one alone, with --resume."
        ) from error


def leave(status: int) -> NoReturn:
    """Ends a process that has joined others.

    With status 0 once all of them leave, or nobody waits any more (Ctrl-C). Else without waiting
    for them longer than seconds, where JAX would for minutes: they may be waiting for this one.
    Nothing of JAX's outlives the parting: a thread of it that missed the others later would abort
    a process that had succeeded.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parting = threading.Thread(target=_part, daemon=True)
    parting.start()
    with contextlib.suppress(KeyboardInterrupt):
        parting.join(_FAREWELL if status else None)
    os._exit(status)


def _part() -> None:
    with contextlib.suppress(Exception):
        jax.distributed.shutdown()


def _largest(
    own: Shaped[np.ndarray, "n"], devices: Sequence[jax.Device] | None = None
) -> Shaped[np.ndarray, "n"]:
    """The elementwise maximum over the processes; all must call this with as many numbers."""
    if devices is None:  # one of each process, since hosts may have different numbers of them
        devices = list({each.process_index: each for each in reversed(jax.devices())}.values())
    mesh = Mesh(np.asarray(devices), ("processes",))
    rows = NamedSharding(mesh, PartitionSpec("processes"))
    shape = (len(devices), len(own))
    parts = jax.make_array_from_callback(shape, rows, lambda _: own[None])
    return np.asarray(_maximum(mesh)(parts))


@functools.cache
def _maximum(mesh: Mesh) -> Any:
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.jit(lambda parts: parts.max(axis=0), out_shardings=everywhere)


def _line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
