"""What the parts of a pool take on this machine: a worker's pairs of images, and calls of Ray."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from simulated_pool import Costs, work

import kernel_distill as kd
from kernel_distill.distributed import Rows
from kernel_distill.distributed._cluster import RayCluster
from kernel_distill.distributed._groups import group_shape, measured_pairs
from kernel_distill.distributed._pool import Node, Pool, Task
from kernel_distill.distributed._worker import Done, Job
from kernel_distill.kernels import Kernel

SHAPE = (32, 32, 3)
BLOCK = 5000, 500  # natural images of a step, and support images
MOVED = 64 * 2**20  # bytes to measure the transfer of arrays by
IN_FLIGHT = (1, 16, 64, 256)  # jobs that are looked at
SMALL = 8, 8  # rows and columns of a group that takes some hundredths of a second


def measure_costs(kernel: Kernel, *, repeats: int) -> Costs:
    """Measures them on the cluster that this process is connected to, by its one worker.

    Args:
        kernel: what workers compute.
        repeats: how often each is measured; the median counts.
    """
    cluster = RayCluster()
    (node,) = (node for node, cores in cluster.cores().items() if cores)
    images = np.random.default_rng(0).normal(size=(BLOCK[1], *SHAPE)).astype(np.float32)
    stored = cluster.store(images)

    def task(kernel: Kernel, sizes: tuple[int, ...], wanted: tuple[bool, ...] = ()) -> Task:
        bar = np.ones((sizes[0], sizes[-1]), np.float32) if wanted else None
        rows = tuple(Rows(None, np.arange(size) % len(images)) for size in sizes)
        job = Job("a group", "measured", kernel, rows, bar, wanted, x64=False)
        return Task(job, (stored,) * len(sizes))

    def run(task: Task) -> Done:
        ticket = cluster.start(task, node)
        while not cluster.wait([ticket], 1.0):
            pass
        return cluster.result(ticket)

    pair = _time_pairs(kernel, task, run, repeats)
    small = task(kernel, SMALL)
    # sends what a group sends, and takes next to no time
    side = math.isqrt(round(1 / pair["gradient in one"]))
    quick = task(kd.kernels.named("fc1").kernel(), (side, side), (False, True))
    for each in (small, quick):
        run(each)  # compiles it
    bandwidth = _bandwidth(node, repeats)
    look, look_each = _time_looks(cluster, node, small)
    submit, collect, way = _time_calls(cluster, node, quick, 50 * repeats)
    return Costs(
        pair=pair,
        turnaround=_time_turnaround(cluster, small),
        submit=submit,
        collect=collect,
        look=look,
        look_each=look_each,
        list_node=_median(cluster.cores, 20 * repeats) / len(cluster.cores()),
        latency=max(0.0, way - look - side * images[0].nbytes / bandwidth),
        put=_put_rate(repeats),
        bandwidth=bandwidth,
    )


def _median(call: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _time_pairs(
    kernel: Kernel, task: Callable[..., Task], run: Callable[[Task], Done], repeats: int
) -> dict[str, float]:
    """Of everything that a step has computed, in groups as large as a pool would make them."""

    def seconds(sizes: tuple[int, ...], wanted: tuple[bool, ...], repeats: int) -> float:
        run(task(kernel, sizes, wanted))  # compiles it
        each = task(kernel, sizes, wanted)
        return statistics.median(run(each).seconds for _ in range(repeats))

    found = {}
    for one, alone in (((), ()), ((False, True), (True,))):
        pairs = measured_pairs(lambda *sizes, one=one: seconds(sizes, one, 1), *BLOCK)
        side = math.isqrt(pairs)
        cases = [(group_shape(pairs, *BLOCK), one), ((side,), alone)]
        if one:
            cases.append(((side, side), (True, True)))
        for sizes, wanted in cases:
            each = seconds(sizes, wanted, repeats) / (sizes[0] * sizes[-1])
            found[work(task(kernel, sizes, wanted).job)] = each
    return found


def _time_calls(
    cluster: RayCluster, node: Node, task: Task, repeats: int
) -> tuple[float, float, float]:
    """Starting a job, taking its result in, and all that passes between besides its own time."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        ticket = cluster.start(task, node)
        started = time.perf_counter()
        while not cluster.wait([ticket], 1.0):
            pass
        there = time.perf_counter()
        done = cluster.result(ticket)
        times.append((started - begin, time.perf_counter() - there, there - started - done.seconds))
    submit, collect, way = np.median(times, axis=0).tolist()
    return submit, collect, way


def _time_looks(cluster: RayCluster, node: Node, task: Task) -> tuple[float, float]:
    """A look at which jobs are done, and what each of those adds that are not."""
    tickets = [cluster.start(task, node) for _ in range(1 + 2 * max(IN_FLIGHT))]
    while not cluster.wait(tickets[:1], 1.0):
        pass
    times = []
    for count in IN_FLIGHT:  # the last that were started are not done yet
        some = [tickets[0], *tickets[len(tickets) - count + 1 :]]
        times.append(_median(lambda some=some: cluster.wait(some, 1.0), 20))
    _collect_all(cluster, tickets)
    each, look = np.polyfit(IN_FLIGHT, times, 1)
    return max(0.0, float(look)), max(0.0, float(each))


def _collect_all(cluster: RayCluster, tickets: Sequence[Any]) -> None:
    left = set(tickets)
    while left:
        for ticket in cluster.wait(list(left), 1.0):
            cluster.result(ticket)
            left.remove(ticket)


def _time_turnaround(cluster: RayCluster, task: Task) -> float:
    """What passes between two jobs of a worker that always has another one waiting."""
    found: list[float] = []
    pool = Pool(cluster, deadline=60.0, give_up_after=300.0)
    begin = time.perf_counter()
    pool.compute(60, lambda _: task, lambda _, done: found.append(done.seconds))
    return max(0.0, (time.perf_counter() - begin) / len(found) - statistics.mean(found))


def _put_rate(repeats: int) -> float:
    import ray

    array = np.ones(MOVED // 8)
    return MOVED / _median(lambda: ray.put(array), repeats)


def _bandwidth(node: Node, repeats: int) -> float:
    """Bytes a second from a worker's process to the driver's, by way of both object stores."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def ones(size: int) -> np.ndarray:
        return np.ones(size, np.uint8)

    there = NodeAffinitySchedulingStrategy(node, soft=False)
    remote = ray.remote(ones).options(num_cpus=1, scheduling_strategy=there)
    little, much = (
        _median(lambda size=size: ray.get(remote.remote(size)), repeats + 1) for size in (1, MOVED)
    )
    return MOVED / (much - little)
