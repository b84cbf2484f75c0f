"""How jobs are handed out and taken in, on nodes whose time is simulated."""

import heapq
import itertools
from collections import Counter
from math import inf
from typing import Any

import numpy as np
import pytest

from kernel_distill import kernels
from kernel_distill._errors import NumericalError, PoolError
from kernel_distill.distributed._pool import LostError, Pool, Task
from kernel_distill.distributed._worker import Done, Job, UnfitError

KERNEL = kernels.FullyConnected().kernel()


class Simulated:
    """Nodes that compute jobs one after another on each of their cores.

    Args:
        nodes: cores of each, and seconds that a job takes there.
    """

    def __init__(self, **nodes: tuple[int, float]) -> None:
        self.nodes = dict(nodes)
        self.now = 0.0
        self.frozen: set[str] = set()
        self.stuck: set[int] = set()  # the first, second, ... job to be started hangs for ever
        self.started: list[tuple[float, str, str]] = []  # when, which job, where
        self.running: dict[str, list[int]] = {node: [] for node in nodes}
        self.most: Counter[str] = Counter()  # at a time on a node
        self.took: dict[int, float] = {}  # seconds, of a job that was frozen
        self.fail: Any = lambda name, node: None
        self.events: list[tuple[float, int, Any]] = []
        self._numbers, self._tickets = itertools.count(), itertools.count()
        self._jobs: dict[int, tuple[Job, str]] = {}
        self._begun: dict[int, float] = {}
        self._ready: set[int] = set()
        self._free: dict[str, list[float]] = {n: [0.0] * c for n, (c, _) in nodes.items()}

    def at(self, seconds: float, what: Any) -> None:
        heapq.heappush(self.events, (seconds, next(self._numbers), what))

    def add(self, node: str, cores: int, seconds: float) -> None:
        self.nodes[node] = cores, seconds
        self._free[node], self.running[node] = [self.now] * cores, []

    def freeze(self, *nodes: str) -> None:
        self.frozen |= set(nodes)

    def thaw(self, node: str) -> None:
        """All that it was sent comes back, and took the longer."""
        self.frozen.remove(node)
        self._free[node] = [self.now] * self.nodes[node][0]
        for ticket in self.running[node]:
            self.took[ticket] = self.now - self._begun[ticket]
            self.at(self.now + 0.5, lambda ticket=ticket: self._end(ticket))

    def clock(self) -> float:
        return self.now

    def cores(self) -> dict[str, int]:
        return {node: cores for node, (cores, _) in self.nodes.items()}

    def start(self, task: Task, node: str) -> int:
        ticket = next(self._tickets)
        self.started.append((self.now, task.job.name, node))
        self._jobs[ticket] = task.job, node
        self.running[node].append(ticket)
        self.most[node] = max(self.most[node], len(self.running[node]))
        self._begun[ticket] = begin = max(heapq.heappop(self._free[node]), self.now)
        end = begin + (inf if ticket in self.stuck else self.nodes[node][1])
        heapq.heappush(self._free[node], end)
        self.at(end, lambda: node in self.frozen or self._end(ticket))
        return ticket

    def _end(self, ticket: int) -> None:
        if ticket in self.running[self._jobs[ticket][1]]:
            self.running[self._jobs[ticket][1]].remove(ticket)
            self._ready.add(ticket)

    def wait(self, tickets: list[int], seconds: float) -> list[int]:
        until = self.now + seconds
        while not self._ready & set(tickets):
            if not self.events or self.events[0][0] > until:
                self.now = max(self.now, until)
                return []
            self.now, _, what = heapq.heappop(self.events)
            what()
        ready = self._ready & set(tickets)
        self._ready -= ready
        return sorted(ready)

    def result(self, ticket: int) -> Done:
        job, node = self._jobs[ticket]
        error = self.fail(job.name, node)
        if error:
            raise error
        seconds = self.took.get(ticket, self.nodes[node][1])
        return Done((np.asarray(int(job.name)),), seconds, job.repeat)


def make(number: int, *, kind: str = "some", repeat: bool = False) -> Task:
    return Task(Job(str(number), kind, KERNEL, (), None, (), False, repeat), ())


def pool_of(cluster: Simulated, **settings: float) -> Pool:
    return Pool(
        cluster, **{"deadline": 10.0, "give_up_after": 50.0} | settings, clock=cluster.clock
    )


def compute(pool: Pool, count: int) -> None:
    """Asserts that every result is taken once."""
    taken = []
    pool.compute(count, make, lambda number, done: taken.append((number, int(done.arrays[0]))))
    assert sorted(taken) == [(number, number) for number in range(count)]


