"""What a worker is set up to be, before it does any job."""

import subprocess
import sys

import pytest

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
