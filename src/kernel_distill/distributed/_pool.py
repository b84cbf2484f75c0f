"""Jobs handed out to nodes that may be of different speeds, come, go, die and freeze.

Whatever computes them is a `Cluster`: Ray's is in `_cluster.py`.
"""

import time
import warnings
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol, runtime_checkable

from kernel_distill._errors import PoolError
from kernel_distill.distributed._worker import Done, Job, UnfitError

Node = str
Ticket = Hashable  # stands for a job that was started
Take = Callable[[int, Done], None]


class LostError(Exception):
    """A job was lost with its worker, and the cluster has given up beginning anew."""


@dataclass(frozen=True, eq=False)
class Task:
    """A job, and where in the cluster's store the images of its rows are."""

    job: Job
    images: tuple[object, ...]


@runtime_checkable
class Cluster(Protocol):
    """Where jobs run."""

    def cores(self) -> dict[Node, int]:
        """The nodes that are there now, and how many jobs each computes at a time."""

    def start(self, task: Task, node: Node) -> Ticket:
        """Has a job run on a node; on another, should that one go."""

    def wait(self, tickets: Sequence[Ticket], seconds: float) -> Sequence[Ticket]:
        """Those of which there is a result now; waits for the first of them, but not longer."""

    def result(self, ticket: Ticket) -> Done:
        """The result of a job that is done.

        Raises:
            LostError: there is none, and there will be none.
            UnfitError: the node cannot do jobs.
            KernelDistillError: what the job raised.
        """


@dataclass
class Status:
    """How far the block is that is being computed.

    Attributes:
        done: jobs done, of `total`.
        total: jobs of the block.
        workers: cores of the nodes that are there.
        again: how often a job was started again, in all blocks.
        seconds: that the jobs took whose results were taken, in all blocks.
    """

    done: int = 0
    total: int = 0
    workers: int = 0
    again: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.done}/{self.total} groups, {self.workers} workers"


class _Block:
    """What is left to do of one block."""

    def __init__(self, count: int) -> None:
        self.waiting = deque(range(count))
        self.left = set(self.waiting)
        self.starts = [0] * count
        self.losses = [0] * count


@dataclass(eq=False)
class _Attempt:
    """A job that was started and has not come back yet.

    Attributes:
        block: that it belongs to.
        number: which job of the block.
        kind: see `Job`.
        name: see `Job`.
        node: where it was sent.
        since: when.
        limit: seconds after which it is started again elsewhere.
        overdue: when that was; None: not yet.
    """

    block: _Block
    number: int
    kind: str
    name: str
    node: Node
    since: float
    limit: float
    overdue: float | None = None