def starts(cluster: Simulated) -> Counter[str]:
    return Counter(name for _, name, _ in cluster.started)


def test_a_faster_node_does_more_and_all_are_busy_to_the_end() -> None:
    cluster = Simulated(slow=(1, 3.0), fast=(2, 1.0))
    pool = pool_of(cluster)
    compute(pool, 70)
    where = Counter(node for _, _, node in cluster.started)
    assert where["fast"] == pytest.approx(60, abs=3)
    assert cluster.now == pytest.approx(30, abs=4)
    assert cluster.most == {"slow": 2, "fast": 3}  # one more than are computed
    assert set(starts(cluster).values()) == {1}
    assert (pool.status.done, pool.status.total, pool.status.workers) == (70, 70, 3)


def test_a_node_that_is_added_gets_work() -> None:
    cluster = Simulated(one=(1, 1.0))
    cluster.at(5.5, lambda: cluster.add("other", 3, 1.0))
    compute(pool_of(cluster), 25)
    assert cluster.now == pytest.approx(11, abs=2)


def test_what_a_frozen_node_was_sent_is_started_again_elsewhere_and_counts_once() -> None:
    cluster = Simulated(one=(1, 1.0), other=(1, 1.0))
    cluster.at(4.5, lambda: cluster.freeze("other"))
    pool = pool_of(cluster)
    compute(pool, 20)
    assert sorted(starts(cluster).values(), reverse=True)[:3] == [2, 2, 1]
    assert pool.status.again == 2
    assert 12 < cluster.now < 20
    # a block later it is sent nothing, and still later it wakes and what comes back is dropped
    before = len(cluster.started)
    compute(pool, 10)
    assert {node for _, _, node in cluster.started[before:]} == {"one"}
    cluster.thaw("other")
    before = len(cluster.started)
    compute(pool, 10)
    assert {node for _, _, node in cluster.started[before:]} == {"one", "other"}
    assert pool.status.again == 2


def test_a_node_with_one_frozen_core_keeps_the_others_busy() -> None:
    cluster = Simulated(one=(1, 1.0), other=(4, 1.0))
    pool = pool_of(cluster)
    cluster.stuck = {0}
    compute(pool, 100)
    assert cluster.started[0][2] == "other"  # as the one with most places
    late = [node for when, _, node in cluster.started if when > 15]
    assert late.count("other") > 2 * late.count("one")
    assert pool.status.again == 1


def test_jobs_that_take_longer_than_the_deadline_are_not_started_again_and_again() -> None:
    cluster = Simulated(one=(1, 25.0), other=(1, 25.0))
    pool = pool_of(cluster, give_up_after=500.0)
    compute(pool, 20)
    first = pool.status.again
    compute(pool, 20)
    assert pool.status.again == first


def test_nobody_is_late_when_this_process_was_frozen_itself() -> None:
    cluster = Simulated(one=(1, 1.0), other=(1, 1.0))
    cluster.at(3.5, lambda: setattr(cluster, "now", 5000.0))
    pool = pool_of(cluster)
    compute(pool, 12)
    assert pool.status.again == 0


def test_a_node_that_lacks_the_package_is_left_out() -> None:
    cluster = Simulated(bare=(2, 1.0), one=(1, 1.0))
    bare = UnfitError("No module named 'kernel_distill'")
    cluster.fail = lambda name, node: bare if node == "bare" else None
    pool = pool_of(cluster)
    with pytest.warns(UserWarning, match="a machine is left out: No module named") as told:
        compute(pool, 20)
    assert len(told) == 1
    assert pool.status.workers == 1
    late = {node for when, _, node in cluster.started if when > 2}
    assert late == {"one"}
    cluster.fail = lambda name, node: bare
    with (
        pytest.raises(PoolError, match=r"no machine can do the work.*pip install"),
        pytest.warns(UserWarning, match="a machine is left out"),
    ):
        compute(pool, 5)


def test_no_node_left() -> None:
    cluster = Simulated(one=(1, 1.0))

    def go() -> None:
        cluster.freeze("one")
        del cluster.nodes["one"]

    cluster.at(4.5, go)
    with (
        pytest.raises(PoolError, match=r"nodes there: 0, with cores: 0; .*; done: 4 of 9"),
        pytest.warns(UserWarning, match="no machine is left: waiting 50 seconds for others"),
    ):
        compute(pool_of(cluster), 9)
    assert cluster.now == pytest.approx(54, abs=3)


