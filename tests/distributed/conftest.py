"""A Ray cluster on loopback addresses, for the tests marked `ray`."""

import contextlib
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernel_distill import data

WORKERS = Path(__file__).parent / "workers"  # what only workers and these tests import

# all of it inherited by the nodes; a node that dies is found out in seconds, one that is only slow,
# as on a machine that runs tests, is not taken for dead
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "a-token-for-the-tests-of-kernel-distill",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "10000",
    "RAY_health_check_failure_threshold": "3",
}


class Nodes:
    """The nodes of a cluster, of a core each; the head, where nothing is computed, stays."""

    def __init__(self, folder: str) -> None:
        from ray.cluster_utils import Cluster

        self._options = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
        self._last = 2  # Ray replaces 127.0.0.1 by an address that others can reach
        head = {"num_cpus": 0, "node_ip_address": "127.0.0.2", "temp_dir": folder}
        self._cluster = Cluster(True, head_node_args=head | self._options)
        self.address: str = self._cluster.address
        self.nodes: list[Any] = []
        self._frozen: list[int] = []

    def add(self) -> Any:
        """A new one; in the main thread only."""
        self._last += 1
        address = f"127.0.0.{self._last}"
        node = self._cluster.add_node(num_cpus=1, node_ip_address=address, **self._options)
        self.nodes.append(node)
        return node

    def kill(self, node: Any) -> None:
        self.nodes.remove(node)
        left = children(self.raylet(node))
        self._cluster.remove_node(node, allow_graceful=False)
        kill(left)

    def freeze(self, process: int) -> None:
        os.kill(process, signal.SIGSTOP)
        self._frozen.append(process)

    def wake(self) -> None:
        """All that was frozen."""
        while self._frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._frozen.pop(), signal.SIGCONT)

    def of_worker(self, process: int) -> Any:
        """The node that a worker is on."""
        (node,) = (node for node in self.nodes if process in children(self.raylet(node)))
        return node

    def raylet(self, node: Any) -> int:
        return node.all_processes["raylet"][0].process.pid

    def close(self) -> None:
        head = self._cluster.head_node
        left = [each for node in [*self.nodes, head] for each in children(self.raylet(node))]
        self.wake()
        self._cluster.shutdown()
        kill(left)


def children(process: int) -> list[int]:
    import psutil

    try:
        return [child.pid for child in psutil.Process(process).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(processes: list[int]) -> None:
    """Those of them that are there still."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Three nodes to begin with, that this process is connected to."""
    if importlib.util.find_spec("ray") is None:  # imported below, when its environment is made
        pytest.skip("needs Ray: pip install 'kernel-distill[ray]'")
    before = {name: os.environ.get(name) for name in [*ENVIRONMENT, "PYTHONPATH", "RAY_ADDRESS"]}
    os.environ.update(ENVIRONMENT)
    os.environ.pop("RAY_ADDRESS", None)
    path = [str(WORKERS), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    sys.path.append(str(WORKERS))
    folder = tempfile.mkdtemp(prefix="kd-", dir="/tmp")  # the path of a socket must be short
    # Ray's Cluster writes its address there, and does not make the folder
    os.makedirs(os.path.join(os.environ.get("RAY_TMPDIR", "/tmp"), "ray"), exist_ok=True)
    closing = contextlib.ExitStack()
    try:
        import ray

        from kernel_distill.distributed._cluster import join

        nodes = Nodes(folder)
        closing.callback(nodes.close)
        closing.callback(ray.shutdown)
        for _ in range(3):
            nodes.add()
        join(nodes.address, insecure=False)
        yield nodes
    finally:
        closing.close()
        shutil.rmtree(folder, ignore_errors=True)
        sys.path.remove(str(WORKERS))
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@pytest.fixture
def three(nodes: Nodes) -> Nodes:
    """As many nodes as at the beginning, whatever an earlier test has done to them."""
    import ray

    nodes.wake()
    alive = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    for node in list(nodes.nodes):
        if node.node_ip_address not in alive:  # frozen for so long that it was given up
            nodes.kill(node)
    while len(nodes.nodes) < 3:
        nodes.add()
    return nodes


@pytest.fixture(scope="session")
def arrays() -> tuple[np.ndarray, ...]:
    """Three classes of 5x4 images with two channels; 109 to train on, and others."""
    random = np.random.default_rng(0)
    labels = np.arange(130) % 3
    centres = random.standard_normal((3, 5, 4, 2))
    images = centres[labels] + 2.0 * random.standard_normal((130, 5, 4, 2))
    return images[:109], labels[:109], images[109:], labels[109:]


@pytest.fixture(scope="session")
def tiny(arrays: tuple[np.ndarray, ...]) -> data.Dataset:
    return data.from_arrays(*arrays, validation_size=19)
