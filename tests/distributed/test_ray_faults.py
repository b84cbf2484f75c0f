"""Workers and nodes that are killed, frozen or added while KIP runs: it ends with the same bits.

The kernel of these runs logs its tiles (`workers/watched_kernel.py`), so that a fault strikes when
work is in flight, and is seen to be done again.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from kernel_distill import distributed, kernels, kip
from kernel_distill._errors import PoolError
from kernel_distill.artefact import Run
from kernel_distill.distributed._pool import Pool

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("without_pictures")]

FC = kernels.FullyConnected(depth=2).kernel()
STEPS = 4
SETTINGS: dict[str, Any] = {"images_per_class": 2, "batch_size": 20, "augment": ("flip",)}
DEADLINE = 4.0
INTO = 140  # lines of the log: in the second step, after the checkpoint of the first


@dataclass(frozen=True)
class Ended:
    """A run that came to its end.

    Attributes:
        result: its result.
        seconds: that it took.
        again: how many groups were handed out again.
    """

    result: Any
    seconds: float
    again: int


class Watched:
    """The kernel of these tests, and the log of its tiles."""

    def __init__(self, folder: Path) -> None:
        from watched_kernel import WatchedKernel

        self.log = folder / "log"
        self.log.touch()
        self.kernel = WatchedKernel(FC.architecture, FC.kind, FC, str(self.log), 0.15)

    def lines(self, since: int = 0) -> list[tuple[str, int, int]]:
        """What, in which process, which tile."""
        split = [line.split() for line in self.log.read_text().splitlines()[since:]]
        return [(what, int(process), int(tile)) for what, process, tile in split]

    def in_flight(self, since: int) -> list[tuple[int, int]]:
        """Process and tile of what has begun since a line, and not ended."""
        begun: list[tuple[int, int]] = []
        for what, process, tile in self.lines(since):
            if what == "begin":
                begun.append((process, tile))
            elif (process, tile) in begun:
                begun.remove((process, tile))
        return begun

    def distil(
        self, data: Any, run: Run | None = None, *, steps: int = STEPS, **pool: float
    ) -> Ended:
        kernel = distributed.on_ray(self.kernel, group=12, **pool)
        begin = time.monotonic()
        result = kip.distill(kernel, data, key=jax.random.key(5), run=run, steps=steps, **SETTINGS)
        return Ended(result, time.monotonic() - begin, kernel.status.again)

    @contextmanager
    def fault(self, strike: Callable[[int], Any], *, lost: bool = True) -> Iterator[None]:
        """Strikes within the block, some way into the run, in the midst of the work of a process.

        Args:
            strike: is given the process; what it does not kill goes on.
            lost: whether its tile is; then it is asserted that another process began it again.
        """
        begin, over = len(self.lines()), threading.Event()
        struck: list[tuple[int, int, int]] = []

        def wait_and_strike() -> None:
            while not over.is_set() and not struck:
                time.sleep(0.005)
                if len(self.lines(begin)) > INTO and (found := self.in_flight(begin)):
                    process, tile = found[-1]
                    stop(process)  # it shall not come to its end meanwhile
                    if (process, tile) in self.in_flight(begin):
                        struck.append((process, tile, len(self.lines())))
                        strike(process)
                    if not (lost and struck):
                        wake(process)

        thread = threading.Thread(target=wait_and_strike)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        assert struck, "the run was over before anything was in flight"
        if lost:
            process, tile, at = struck[0]
            assert ("end", process, tile) not in self.lines(at), "it was over as the fault struck"
            again = [other for what, other, same in self.lines(at) if same == tile]
            assert again, f"what was in flight was not done again: {struck} {self.lines(begin)}"
            assert process not in again


@pytest.fixture(scope="module")
def watched(nodes: Any, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    del nodes
    return Watched(tmp_path_factory.mktemp("watched"))


@pytest.fixture(scope="module")
def whole(nodes: Any, watched: Watched, tiny: Any) -> Ended:
    """Undisturbed, with all programs compiled."""
    assert len(nodes.nodes) == 3
    watched.distil(tiny)
    return watched.distil(tiny)


@pytest.fixture(autouse=True)
def _compiled(whole: Ended, three: Any, watched: Watched, tiny: Any) -> None:
    """By workers that an earlier test made necessary, too."""
    del whole, three
    watched.distil(tiny, steps=1)


def stop(process: int) -> None:
    """Returns when it has: a thread that runs on another core is not stopped at once."""
    os.kill(process, signal.SIGSTOP)
    states = "R"
    while set(states) & set("RSD"):
        threads = Path(f"/proc/{process}/task").glob("*/stat")
        states = "".join(each.read_text().rpartition(") ")[2][0] for each in threads)


def wake(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)


def assert_same(one: Ended, other: Ended) -> None:
    assert one.result.distilled.images.tobytes() == other.result.distilled.images.tobytes()
    assert one.result.distilled.labels.tobytes() == other.result.distilled.labels.tobytes()
    assert one.result.test_accuracy == other.result.test_accuracy
    assert one.result.validation_accuracy == other.result.validation_accuracy


def assert_soon(disturbed: Ended, whole: Ended, again: Callable[[], Ended], late: float) -> None:
    """Not `late` seconds after an undisturbed run: that before it, or one right after it.

    The machine may have become slower meanwhile, by other work.
    """
    assert disturbed.seconds < whole.seconds + late or disturbed.seconds < again().seconds + late


def test_a_worker_is_killed(watched: Watched, whole: Ended, tiny: Any) -> None:
    with watched.fault(lambda process: os.kill(process, signal.SIGKILL)):
        disturbed = watched.distil(tiny)
    assert_same(disturbed, whole)
    assert_soon(disturbed, whole, lambda: watched.distil(tiny), 10)


def test_a_node_is_killed(three: Any, watched: Watched, whole: Ended, tiny: Any) -> None:
    with watched.fault(lambda process: three.kill(three.of_worker(process))):
        disturbed = watched.distil(tiny)
    assert len(three.nodes) == 2
    assert_same(disturbed, whole)
    assert_soon(disturbed, whole, lambda: watched.distil(tiny), 10)


def test_a_node_is_added(three: Any, watched: Watched, whole: Ended, tiny: Any) -> None:
    """After the first step, in the main thread; and it takes part."""
    since = len(watched.lines())
    added = []

    def report(progress: Any) -> None:
        if progress.step == 1 and not added:
            added.append(three.add())

    kernel = distributed.on_ray(watched.kernel, group=12)
    result = kip.distill(
        kernel, tiny, key=jax.random.key(5), report=report, steps=STEPS, **SETTINGS
    )
    assert_same(Ended(result, 0.0, 0), whole)
    workers = {process for _, process, _ in watched.lines(since)}
    assert any(three.of_worker(process) is added[0] for process in workers)
    three.kill(added[0])


def test_a_worker_freezes(three: Any, watched: Watched, whole: Ended, tiny: Any) -> None:
    """Ray by itself would wait for ever; after the deadline the work is done elsewhere."""
    with watched.fault(three.freeze):
        disturbed = watched.distil(tiny, deadline=DEADLINE)
    assert_same(disturbed, whole)
    assert disturbed.again > 0
    assert_soon(disturbed, whole, lambda: watched.distil(tiny), DEADLINE + 10)


def test_a_worker_freezes_while_no_core_is_idle(
    three: Any, watched: Watched, whole: Ended, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a block that is long enough: then nothing but the deadline has its work done again."""
    monkeypatch.setattr(Pool, "_use_idle_cores", lambda pool, block: None)
    with watched.fault(three.freeze):
        disturbed = watched.distil(tiny, deadline=DEADLINE)
    assert_same(disturbed, whole)
    assert disturbed.again > 0
    assert disturbed.seconds > DEADLINE
    assert_soon(disturbed, whole, lambda: watched.distil(tiny), DEADLINE + 10)


