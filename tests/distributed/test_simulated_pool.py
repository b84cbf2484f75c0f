"""The arithmetic of the pool that benchmarks/distributed.py simulates."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import kernels
from kernel_distill.kernels import Rows

PATH = Path(__file__).parents[2] / "benchmarks" / "simulated_pool.py"
KERNEL = kernels.FullyConnected().kernel()
PAIR = {"values": 0.01, "gradient in one": 0.04}  # seconds: groups of 100 and of 25 pairs
ROWS, COLUMNS = 60, 40
WORK = ROWS * COLUMNS * sum(PAIR.values())
JOBS = ROWS * COLUMNS // 100 + ROWS * COLUMNS // 25


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulated_pool", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


pool = load()


def make_step(kernel):
    natural = Rows(np.zeros((ROWS, 8), np.float32), np.arange(ROWS))
    step = jax.value_and_grad(lambda x: (kernel(natural, x) ** 2).sum())
    return lambda: step(jnp.ones((COLUMNS, 8)))


def simulate(workers, *, cores_a_node=1, **costs):
    """Seconds of a step, without those of this process, and where they went."""
    cluster = pool.SimulatedCluster(
        workers, pool.Costs(PAIR, **costs), cores_a_node=cores_a_node, timed=False
    )
    return pool.second_step(make_step, KERNEL, cluster)


def test_one_worker_takes_as_long_as_the_work() -> None:
    seconds, ledger = simulate(1)
    assert seconds == pytest.approx(WORK)
    assert ledger.busy == pytest.approx(WORK)
    assert ledger.waiting == pytest.approx(WORK)
    assert ledger.jobs == JOBS
    assert ledger.received == ROWS * COLUMNS * 4 + ROWS * COLUMNS // 25 * 5 * 8 * 4


@pytest.mark.parametrize("cores_a_node", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_more_workers_take_less_but_never_less_than_their_share(cores_a_node: int) -> None:
    costs = {"submit": 0.01, "latency": 0.1, "turnaround": 0.05, "bandwidth": 1e5}
    before = np.inf
    for workers in (1, 2, 3, 8, 24, 100):
        free, _ = simulate(workers, cores_a_node=cores_a_node)
        seconds, _ = simulate(workers, cores_a_node=cores_a_node, **costs)
        assert WORK / workers <= free * (1 + 1e-9)
        assert free <= seconds <= before
        before = seconds
    # as many workers as groups, and more: the last group of each of two blocks takes a second
    assert simulate(100)[0] == pytest.approx(2)


def test_the_driver_is_the_limit_of_many_workers() -> None:
    seconds, ledger = simulate(512, cores_a_node=8, submit=0.5, collect=0.25)
    assert ledger.ray >= 0.75 * JOBS  # the pool may take a group for late, and start it again
    assert seconds == pytest.approx(0.75 * JOBS, rel=0.05)


def test_the_network_is_the_limit_of_many_workers() -> None:
    seconds, ledger = simulate(512, cores_a_node=8, bandwidth=10_000.0)
    assert seconds > ledger.received / 10_000.0
    # what is shared is sent to a machine once, not to each of its workers
    assert simulate(512, cores_a_node=1, bandwidth=10_000.0)[0] > seconds


def test_latency_counts_once_a_block() -> None:
    """A worker always has the next group already."""
    assert simulate(1, latency=0.5)[0] == pytest.approx(WORK + 2 * 0.5)


def test_a_step_beside_what_it_would_take_at_no_cost() -> None:
    found = pool.simulate(make_step, KERNEL, 4, pool.Costs(PAIR, submit=0.01))
    assert found.ideal == pytest.approx(WORK / 4)
    assert found.ideal <= found.groups < found.seconds
    spent = found.ledger.python + found.ledger.ray + found.ledger.waiting
    assert found.seconds == pytest.approx(spent, rel=0.01)


def test_what_the_driver_does_between_blocks_is_counted_apart() -> None:
    cluster = pool.SimulatedCluster(4, pool.Costs(PAIR), timed=False)
    kernel = pool.simulated_kernel(KERNEL, cluster)
    step = make_step(kernel)
    step()
    cluster.ledger = pool.Ledger()
    cluster._call_ray(3.0)
    step()
    cluster._call_ray(2.0)
    assert cluster.ledger.alone == pytest.approx(5)
