"""Ray nodes of a core each on loopback addresses, and the throughput of some of them."""

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernel_distill.distributed import Rows
from kernel_distill.kernels import Kernel


@dataclass(frozen=True)
class Measured:
    """A block with its gradient in the support, by some workers.

    Attributes:
        workers: how many, of a core each.
        seconds: median time.
        pairs_per_second: pairs of images.
        overhead: the part of the workers' time that they did not compute in.
    """

    workers: int
    seconds: float
    pairs_per_second: float
    overhead: float


@contextlib.contextmanager
def ray_nodes() -> Iterator[Callable[[], Any]]:
    """A cluster whose head computes nothing, that this process joins; gives what adds a node."""
    os.environ |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": os.urandom(32).hex(),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    from ray.cluster_utils import Cluster

    addresses = (f"127.0.0.{k}" for k in range(2, 255))  # Ray replaces 127.0.0.1
    options = {"object_store_memory": 200 * 2**20, "include_dashboard": False}

    with tempfile.TemporaryDirectory(
        prefix="kd-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:
        head = {"num_cpus": 0, "node_ip_address": next(addresses), "temp_dir": folder}
        cluster = Cluster(True, head_node_args=head | options)
        import ray

        def add() -> Any:
            return cluster.add_node(num_cpus=1, node_ip_address=next(addresses), **options)

        try:
            ray.init(cluster.address, _node_ip_address=head["node_ip_address"], log_to_driver=False)
            yield add
        finally:
            ray.shutdown()
            cluster.shutdown()


def block_step(kernel: Kernel, rows: int, columns: int) -> Callable[[], Any]:
    """What computes the block of some natural images with some support images, and its gradient."""
    random = np.random.default_rng(0)
    natural = random.normal(size=(rows, 32, 32, 3)).astype(np.float32)
    support = jnp.asarray(natural[:columns] + 0.1)
    numbered = Rows(natural, np.arange(rows))
    step = jax.value_and_grad(lambda x: (kernel(numbered, x) ** 2).sum())
    return lambda: step(support)


def throughput(kernel: Any, workers: int, *, rows: int, columns: int, repeats: int) -> Measured:
    """The time of a block of a pool's kernel, and of the pull of its cotangent."""
    step = block_step(kernel, rows, columns)
    for _ in range(2):  # the first has programs compiled; a worker may have come late to it
        step()
    times, overheads = [], []
    for _ in range(repeats):
        before, begin = kernel.status.seconds, time.monotonic()
        jax.block_until_ready(step())
        times.append(time.monotonic() - begin)
        busy = kernel.status.seconds - before
        overheads.append(1 - busy / (workers * times[-1]))
    seconds = statistics.median(times)
    return Measured(workers, seconds, rows * columns / seconds, statistics.median(overheads))
