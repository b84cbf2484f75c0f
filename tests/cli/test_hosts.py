"""Several processes that do a run together: `--coordinator`, `--num-processes`, `--process-id`.

Here two of one device each, on loopback addresses, beside one process of two devices.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings

import pytest

import kernel_distill as kd
from kernel_distill._errors import InputError
from kernel_distill._hosts import HEARTBEAT
from kernel_distill.artefact import Checkpoints, read_config, read_metrics
from kernel_distill.cli._devices import DeviceOptions

ADDRESS = "10.0.0.5:1234"
# convolutional kernels come out the same in one process as in two, bit for bit; matrix products
# (fc1) may not. Of the two kernels, the nngp compiles faster
RUNS = {
    "kip": (
        *("kip", "--architecture", "convnet1", "--kernel", "nngp", "--images-per-class", 1),
        *("--steps", 60, "--batch-size", 9, "--augment", "shift", "--validation-size", 20),
    ),
    "label-solve": (
        *("label-solve", "--architecture", "convnet1", "--kernel", "nngp", "--support-size", 11),
        *("--block-size", 9, "--validation-size", 20),
    ),
}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_processes": 2}, r"go with a coordinator HOST:PORT .* got 2 and None with None"),
        ({"coordinator": "auto", "process_id": 0}, "got None and 0 with auto"),
        ({"coordinator": "10.0.0.5"}, "must be HOST:PORT, such as .*; got 10.0.0.5"),
        ({"coordinator": ADDRESS, "num_processes": 2}, "needs num-processes and process-id too"),
        (
            {"coordinator": ADDRESS, "num_processes": 2, "process_id": 2},
            "0 or more and less than num-processes; got 2 of 2",
        ),
        ({"coordinator": "auto", "ray": "auto"}, "and ray names a cluster"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(InputError, match=message):
        DeviceOptions(**options)


class Processes:
    """Commands in processes of their own, none of which outlives the test."""

    def __init__(self):
        self.started = []

    def start(self, *arguments, devices):
        environment = {"JAX_NUM_CPU_DEVICES": str(devices)}
        process = subprocess.Popen(
            [sys.executable, "-m", "kernel_distill.cli", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        self.started.append(process)
        return process

    def start_two(self, *arguments, others=(), devices=1):
        """Args: others: further options of the second; devices: of each."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        together = ("--coordinator", f"127.0.0.1:{port}", "--num-processes", 2, "--process-id")
        first = self.start(*arguments, *together, 0, devices=devices)
        return first, self.start(*arguments, *together, 1, *others, devices=devices)

    def kill(self):
        for process in self.started:
            process.kill()
            process.communicate()


def end(process, timeout=400):
    """Its exit status, output and errors."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def assert_ends(processes, status=0):
    """All of them, with `status`; what they said is shown where one does not."""
    for found, _, err in [end(each) for each in processes]:
        assert found == status, err


@pytest.fixture
def processes():
    processes = Processes()
    yield processes
    processes.kill()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run of a command in one process, never stopped."""
    paths, processes = {}, Processes()

    def run(command):
        if command not in paths:
            path = tmp_path_factory.mktemp("whole") / "run"
            status, _, err = end(processes.start(*RUNS[command], "--out", path, devices=2))
            assert (status, err) == (0, "")
            paths[command] = path
        return paths[command]

    yield run
    processes.kill()


def assert_same_run(path, whole):
    one, other = kd.load(path), kd.load(whole)
    assert one.images.tobytes() == other.images.tobytes()
    assert one.labels.tobytes() == other.labels.tobytes()
    assert one.metadata["metrics"] == other.metadata["metrics"]
    assert read_metrics(path) == read_metrics(whole)