def test_a_node_after_there_was_none() -> None:
    cluster = Simulated()
    cluster.at(40, lambda: cluster.add("late", 1, 1.0))
    compute(pool_of(cluster), 3)


def test_all_frozen() -> None:
    cluster = Simulated(one=(1, 1.0), other=(2, 1.0))
    cluster.at(4.5, lambda: cluster.freeze("one", "other"))
    with pytest.raises(PoolError, match="nodes there: 2, with cores: 3; groups with them: 5"):
        compute(pool_of(cluster), 50)
    assert cluster.now == pytest.approx(55, abs=3)


@pytest.mark.parametrize("kind", [PoolError, NumericalError])
def test_an_error_of_a_job_ends_it_at_once(kind: type[Exception]) -> None:
    cluster = Simulated(one=(2, 1.0))
    cluster.fail = lambda name, node: kind("broken") if name == "3" else None
    with pytest.raises(kind, match="broken"):
        compute(pool_of(cluster), 50)
    assert cluster.now < 3
    assert starts(cluster)["3"] == 1


def test_a_lost_job_is_started_again_but_not_for_ever() -> None:
    cluster = Simulated(one=(1, 1.0), other=(1, 1.0))
    losses = iter([True, True])
    cluster.fail = lambda name, node: LostError("gone") if name == "3" and next(losses, 0) else None
    compute(pool_of(cluster), 10)
    assert starts(cluster) == Counter({str(k): 1 for k in range(10)}) + Counter({"3": 2})
    cluster.fail = lambda name, node: LostError("gone") if name == "3" else None
    with pytest.raises(PoolError, match=r"^3 was lost with its worker again and again \(gone\)"):
        compute(pool_of(cluster), 10)


def test_cores_without_work_take_over_what_is_late() -> None:
    """Long before the deadline: a new worker may be on its way to do it, slowly."""
    cluster = Simulated(one=(1, 1.0), other=(1, 1.0))
    cluster.stuck = {10}
    pool = pool_of(cluster, deadline=1000.0, give_up_after=5000.0)
    compute(pool, 20)
    assert cluster.now < 25
    assert pool.status.again == 2  # with what waits behind it


def test_what_is_measured_is_not_disturbed() -> None:
    """Jobs to be measured take ever longer: that one does says nothing about the next."""
    cluster = Simulated(one=(1, 0.01), other=(1, 0.01))
    pool = pool_of(cluster)
    for seconds in (0.01, 0.5, 8.0):
        cluster.nodes = {"one": (1, seconds), "other": (1, seconds)}
        pool.compute(1, lambda number: make(number, kind="measured", repeat=True), lambda *_: None)
    assert set(starts(cluster).values()) == {3}
    assert pool.status.again == 0


def test_what_was_frozen_is_forgotten() -> None:
    """However often all of it freezes: a job is as late as ever after the next one."""
    cluster = Simulated(one=(2, 1.0), other=(2, 1.0))
    pool = pool_of(cluster, give_up_after=5000.0)
    for _ in range(3):
        begin = cluster.now
        cluster.at(begin + 2.5, lambda: cluster.freeze("one", "other"))
        for node in ("one", "other"):
            cluster.at(begin + 300, lambda node=node: cluster.thaw(node))
        compute(pool, 200)
        assert pool._limit("some") == pool._deadline


def test_late_results_of_a_block_that_failed_are_dropped() -> None:
    """They are of the same numbers as jobs of the next one."""
    cluster = Simulated(one=(2, 1.0), other=(2, 1.0))
    cluster.fail = lambda name, node: PoolError("broken") if name == "3" else None
    pool = pool_of(cluster)
    with pytest.raises(PoolError, match="broken"):
        compute(pool, 50)
    late = sum(map(len, cluster.running.values()))
    assert late > 2
    taken = []
    pool.compute(
        20,
        lambda number: make(100 + number),
        lambda number, done: taken.append((number, int(done.arrays[0]))),
    )
    assert sorted(taken) == [(number, 100 + number) for number in range(20)]
    assert pool.status.again == 0


def test_results_of_an_earlier_block_are_no_sign_of_life() -> None:
    cluster = Simulated(one=(20, 1.0))
    cluster.stuck = set(range(1, 100))
    cluster.fail = lambda name, node: PoolError("broken")
    pool = pool_of(cluster)
    with pytest.raises(PoolError, match="broken"):
        compute(pool, 50)
    for ticket in range(1, 20):
        cluster.at(20.0 * ticket, lambda ticket=ticket: cluster._end(ticket))
    with pytest.raises(PoolError, match="no worker has given a result for 5"):
        compute(pool, 50)
    assert cluster.now < 60
