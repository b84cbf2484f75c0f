"""A pool whose workers are simulated, and whose driver is the real one.

What hands groups out, takes their results in and adds them up is the code of the library, run as
it is on Ray. Only its clock differs: it goes on by the time that this process takes, by what calls
of Ray would take, and, where the driver waits, to the moment at which the next result comes in.
Workers compute nothing: a group takes its pairs of images times the time of a pair.
"""

import functools
import heapq
import itertools
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any

import jax
import numpy as np

from kernel_distill.distributed._groups import Groups
from kernel_distill.distributed._pool import Node, Pool, Task
from kernel_distill.distributed._ray import RayKernel
from kernel_distill.distributed._worker import Done, Job
from kernel_distill.kernels import Kernel


@dataclass(frozen=True)
class Costs:
    """What the parts of a pool take, in seconds, or manage, in bytes a second.

    Attributes:
        pair: seconds of a worker for a pair of images, by what it computes (`work`).
        turnaround: of a worker, from one job to the next.
        submit: of the driver, to start a job.
        collect: of the driver, to take a result in that is there.
        look: of the driver, to see which jobs are done,
        look_each: and for each of those that it has out.
        list_node: of the driver, to see that a node is there.
        latency: from the driver to a worker and back, where nobody is busy.
        put: bytes a second into the object store.
        bandwidth: bytes a second to the driver, and as many from it.
    """

    pair: Mapping[str, float]
    turnaround: float = 0.0
    submit: float = 0.0
    collect: float = 0.0
    look: float = 0.0
    look_each: float = 0.0
    list_node: float = 0.0
    latency: float = 0.0
    put: float = inf
    bandwidth: float = inf


@dataclass
class Ledger:
    """Where the time of a simulated pool went.

    Attributes:
        python: seconds of the driver in this project, NumPy and JAX.
        ray: seconds of the driver in calls of Ray.
        waiting: seconds of the driver for results.
        alone: of those of the driver's in which it had no job out.
        busy: seconds of all workers.
        jobs: that were started.
        received: bytes of their results.
    """

    python: float = 0.0
    ray: float = 0.0
    waiting: float = 0.0
    alone: float = 0.0
    busy: float = 0.0
    jobs: int = 0
    received: int = 0


def work(job: Job) -> str:
    """What a job computes, as `Costs.pair` names it."""
    what = "values" if job.bar is None else "gradient"
    if len(job.rows) == 1:
        return f"{what} of a set with itself"
    if job.bar is None:
        return what
    return f"{what} in both" if all(job.wanted) else f"{what} in one"


