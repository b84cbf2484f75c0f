"""What a worker is set up to be, before it does any job."""

import subprocess
import sys

import pytest

from kernel_distill.distributed import _worker as worker

ONE_THREAD = """
from pathlib import Path
from kernel_distill.distributed import _worker
_worker._set_up()
import jax, jax.numpy as jnp
import kernel_distill as kd
kernel = kd.kernels.named("convnet1").kernel()
kernel(jnp.ones((16, 16, 16, 3)), jnp.zeros((16, 16, 16, 3))).block_until_ready()
names = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
print(jax.devices(), sum("XLAEigen" in name for name in names))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_a_worker_computes_on_one_core() -> None:
    told = subprocess.run(
        [sys.executable, "-c", ONE_THREAD], check=True, capture_output=True, text=True, timeout=120
    )
    assert told.stdout.strip() == "[CpuDevice(id=0)] 1"


def test_a_worker_of_another_version_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_here", lambda: "worker 5 at 10.0.0.5")
    expected = worker.versions() | {"jax": "0.1"}
    told = worker.compute(b"no job at all", expected)
    assert isinstance(told, worker.UnfitError)
    assert "worker 5 at 10.0.0.5 has {'kernel-distill'" in str(told)
    assert "'jax': '0.1'" in str(told)