def wait_for_step(process, path, step):
    """Until a checkpoint of `step` or a later one is there."""
    deadline = time.monotonic() + 400
    while not any(found >= step for found in Checkpoints(path / "checkpoints").steps()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.slow
def test_the_same_bits_as_one_process(whole, processes, tmp_path):
    """Of Label Solve too: `test_one_is_killed`."""
    path, other = tmp_path / "run", tmp_path / "other"
    options = ("--tensorboard", "--out", path)
    first, second = processes.start_two(*RUNS["kip"], *options, others=("--out", other))
    status, out, err = end(first)
    assert status == 0, err
    assert "10 distilled images" in out
    status, out, err = end(second)
    assert status == 0, err
    assert not [line for line in out.splitlines() if not line.startswith("[Gloo]")]  # JAX's own
    assert_same_run(path, whole("kip"))
    assert len(list((path / "tensorboard").iterdir())) == 1
    assert not other.exists()
    assert not {"coordinator", "num_processes", "process_id"} & set(
        read_config(path / "config.yaml")
    )


@pytest.mark.slow
@pytest.mark.parametrize(("command", "victim"), [("kip", 0), ("label-solve", 1)])
def test_one_is_killed(whole, processes, tmp_path, command, victim):
    path = tmp_path / "run"
    both = processes.start_two(*RUNS[command], "--out", path)
    wait_for_step(both[0], path, 10)
    assert both[1 - victim].poll() is None
    both[victim].kill()
    begin = time.monotonic()
    status, _, err = end(both[1 - victim])
    assert time.monotonic() - begin < HEARTBEAT + 10
    assert status != 0
    assert "--resume" in err
    assert not (path / "distilled.npz").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none is damaged
        saved = Checkpoints(path / "checkpoints").latest().step
    if victim == 1:  # who is left has the run, and time to save it
        assert status == 1
        assert saved >= 10
        assert f"The state of the run is saved in {path}: go on from there with --resume." in err
    alone = tmp_path / "alone"
    shutil.copytree(path, alone)
    assert_ends(processes.start_two(command, "--out", path, "--resume"))
    assert_same_run(path, whole(command))
    status, _, err = end(processes.start(command, "--out", alone, "--resume", devices=2))
    assert (status, err) == (0, "")
    assert_same_run(alone, whole(command))


@pytest.mark.slow
def test_a_signal_to_one_stops_both(whole, processes, tmp_path):
    """To either of them; and the second is given another folder, where nothing is."""
    path, other, number = tmp_path / "run", tmp_path / "other", signal.SIGTERM
    both = processes.start_two(*RUNS["kip"], "--out", path, others=("--out", other))
    wait_for_step(both[0], path, 10)
    both[1].send_signal(number)
    status, _, err = end(both[1])
    assert status == 128 + number, err
    assert "process 0 says how to go on" in err
    status, _, err = end(both[0])
    assert status == 128 + number, err
    assert re.search(rf"^stopped; go on with: .*--out {path} --resume$", err, re.MULTILINE)
    saved = Checkpoints(path / "checkpoints").latest()
    assert max((entry["step"] for entry in read_metrics(path)), default=0) <= saved.step
    both = processes.start_two("kip", "--out", path, "--resume")
    wait_for_step(both[0], path, saved.step + 1)
    both[0].send_signal(signal.SIGINT)
    assert_ends(both, 130)
    resume = (*RUNS["kip"], "--out", path, "--resume")  # all is said where no config.yaml is seen
    assert_ends(processes.start_two(*resume, others=("--out", other)))
    assert_same_run(path, whole("kip"))
    assert not other.exists()


@pytest.mark.slow
def test_different_settings(processes, tmp_path):
    path = tmp_path / "run"
    # other devices would wait for each other, were they not refused first of all
    others = ("--seed", 3, "--devices", 1)
    both = processes.start_two(*RUNS["kip"], "--out", path, others=others)
    first, second = map(end, both)
    assert first[0] == second[0] == 1
    assert 'devices="all" there, 1 here; seed=0 there, 3 here. Start all of them' in second[2]
    assert "error: all processes of a run must have the settings" in first[2]
    assert not path.exists()


@pytest.mark.slow
def test_kernels_of_both_kinds_drawn_a_step(processes, tmp_path):
    """Between meshes of other devices a state could not go from one step to the next."""
    path = tmp_path / "run"
    options = ("kip", "--architecture", "fc1", "convnet1", "--kernel", "nngp", "--steps", 6)
    both = processes.start_two(
        *(*options, "--batch-size", 9, "--validation-size", 20, "--out", path), devices=2
    )
    assert_ends(both)


@pytest.mark.slow
def test_a_folder_that_is_taken(processes, tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "mine.txt").write_text("")
    first, second = map(end, processes.start_two(*RUNS["kip"], "--out", path))
    assert first[0] == second[0] == 1
    assert "error: " in first[2]
    assert "it holds other files" in first[2]
    assert "error: process 0: " in second[2]


@pytest.mark.slow
def test_nothing_to_be_found(processes, tmp_path):
    process = processes.start("kip", "--coordinator", "auto", "--out", tmp_path / "run", devices=1)
    status, _, err = end(process)
    assert status == 1
    assert "could not be joined with coordinator auto" in err
    assert "SLURM (srun), Cloud TPUs" in err
    assert not (tmp_path / "run").exists()