@dataclass(frozen=True, eq=False)
class _Stored:
    """An array in the object store."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


_ENDED, _ARRIVED = 0, 1  # a job on its worker, and its result at the driver


class SimulatedCluster:
    """A `Cluster` of workers that are all alike; see above.

    Args:
        workers: how many.
        costs: what they and the driver take.
        cores_a_node: workers of a machine, which is sent what they share once.
        timed: whether the clock goes on by the time that this process takes.
    """

    def __init__(
        self, workers: int, costs: Costs, *, cores_a_node: int = 1, timed: bool = True
    ) -> None:
        firsts = range(0, workers, cores_a_node)
        self._cores = {f"node {k}": min(cores_a_node, workers - k) for k in firsts}
        self._costs, self._timed = costs, timed
        self.now = 0.0
        self.ledger = Ledger()
        self._free = {node: [0.0] * cores for node, cores in self._cores.items()}
        self._stored: dict[int, _Stored] = {}
        self._there: dict[tuple[Node, _Stored], float] = {}  # since when
        self._sending_until = self._receiving_until = 0.0
        self._numbers = itertools.count()
        self._out: dict[int, tuple[Task, float]] = {}
        self._unseen: set[int] = set()  # jobs of which no result was reported yet
        self._ready: set[int] = set()
        self._events: list[tuple[float, int, int]] = []  # when, of which job, what
        self._left = time.perf_counter()

    def clock(self) -> float:
        self._enter()
        self._leave()
        return self.now

    def store(self, array: Any) -> _Stored:
        self._enter()
        key = id(array)
        if key not in self._stored:
            self._stored[key] = _Stored(array.shape, np.dtype(array.dtype))
            weakref.finalize(array, self._stored.pop, key, None)
            self._call_ray(self._stored[key].bytes / self._costs.put)
        self._leave()
        return self._stored[key]

    def cores(self) -> dict[Node, int]:
        self._enter()
        self._call_ray(self._costs.list_node * len(self._cores))
        self._leave()
        return self._cores

    def start(self, task: Task, node: Node) -> int:
        self._enter()
        self._call_ray(self._costs.submit)
        arrival = self.now + self._costs.latency / 2
        for images in task.images:
            arrival = max(arrival, self._sent(node, images))
        sizes = [len(rows) for rows in task.job.rows]
        pairs = sizes[0] * sizes[-1]
        seconds = pairs * self._costs.pair[work(task.job)]
        taken = seconds * (1 + task.job.repeat)
        end = max(heapq.heappop(self._free[node]), arrival) + taken
        heapq.heappush(self._free[node], end + self._costs.turnaround)
        ticket = next(self._numbers)
        self._out[ticket] = task, seconds
        self._unseen.add(ticket)
        heapq.heappush(self._events, (end, ticket, _ENDED))
        self.ledger.busy += taken
        self.ledger.jobs += 1
        self._leave()
        return ticket

    def wait(self, tickets: Sequence[int], seconds: float) -> Sequence[int]:
        self._enter()
        self._call_ray(self._costs.look + self._costs.look_each * len(tickets))
        wanted, until = set(tickets), self.now + seconds
        while self._events:
            soon = self.now if self._ready & wanted else until
            if self._events[0][0] > soon:
                break
            self._go_on()
        if not self._ready & wanted:
            self._wait_until(until)
        found = self._ready & wanted
        self._unseen -= found  # a pool does not ask for the result of a group that it has already
        self._leave()
        return sorted(found)

    def result(self, ticket: int) -> Done:
        self._enter()
        self._call_ray(self._costs.collect)
        task, seconds = self._out.pop(ticket)
        self._ready.remove(ticket)
        arrays = _arrays(task)
        self._leave()
        return Done(arrays, seconds, False)

    def _enter(self) -> None:
        """The caller was at work since `_leave`."""
        if self._timed:
            seconds = time.perf_counter() - self._left
            self.ledger.python += seconds
            self._advance(seconds)

    def _leave(self) -> None:
        self._left = time.perf_counter()

    def _call_ray(self, seconds: float) -> None:
        self.ledger.ray += seconds
        self._advance(seconds)

    def _advance(self, seconds: float) -> None:
        self.now += seconds
        if not self._unseen:
            self.ledger.alone += seconds

    def _wait_until(self, when: float) -> None:
        if when > self.now:
            self.ledger.waiting += when - self.now
            self.now = when

    def _sent(self, node: Node, images: Any) -> float:
        """When a node has them: the driver sends them to one after another."""
        if (node, images) not in self._there:
            begin = max(self._sending_until, self.now)
            self._sending_until = begin + images.bytes / self._costs.bandwidth
            self._there[node, images] = self._sending_until
        return self._there[node, images]

    def _go_on(self) -> None:
        """To the next event."""
        when, ticket, what = heapq.heappop(self._events)
        self._wait_until(when)
        if what == _ARRIVED:
            self._ready.add(ticket)
            return
        size = sum(array.nbytes for array in _arrays(self._out[ticket][0]))
        begin = max(self._receiving_until, when)
        self._receiving_until = begin + size / self._costs.bandwidth
        self.ledger.received += size
        arrival = self._receiving_until + self._costs.latency / 2
        heapq.heappush(self._events, (arrival, ticket, _ARRIVED))


def _arrays(task: Task) -> tuple[np.ndarray, ...]:
    """Of the right shapes: nothing, but that a set is orthogonal in itself, lest a solve fail."""
    job = task.job
    images: tuple[Any, ...] = task.images
    sizes = [len(rows) for rows in job.rows]
    if job.bar is not None:
        parts = zip(sizes, images, job.wanted, strict=True)
        return tuple(_zeros((n, *of.shape[1:]), of.dtype) for n, of, wanted in parts if wanted)
    if len(sizes) == 1:
        return (np.eye(sizes[0], dtype=images[0].dtype),)
    return (_zeros((sizes[0], sizes[1]), images[0].dtype),)


@functools.cache
def _zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return np.zeros(shape, dtype)


def simulated_kernel(kernel: Kernel, cluster: SimulatedCluster) -> Kernel:
    """A kernel as `distributed.on_ray` gives it, on a simulated cluster."""
    pool = Pool(cluster, deadline=60.0, give_up_after=300.0, clock=cluster.clock)
    return RayKernel(
        kernel.architecture, kernel.kind, kernel, pool, cluster.store, Groups(fixed=None)
    )


@dataclass(frozen=True)
class Simulated:
    """A step of a simulated pool.

    Attributes:
        workers: how many.
        seconds: that it took.
        ideal: seconds of its jobs, over the number of workers.
        groups: seconds that it would take, did the driver and the network cost nothing: more than
            the ideal, as workers wait for the last groups of a block.
        ledger: where the time went.
    """

    workers: int
    seconds: float
    ideal: float
    groups: float
    ledger: Ledger


def simulate(
    make_step: Callable[[Kernel], Callable[[], Any]],
    kernel: Kernel,
    workers: int,
    costs: Costs,
    *,
    cores_a_node: int = 1,
) -> Simulated:
    """Simulates a step.

    Args:
        make_step: from a pool's kernel, what computes a step with it. The second one counts: before
            it programs are compiled and groups are measured.
        kernel: what workers compute.
        workers: how many, of a core each.
        costs: what everything takes.
        cores_a_node: see `SimulatedCluster`.
    """
    free, real = (
        SimulatedCluster(workers, each, cores_a_node=cores_a_node, timed=each is costs)
        for each in (Costs(costs.pair), costs)
    )
    groups, _ = second_step(make_step, kernel, free)
    seconds, ledger = second_step(make_step, kernel, real)
    return Simulated(workers, seconds, ledger.busy / workers, groups, ledger)


def second_step(
    make_step: Callable[[Kernel], Callable[[], Any]], kernel: Kernel, cluster: SimulatedCluster
) -> tuple[float, Ledger]:
    """The seconds of the second step on a cluster, and where they went; see `simulate`."""
    step = make_step(simulated_kernel(kernel, cluster))
    jax.block_until_ready(step())
    begin = cluster.clock()
    cluster.ledger = Ledger()
    jax.block_until_ready(step())
    return cluster.clock() - begin, cluster.ledger
