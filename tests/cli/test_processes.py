"""Real processes: killed, stopped, and short of disk; what they leave is gone on with."""

import contextlib
import functools
import json
import os
import random
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import kernel_distill as kd
from kernel_distill.artefact import Checkpoints, read_metrics

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "kernel_distill.cli")
# each some seconds of steps, many checkpoints, and something random in every step of KIP's
RUNS = {
    "kip": (
        *("kip", "--images-per-class", "2", "--steps", "400", "--batch-size", "300"),
        *("--augment", "flip", "shift", "--corruption", "0.1", "--schedule", "cosine"),
        *("--label-solve-rate", "0.2", "--seed", "4"),
    ),
    "label-solve": ("label-solve", "--support-size", "40", "--block-size", "2", "--seed", "4"),
}


def start(*arguments, **options):
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(process, timeout=300):
    """Its exit status, output and errors; whatever happens, it does not outlive the test."""
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return process.returncode, out, err


def run(*arguments, **options):
    return finish(start(*arguments, **options))


def wait_for_step(process, path, step):
    """Until a checkpoint of `step` or a later one is there."""
    deadline = time.monotonic() + 240
    while not any(found >= step for found in Checkpoints(path / "checkpoints").steps()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run of a command that was never stopped, and how long it took."""

    @functools.cache
    def run_whole(command):
        path = tmp_path_factory.mktemp("whole") / "run"
        begin = time.monotonic()
        status, _, err = run(*RUNS[command], "--out", path)
        assert (status, err) == (0, "")
        return path, time.monotonic() - begin

    return run_whole


def assert_same_run(path, whole):
    one, other = kd.load(path), kd.load(whole)
    assert one.images.tobytes() == other.images.tobytes()
    assert one.labels.tobytes() == other.labels.tobytes()
    ignored = ("created", "packages")
    for name in one.metadata:
        assert name in ignored or one.metadata[name] == other.metadata[name], name
    assert read_metrics(path) == read_metrics(whole)
    results = [json.loads((each / "result.json").read_text()) for each in (path, whole)]
    for result in results:
        del result["wall_seconds"]
    assert results[0] == results[1]
    for name in ("images.png", "labels.png"):
        assert (path / name).read_bytes() == (whole / name).read_bytes()


def resume(command, path):
    status, _, err = run(command, "--out", path, "--resume")
    assert (status, err) == (0, "")


@pytest.mark.parametrize("command", RUNS)
def test_killed_at_random_moments(whole, tmp_path, command):
    reference, seconds = whole(command)
    moments, path = random.Random(), tmp_path / "run"
    killed = 0
    arguments = [*RUNS[command], "--out", path]
    for _ in range(2):
        process = start(*arguments)
        # from the first file on: what comes before, importing, is none of the run's business
        while process.poll() is None and not (path / "config.yaml").exists():
            time.sleep(0.01)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0, 0.6 * seconds))
        if process.poll() is None:
            killed += 1
        process.kill()
        finish(process)
        arguments = [command, "--out", path, "--resume"]
    assert killed > 0
    resume(command, path)
    assert_same_run(path, reference)
    assert not list(path.rglob("*.writing"))


def test_killed_while_saving(whole, tmp_path):
    """The moment is sought: a temporary file of a checkpoint is there."""
    reference, _ = whole("kip")
    path = tmp_path / "run"
    arguments = [*RUNS["kip"], "--out", path]
    caught = 0
    for _ in range(2):
        process = start(*arguments)
        checkpoints = path / "checkpoints"
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if checkpoints.is_dir() and any(
                name.endswith(".writing") for name in os.listdir(checkpoints)
            ):
                process.kill()
                break
        finish(process)
        caught += any(name.endswith(".writing") for name in os.listdir(checkpoints))
        arguments = ["kip", "--out", path, "--resume"]
    assert caught > 0
    resume("kip", path)
    assert_same_run(path, reference)


@pytest.mark.parametrize(
    ("command", "number"),
    [("kip", signal.SIGTERM), ("label-solve", signal.SIGINT)],
)
def test_stopped_by_a_signal(whole, tmp_path, shown, command, number):
    reference, _ = whole(command)
    path = tmp_path / "a folder" / "run"
    process = start(*RUNS[command], "--tensorboard", "--out", path)
    wait_for_step(process, path, 13)
    process.send_signal(number)
    status, _, err = finish(process)
    assert status == 128 + number
    assert "Traceback" not in err
    (line,) = re.findall(r"^stopped; go on with: kernel-distill (.*)$", err, re.MULTILINE)
    saved = Checkpoints(path / "checkpoints").latest()
    assert saved.step >= 13
    assert not (path / "distilled.npz").exists()
    # every logged step is in the saved state
    assert max((entry["step"] for entry in read_metrics(path)), default=0) <= saved.step
    status, _, err = run(*shlex.split(line))  # that very line
    assert (status, err) == (0, "")
    assert_same_run(path, reference)
    # watched, as it was before: the same steps as a run that was never stopped
    measured = [
        (line["step"], name, np.float32(value))
        for line in read_metrics(reference)
        for name, value in line.items()
        if name != "step"
    ]
    found = shown(path)
    assert found.lines() == sorted(measured)
    validated = [step for step, name, _ in measured if name == "validation_accuracy"]
    assert list(found.images) == (validated if command == "kip" else [0])


def test_two_signals(tmp_path):
    """The second does not wait for the end of a step; where it strikes, checkpoints are whole."""
    path = tmp_path / "run"
    process = start(*RUNS["kip"], "--steps", 10**6, "--out", path)
    wait_for_step(process, path, 13)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.001)
    status, _, err = finish(process)
    assert status == 130
    assert "go on with: kernel-distill kip" in err
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Checkpoints(path / "checkpoints").latest().step >= 13


def test_stopped_before_the_run_began(tmp_path):
    path = tmp_path / "run"
    process = start("kip", "--out", path)
    time.sleep(0.2)
    process.terminate()
    status, _, _ = finish(process)
    # before the program takes the signal in its own hands, or after
    assert status in (-signal.SIGTERM, 143)
    assert status != 143 or not (path / "distilled.npz").exists()


@pytest.mark.parametrize(("command", "damage"), [("kip", "altered"), ("label-solve", "all")])
def test_damaged_checkpoint(whole, tmp_path, command, damage):
    reference, _ = whole(command)
    path = tmp_path / "run"
    process = start(*RUNS[command], "--out", path)
    wait_for_step(process, path, 13)
    process.kill()
    finish(process)
    checkpoints = Checkpoints(path / "checkpoints")
    steps = checkpoints.steps()
    for step in steps if damage == "all" else steps[-1:]:
        file = checkpoints._path(step)
        data = bytearray(file.read_bytes())
        if damage == "altered":
            data[len(data) // 2] ^= 1
        else:
            data = data[:0]
        file.write_bytes(data)
    status, _, err = run(command, "--out", path, "--resume")
    assert status == 0
    assert f"warning: the checkpoint {checkpoints._path(steps[-1])} is truncated or was" in err
    if damage == "all":
        assert "used in its place: none" in err
    else:
        assert f"used in its place: that of step {steps[-2]}." in err
    assert "_distill.py" not in err  # a line for people
    assert_same_run(path, reference)


@pytest.mark.parametrize(
    ("command", "fails"),
    [
        ("label-solve", "config.yaml"),
        ("label-solve", "step_00000001.safetensors"),
        ("kip", "images.png"),
    ],
)
def test_disk_full(whole, tmp_path, command, fails):
    """A real limit on the size of files; Python ignores SIGXFSZ, and writing fails."""
    reference, _ = whole(command)
    path = tmp_path / "run"
    checkpoints = max(file.stat().st_size for file in (reference / "checkpoints").iterdir())
    limit = {"config.yaml": 10, "images.png": checkpoints + 1}.get(fails, 3000)

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    # JAX would leave halves of programs, and the other tests would read them
    environment = os.environ | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9"}
    process = start(*RUNS[command], "--out", path, preexec_fn=limited, env=environment)
    status, _, err = finish(process)
    assert status == 1
    assert "Traceback" not in err
    assert re.search(rf"error: could not write .*{fails}.*larger than is allowed", err)
    assert not list(path.rglob("*.writing"))
    if fails == "config.yaml":
        arguments = RUNS[command]  # nothing has begun
        assert not (path / "config.yaml").exists()
    else:
        arguments = (command, "--resume")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # none is damaged
            latest = Checkpoints(path / "checkpoints").latest()
        read_metrics(path)
        assert (latest is None) == (fails != "images.png")
    if fails == "images.png":
        assert kd.load(path).labels.tobytes() == kd.load(reference).labels.tobytes()
    status, _, err = run(*arguments, "--out", path)
    assert (status, err) == (0, "")
    assert_same_run(path, reference)


def test_two_processes_on_one_folder(tmp_path):
    path = tmp_path / "run"
    first = start(*RUNS["kip"], "--steps", 10**6, "--out", path)
    wait_for_step(first, path, 2)
    again = (*RUNS["kip"], "--steps", 10**6, "--out", path)
    for arguments in (("kip", "--out", path, "--resume"), (*again, "--overwrite")):
        status, _, err = run(*arguments)
        assert status == 1
        assert f"another process (number {first.pid}) is writing the run" in err
    first.kill()
    finish(first)


def test_output_that_nobody_reads(kip_run):
    path, _ = kip_run
    process = start("evaluate", path)
    process.stdout.close()
    err = process.stderr.read()
    process.wait(60)
    assert "Traceback" not in err
    process.stderr.close()


def test_progress_in_a_terminal(tmp_path):
    """A bar with loss, accuracy and time left, on a real terminal."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "kip", "--steps", "30", "--out", str(tmp_path / "run")],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # at its end, on Linux
        while chunk := os.read(ours, 1000):
            shown += chunk
    os.close(ours)
    assert process.wait(60) == 0
    text = shown.decode()
    assert "30/30" in text
    assert re.search(r"loss 0\.\d{5}", text)
    assert re.search(r"validation \d+\.\d%", text)
    assert re.search(r"\d:\d\d:\d\d", text)
    assert "30 distilled" not in text
    assert "10 distilled images" in text


def test_numbers_are_the_same_with_64_bits_on(tmp_path):
    """From Python as from the command line, which switches them on for good."""
    path = tmp_path / "run"
    assert run("kip", "--steps", "5", "--out", path)[0] == 0
    code = (
        "import jax, kernel_distill as kd\n"
        "kernel = kd.kernels.FullyConnected(depth=1).kernel('ntk')\n"
        "result = kd.kip.distill(kernel, kd.data.load('digits'), steps=5, key=jax.random.key(0))\n"
        f"result.distilled.save({str(tmp_path / 'python.npz')!r})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    one, other = kd.load(path), kd.load(tmp_path / "python.npz")
    assert np.array_equal(one.images, other.images)
    assert Path(path / "result.json").exists()


def test_a_device_for_every_core_and_programs_kept(tmp_path):
    set_by_others = (
        *("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE", "JAX_NUM_CPU_DEVICES"),
        "XLA_FLAGS",
    )
    environment = {name: text for name, text in os.environ.items() if name not in set_by_others}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    # JAX keeps what took a second to compile; here all, since the second may fall either way
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    status, out, _ = run("env", env=environment)
    assert status == 0
    for core in range(len(os.sched_getaffinity(0))):
        assert f"cpu:{core}" in out
    folder = tmp_path / "cache" / "kernel-distill" / "programs"
    programs = []
    for name in ("first", "again"):
        # a convolutional kernel is shared out over the devices
        network = ("--architecture", "convnet1", "--kernel", "nngp")
        status, _, err = run(
            *("kip", *network, "--steps", 2, "--out", tmp_path / name), env=environment
        )
        assert status == 0, err
        programs.append({path.name for path in folder.iterdir() if path.name.endswith("-cache")})
    assert programs[0]
    assert programs[0] == programs[1]  # all was there
    same = [np.load(tmp_path / name / "distilled.npz")["images"] for name in ("first", "again")]
    np.testing.assert_array_equal(*same)
