"""Kernel blocks computed by several workers beside the same blocks computed by one.

    python benchmarks/distributed.py

starts Ray nodes of a core each on loopback addresses, and measures the throughput of two workers
against one, and what a pool adds to the time of its workers. Wants an idle machine of two cores.
Writes benchmarks/distributed.json and benchmarks/distributed.md.
"""

import contextlib
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import kernel_distill as kd
from kernel_distill.distributed import Rows, on_ray

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Arguments:
    """Measures kernel blocks shared out over workers."""

    rows: int = 192
    """Natural images of the block."""

    columns: int = 64
    """Support images of the block."""

    repeats: int = 3
    """Of each measurement; the median counts."""


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


def main() -> None:
    arguments = tyro.cli(Arguments)
    with ray_nodes() as add:
        measured = throughput(add, arguments)
    one, two = measured
    report: dict[str, Any] = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "jax": jax.__version__,
        },
        "block": [arguments.rows, arguments.columns],
        "ray": [asdict(each) for each in measured],
        "ratio": two.pairs_per_second / one.pairs_per_second,
    }
    (FOLDER / "distributed.json").write_text(json.dumps(report, indent=1) + "\n")
    (FOLDER / "distributed.md").write_text(markdown(report))
    print(markdown(report))


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


def throughput(add: Callable[[], Any], arguments: Arguments) -> list[Measured]:
    """One worker, then two: a block of the ConvNet kernel, and the pull of its cotangent."""
    kernel = on_ray(kd.kernels.named("convnet").kernel())
    random = np.random.default_rng(0)
    natural = random.normal(size=(arguments.rows, 32, 32, 3)).astype(np.float32)
    support = jnp.asarray(natural[: arguments.columns] + 0.1)
    rows = Rows(natural, np.arange(arguments.rows))
    step = jax.value_and_grad(lambda x: (kernel(rows, x) ** 2).sum())
    measured = []
    for workers in (1, 2):
        add()
        for _ in range(2):  # the first has programs compiled; a worker may have come late to it
            step(support)
        times, overheads = [], []
        for _ in range(arguments.repeats):
            before, begin = kernel.status.seconds, time.monotonic()
            jax.block_until_ready(step(support))
            times.append(time.monotonic() - begin)
            busy = kernel.status.seconds - before
            overheads.append(1 - busy / (workers * times[-1]))
        seconds = statistics.median(times)
        pairs = arguments.rows * arguments.columns / seconds
        measured.append(Measured(workers, seconds, pairs, statistics.median(overheads)))
    return measured


def markdown(report: dict[str, Any]) -> str:
    rows, columns = report["block"]
    lines = [
        f"{report['machine']['processor']}, {report['machine']['cores']} cores, "
        f"JAX {report['machine']['jax']}. ConvNet, {rows} natural images of 32x32x3 with "
        f"{columns} support images, and the gradient in these.",
        "",
        "| Ray workers of one core | seconds | pairs a second | not spent computing |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {each['workers']} | {each['seconds']:.1f} | {each['pairs_per_second']:.0f} | "
        f"{100 * each['overhead']:.1f} % |"
        for each in report["ray"]
    ]
    lines += ["", f"Two workers against one: {report['ratio']:.2f} times the throughput."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
