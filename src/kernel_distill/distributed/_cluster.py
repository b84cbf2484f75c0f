"""Ray: joining a cluster or starting one, and jobs on its nodes.

The only module that imports it, but for what a worker says of where it is (`_worker.py`).

Whoever can reach the ports of a Ray cluster can run code on it: Ray's processes listen on all
interfaces. Hence tokens, and loopback addresses for a cluster that is started here.
"""

import functools
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from kernel_distill._errors import InputError, KernelDistillError, MissingExtraError, PoolError
from kernel_distill.distributed._pool import LostError, Node, Task, UnfitError
from kernel_distill.distributed._worker import Done, compute, versions
from kernel_distill.kernels import check_finite

LOCAL, AUTO = "local", "auto"
_RETRIES = 3  # of a job whose worker or node died, by Ray; then it is lost


class RayCluster:
    """The cluster that this process is connected to; see `Cluster`."""

    def __init__(self) -> None:
        import ray
        from ray import cloudpickle
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self._affinity = ray, NodeAffinitySchedulingStrategy
        self._pickle = cloudpickle.dumps
        self._compute = ray.remote(num_cpus=1, max_retries=_RETRIES)(compute)
        self._stored: dict[int, Any] = {}

    def store(self, array: Array | np.ndarray) -> Any:
        """Puts an array into the object store, once for as long as it is the same object.

        Raises:
            InputError: it is not finite.
        """
        key = id(array)
        if key not in self._stored:
            known = np.asarray(array)
            check_finite(known)
            with self._connected():
                self._stored[key] = self._ray.put(known)
            weakref.finalize(array, self._stored.pop, key, None)
        return self._stored[key]

    def cores(self) -> dict[Node, int]:
        with self._connected():
            nodes = [node for node in self._ray.nodes() if node["Alive"]]
        return {node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in nodes}

    def start(self, task: Task, node: Node) -> Any:
        try:
            packed = self._pickle(task.job)
        except Exception as error:
            name = type(task.job.kernel).__name__
            raise InputError(f"{name} cannot be pickled, to be sent to workers: {error}") from error
        # soft: elsewhere, where the node has gone
        there = self._affinity(node, soft=True)
        with self._connected():
            return self._compute.options(scheduling_strategy=there).remote(
                packed, versions(), *task.images
            )

    def wait(self, tickets: Sequence[Any], seconds: float) -> Sequence[Any]:
        if not tickets:
            threading.Event().wait(seconds)
            return []
        with self._connected():
            if not self._ray.wait(list(tickets), timeout=seconds)[0]:
                return []
            return self._ray.wait(list(tickets), num_returns=len(tickets), timeout=0)[0]

    def result(self, ticket: Any) -> Done:
        errors = self._ray.exceptions
        try:
            done = self._ray.get(ticket, timeout=60)
        except errors.RayTaskError as error:  # before the job could begin
            raise UnfitError(f"a worker at {error.ip} failed: {error.cause!r}") from error
        except (
            errors.RuntimeEnvSetupError,
            errors.RaySystemError,
            errors.TaskUnschedulableError,
        ) as error:  # no better the next time
            raise PoolError(f"Ray failed: {_in_short(error)}") from error
        except errors.RayError as error:
            raise LostError(_in_short(error)) from error
        if isinstance(done, KernelDistillError | UnfitError):
            raise done
        return done

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """What Ray itself raises, where it is not about a job, is that the cluster has gone."""
        try:
            if not self._ray.is_initialized():  # else it would start another by itself
                raise RuntimeError("ray.shutdown() was called")
            yield
        except (self._ray.exceptions.RayError, RuntimeError, ConnectionError) as error:
            raise PoolError(
                f"the connection to the Ray cluster was lost: {_in_short(error)}"
            ) from error