class Pool:
    """Hands jobs out, as many at a time as keep the nodes busy, and takes their results in.

    A job past its deadline is started again on another node, and the first result counts; near the
    end of a block earlier already, where cores have nothing else to do: a job whose worker died may
    wait for a new one to start, import JAX and compile the program. Those that never come back keep
    their place on the node they were sent to, so that a frozen worker is sent nothing more.

    Args:
        cluster: where jobs run.
        deadline: seconds after which a job is started again, at least; where jobs of its kind take
            longer, `SLACK` times the longest of the last ones. Each new start of a job doubles it.
        give_up_after: seconds without any result after which PoolError is raised; three times the
            deadline, where that is longer.
        clock: gives the seconds.
    """

    SLACK = 5  # one job may wait for another on the same core, and cores differ
    _POLL = 1.0  # seconds between looks at nodes and deadlines
    _LOSSES = 3  # of one job: then it is not chance
    _MEMORY = 0.9  # of the longest time, with each shorter one: one that was frozen is forgotten

    def __init__(
        self,
        cluster: Cluster,
        *,
        deadline: float,
        give_up_after: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.status = Status()
        self._cluster, self._clock = cluster, clock
        self._deadline, self._give_up_after = deadline, give_up_after
        self._out: dict[Ticket, _Attempt] = {}
        self._longest: dict[str, float] = {}
        self._heard: dict[Node, float] = {}
        self._cores: dict[Node, int] = {}
        self._unfit: set[Node] = set()
        self._looked_at = -inf
        self._now, self._read_at = 0.0, clock()

    def compute(self, count: int, make: Callable[[int], Task], take: Take) -> None:
        """Has some jobs done.

        Args:
            count: how many.
            make: gives the job of a number, which may be asked for more than once.
            take: is given each one's result, once, in whatever order they come in.

        Raises:
            PoolError: a job failed, was lost again and again, or no result came in for too long.
            NumericalError: a worker found numbers that are not finite.
        """
        block = _Block(count)
        self.status.done, self.status.total = 0, count
        self._tick()
        heard = self._now
        while block.left:
            self._hand_out(block, make)
            tickets = self._cluster.wait(list(self._out), self._POLL)
            self._tick()
            for ticket in tickets:
                if self._out[ticket].block is block:
                    heard = self._now
                self._take_in(block, ticket, take)
            self._find_overdue(block)
            self._use_idle_cores(block)
            self._check_alive(heard)

    def _tick(self) -> None:
        """Time as far as this process was running: if it was frozen itself, nobody else is late."""
        read_at = self._clock()
        self._now += min(read_at - self._read_at, 5 * self._POLL)
        self._read_at = read_at
        if self._now - self._looked_at >= self._POLL:
            cores = self._cluster.cores()
            self._cores = {node: cores[node] for node in cores if node not in self._unfit}
            self._looked_at = self._now
            before, self.status.workers = self.status.workers, sum(self._cores.values())
            if before and not self.status.workers:
                warnings.warn(
                    f"no machine is left: waiting {self._give_up_after:.0f} seconds for others",
                    stacklevel=2,
                )

    def _hand_out(self, block: _Block, make: Callable[[int], Task]) -> None:
        while block.waiting:
            number = block.waiting[0]
            if number not in block.left:  # lost and found
                block.waiting.popleft()
                continue
            node = self._free_node(block, number)
            if node is None:
                return
            block.waiting.popleft()
            task = make(number)
            limit = self._limit(task.job.kind) * 2 ** block.starts[number]
            ticket = self._cluster.start(task, node)
            self._out[ticket] = _Attempt(
                block, number, task.job.kind, task.job.name, node, self._now, limit
            )
            self.status.again += block.starts[number] > 0
            block.starts[number] += 1

    def _free_node(self, block: _Block, number: int) -> Node | None:
        """Where a job may go; None: it must wait."""
        # one more than is computed, so that no core waits for the next
        places = {node: cores + 1 for node, cores in self._cores.items() if cores > 0}
        doubtful = set()
        for attempt in self._out.values():
            if attempt.node in places:
                places[attempt.node] -= 1
                silent = attempt.overdue is not None and (
                    self._heard.get(attempt.node, -inf) < attempt.overdue
                )
                if silent or (attempt.block, attempt.number) == (block, number):
                    doubtful.add(attempt.node)
        # to such a node only where there is no other, which might just be busy
        known = {node: free for node, free in places.items() if node not in doubtful} or places
        node = max(known, key=known.__getitem__, default=None)
        return node if node is not None and known[node] > 0 else None

    def _limit(self, kind: str) -> float:
        return max(self._deadline, self.SLACK * self._longest.get(kind, 0.0))

    def _take_in(self, block: _Block, ticket: Ticket, take: Take) -> None:
        attempt = self._out.pop(ticket)
        self._heard[attempt.node] = self._now
        if attempt.block is not block or attempt.number not in block.left:
            return  # it was started again, and the other one was faster
        try:
            done = self._cluster.result(ticket)
        except UnfitError as error:
            self._leave_out(attempt.node, error)
            block.waiting.appendleft(attempt.number)
            return
        except LostError as error:
            block.losses[attempt.number] += 1
            if block.losses[attempt.number] == self._LOSSES:
                raise PoolError(
                    f"{attempt.name} was lost with its worker again and again ({error}): likely "
                    "the machine is short of memory. Take smaller groups, tiled kernels "
                    "(distributed.tiled), or fewer workers a machine."
                ) from error
            block.waiting.appendleft(attempt.number)
            return
        if not done.first:
            # one that was frozen took no longer because of its work
            seconds = min(done.seconds, attempt.limit)
            longest = self._longest.get(attempt.kind, 0.0)
            self._longest[attempt.kind] = max(self._MEMORY * longest, seconds)
        block.left.remove(attempt.number)
        self.status.done += 1
        self.status.seconds += done.seconds
        take(attempt.number, done)

    def _leave_out(self, node: Node, error: UnfitError) -> None:
        """Sends nothing more to a node; others may be better provided for."""
        if node not in self._unfit:
            self._unfit.add(node)
            self._cores.pop(node, None)
            warnings.warn(f"a machine is left out: {error}", stacklevel=2)
        if not any(self._cores.values()):
            raise PoolError(
                f"no machine can do the work; the last: {error}. All need the same Python, and "
                "pip install 'kernel-distill[ray]' in the versions that are here."
            ) from error

    def _find_overdue(self, block: _Block) -> None:
        for attempt in self._out.values():
            if attempt.overdue is None and self._now - attempt.since > attempt.limit:
                attempt.overdue = self._now
                mine = attempt.block is block and attempt.number in block.left
                if mine and attempt.number not in block.waiting:
                    block.waiting.appendleft(attempt.number)

    def _use_idle_cores(self, block: _Block) -> None:
        if block.waiting:
            return
        idle = dict(self._cores)
        late = []
        for attempt in self._out.values():
            if attempt.node in idle:
                idle[attempt.node] -= 1
            expected = self.SLACK * self._longest.get(attempt.kind, inf)
            mine = attempt.block is block and attempt.number in block.left
            if mine and block.starts[attempt.number] == 1 and self._now - attempt.since > expected:
                late.append(attempt.number)
        block.waiting.extend(late[: sum(max(0, cores) for cores in idle.values())])

    def _check_alive(self, heard: float) -> None:
        longest = max(map(self._limit, self._longest), default=self._deadline)
        if self._now - heard > max(self._give_up_after, 3 * longest):
            raise PoolError(
                f"no worker has given a result for {self._now - heard:.0f} seconds: "
                f"nodes there: {len(self._cores)}, with cores: {self.status.workers}; groups with "
                f"them: {len(self._out)}; done: {self.status.done} of {self.status.total}. "
                "Start nodes (ray start --address=...), or look at those that hang."
            )
