"""Two processes joined by JAX on loopback addresses, and what they hold in common."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from kernel_distill import _hosts as hosts
from kernel_distill import kernels
from kernel_distill._errors import InputError

WORKER = Path(__file__).parent / "workers" / "on_hosts.py"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_one_process_alone() -> None:
    assert hosts.is_first()
    assert hosts.agreed(15) == 15
    assert hosts.agreed(None) is None
    assert hosts.from_first(b"all") == b"all"
    assert hosts.by_first(lambda: 3) == 3
    hosts.check_same({"seed": 0})


def test_an_error_of_jax_is_no_loss_in_one_process() -> None:
    with pytest.raises(jax.errors.JaxRuntimeError), hosts.losses():
        raise jax.errors.JaxRuntimeError("out of memory")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SLURM_LOCALID": "3", "CUDA_VISIBLE_DEVICES": "0"}, [0]),  # --gpus-per-task 1
        ({"SLURM_LOCALID": "3", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}, None),
        ({"SLURM_LOCALID": "0", "CUDA_VISIBLE_DEVICES": "0"}, None),
        ({}, None),
    ],
)
def test_the_gpu_of_a_task_of_slurm(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: list[int] | None
) -> None:
    """JAX takes the GPU whose number is that of the task; a task that sees one calls it 0."""
    for name in ("SLURM_LOCALID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    given: dict[str, Any] = {}
    monkeypatch.setattr(jax.distributed, "initialize", lambda **options: given.update(options))
    hosts.join("auto")
    assert given.get("local_device_ids") == expected


def test_too_late_to_join() -> None:
    jax.devices()  # now JAX is at work in this process
    with pytest.raises(InputError, match=r"could not be joined with coordinator 127\.0\.0\.1:1"):
        hosts.join("127.0.0.1:1", num_processes=1, process_id=0)


@pytest.mark.slow
@pytest.mark.kernels
def test_two_processes(tmp_path: Path) -> None:
    coordinator = f"127.0.0.1:{free_port()}"
    files = [tmp_path / f"{process}.npz" for process in range(2)]
    environment = {"JAX_NUM_CPU_DEVICES": "1"}

    processes = [
        subprocess.Popen(
            [sys.executable, str(WORKER), coordinator, str(process), str(file)],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        for process, file in enumerate(files)
    ]
    try:
        for process in processes:
            _, err = process.communicate(timeout=180)
            assert process.returncode == 0, err
    finally:
        for process in processes:
            process.kill()
            process.wait()
    first, second = (dict(np.load(file)) for file in files)
    assert first["devices"].tolist() == [0, 1]
    assert first["agreed"].tolist() == [15, 1]
    assert first["sent"].tolist() == list(range(1000))
    assert first["nothing"].size == 0
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)
    sys.path.append(str(WORKER.parent))
    from on_hosts import images, value_and_gradients

    plain: dict[str, Any] = {
        "fc": kernels.FullyConnected(depth=1).kernel(),
        "convnet": kernels.ConvNet(depth=1, prepend=False).kernel(),
    }
    for name, kernel in plain.items():
        for sizes in ((5, 3), (2, 7)):
            expected = value_and_gradients(kernel, *map(images, sizes))
            for part, value in zip(("block", "own", "bar1", "bar2"), expected, strict=True):
                got = first[f"{name} {sizes} {part}"]
                np.testing.assert_allclose(got, value, rtol=1e-5, atol=1e-5)