def _in_short(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


_joined: dict[str, str] = {}  # addresses as they were given, and where they led to


def join(address: str | None, *, insecure: bool) -> RayCluster:
    """Connects this process to a cluster.

    Args:
        address: "local" starts one on this machine, for as long as this process lives; "auto"
            joins the one that this machine is a part of, or that RAY_ADDRESS names; or host:port.
            None: the one that this process is connected to, or else "local".
        insecure: whether to do without a token.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: there is no cluster at the address, or no token.
    """
    before = "ray" in sys.modules
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS") or AUTO
    if address is not None and address != LOCAL:
        _check_address(address, insecure=insecure, imported=before)
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            "a pool of workers needs Ray: pip install 'kernel-distill[ray]'"
        ) from error
    if ray.is_initialized():
        here = ray.get_runtime_context().gcs_address
        if address is not None and here not in (address, _joined.get(address)):
            raise InputError(
                f"this process is connected to a Ray cluster already, at {here}; got "
                f"address={address!r}. Leave the address out to use that one, or call "
                "ray.shutdown() first."
            )
        return RayCluster()
    address = address or LOCAL
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _sigterm_kept(), warnings.catch_warnings():
        # Ray's processes are others as soon as they are forked
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        if address == LOCAL:
            with _inherited(_token_for_this_cluster(insecure) | _programs_kept()):
                ray.init(LOCAL, include_dashboard=False, **quiet, **_loopback("127.0.0.2"))
        else:
            try:
                _check_listening(_found_here() if address == AUTO else address)
                ray.init(address, **quiet, **_loopback(address.rpartition(":")[0]))
            except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
                raise InputError(
                    f"no Ray cluster can be joined at {address!r}: {_in_short(error)}. Check that "
                    "one runs there (ray status), and that this token is the one it demands."
                ) from error
    _joined[address] = ray.get_runtime_context().gcs_address
    return RayCluster()


def _check_address(address: str, *, insecure: bool, imported: bool) -> None:
    if "://" in address:
        raise InputError(
            f"a pool joins a cluster from one of its machines, by host:port; got {address!r}. Run "
            'on the head node with "auto".'
        )
    if insecure:
        return
    mode = os.environ.get("RAY_AUTH_MODE")
    if mode is None and _token_there() and not imported:
        os.environ["RAY_AUTH_MODE"] = mode = "token"  # read when Ray is imported
    if (mode or "").lower() != "token" or not _token_there():
        raise InputError(
            f"whoever reaches a Ray cluster without a token can run code on it; to join "
            f"{address!r}, set RAY_AUTH_MODE=token and have the cluster's token in "
            "~/.ray/auth_token, or in the file that RAY_AUTH_TOKEN_PATH names (from Python, before "
            "Ray is imported). In a network where nobody else is: --insecure (insecure=True)."
        )


def _found_here() -> str:
    """The address of the cluster that this machine is a part of, or was: Ray keeps it in a file.

    Raises:
        ConnectionError: there is none.
    """
    from ray._private import services  # what `ray.init` itself asks

    found = services.canonicalize_bootstrap_address(AUTO)
    if found is None:
        raise ConnectionError("this machine is a part of none")
    return str(found)


def _check_listening(address: str) -> None:
    """Raises OSError where nothing does: Ray would try again for a quarter of an hour."""
    host, colon, port = address.rpartition(":")
    if colon:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _token_there() -> bool:
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    default = Path.home() / ".ray" / "auth_token"
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or Path(path or default).is_file()


def _token_for_this_cluster(insecure: bool) -> dict[str, str]:
    """Ray demands a token of a cluster it starts; one made here is in no file."""
    mode = os.environ.get("RAY_AUTH_MODE", "token").lower()
    if mode != "token" and not insecure:
        raise InputError(
            f"RAY_AUTH_MODE={mode} would let everyone run code on the Ray cluster that is started "
            "here: unset it, or give insecure=True (--insecure)"
        )
    return {} if mode != "token" or _token_there() else {"RAY_AUTH_TOKEN": _own_token()}


@functools.cache
def _own_token() -> str:
    """One a process: Ray remembers the first that it has seen."""
    return secrets.token_hex(32)


def _programs_kept() -> dict[str, str]:
    """Workers keep compiled programs where this process does."""
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    return {} if folder is None else {"JAX_COMPILATION_CACHE_DIR": folder}


@contextmanager
def _inherited(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _loopback(host: str) -> dict[str, str]:
    """Addresses of this machine alone, where they are there; Ray replaces 127.0.0.1."""
    usable = sys.platform == "linux" and host.startswith("127.")
    return {"_node_ip_address": host} if usable else {}


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """`ray.init` takes SIGTERM for itself, which belongs to whoever had it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