def test_a_raylet_freezes(three: Any, watched: Watched, whole: Ended, tiny: Any) -> None:
    """Its worker goes on with its tile; what it is sent after that goes nowhere."""

    def freeze(process: int) -> None:
        three.freeze(three.raylet(three.of_worker(process)))

    with watched.fault(freeze, lost=False):
        disturbed = watched.distil(tiny, deadline=DEADLINE)
    assert_same(disturbed, whole)
    assert disturbed.again > 0
    assert_soon(disturbed, whole, lambda: watched.distil(tiny), DEADLINE + 10)


def test_all_nodes_are_gone(
    three: Any, watched: Watched, whole: Ended, tiny: Any, tmp_path: Path
) -> None:
    def kill_all(process: int) -> None:
        del process
        for node in list(three.nodes):
            three.kill(node)
        killed.append(time.monotonic())

    killed: list[float] = []
    with (
        Run.create(tmp_path / "run", {}) as run,
        pytest.raises(PoolError, match=r"no worker has given a result.*saved in .*--resume"),
        pytest.warns(UserWarning, match="no machine is left: waiting 9 seconds for others"),
        watched.fault(kill_all, lost=False),
    ):
        watched.distil(tiny, run, give_up_after=9.0, deadline=2.0)
    assert time.monotonic() - killed[0] < 9 + 6
    assert not (tmp_path / "run" / "result.json").exists()
    saved = run.checkpoints.latest()
    assert 0 < saved.step < STEPS
    three.add()
    with Run.create(tmp_path / "run", {}, resume=True) as run:
        assert_same(watched.distil(tiny, run), whole)


PROGRAM = """
import json, sys
import jax, numpy as np
import kernel_distill as kd
from kernel_distill import data, kernels
from kernel_distill.artefact import Run
from kernel_distill.distributed import on_ray
from watched_kernel import WatchedKernel
address, folder, log, arrays, settings = sys.argv[1:]
arrays = np.load(arrays)
tiny = data.from_arrays(*(arrays[f"arr_{k}"] for k in range(4)), validation_size=19)
FC = kernels.FullyConnected(depth=2).kernel()
kernel = on_ray(WatchedKernel(FC.architecture, FC.kind, FC, log, 0.15), address, group=12)
with Run.create(folder, {}) as run:
    kd.kip.distill(kernel, tiny, key=jax.random.key(5), run=run, **json.loads(settings))
"""


def test_the_driver_is_killed(  # noqa: PLR0917
    three: Any, watched: Watched, whole: Ended, tiny: Any, arrays: Any, tmp_path: Path
) -> None:
    np.savez(tmp_path / "arrays.npz", *arrays)
    since = len(watched.lines())
    driver = subprocess.Popen(
        [
            *(sys.executable, "-c", PROGRAM, three.address, tmp_path / "run", watched.log),
            *(tmp_path / "arrays.npz", json.dumps(SETTINGS | {"steps": STEPS})),
        ]
    )
    try:
        deadline = time.monotonic() + 120
        while len(watched.lines(since)) <= INTO or not (flying := watched.in_flight(since)):
            assert driver.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        driver.kill()
        driver.wait()
    with Run.create(tmp_path / "run", {}, resume=True) as run:
        saved = run.checkpoints.latest()
        assert 0 < saved.step < STEPS
        at = len(watched.lines())
        assert_same(watched.distil(tiny, run), whole)
    # what was in flight belongs to a step that was not saved: it is done again
    assert flying[-1][1] in {tile for what, _, tile in watched.lines(at) if what == "begin"}
