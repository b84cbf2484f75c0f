"""Checkpoints: what comes back, which are kept, and what damage and kills leave."""

import os
import subprocess
import sys
import warnings

import ml_dtypes
import numpy as np
import pytest

from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill.artefact import Checkpoints, DamagedCheckpointWarning


def tensors(step=0):
    rng = np.random.default_rng(step)
    return {
        "images": rng.standard_normal((3, 4, 4, 1)).astype(np.float32),
        "[0].count": np.int32(step).reshape(()),
        "['ä']!threefry2x32": rng.integers(0, 2**32, 2, np.uint32),
        "empty": np.zeros((0, 3)),
        "turned": rng.standard_normal((3, 5)).T,
        "mask": rng.random(7) < 0.5,
    }


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.latest() is None
    assert checkpoints.steps() == []
    metadata = {"best": 0.1 + 0.2, "worst": float("inf"), "names": ["a"], "none": None}
    checkpoints.save(800, tensors(), {**metadata, "loss": np.float32(0.5)}, keep=True)
    assert (tmp_path / "checkpoints" / "step_00000800.safetensors").exists()
    checkpoint = Checkpoints(tmp_path / "checkpoints").latest()
    assert checkpoint.step == 800
    assert_same(checkpoint.tensors, tensors())
    assert checkpoint.metadata == {**metadata, "loss": 0.5}
    checkpoint.tensors["images"] += 1  # a solve that goes on adds to what it restored


def test_another_framework_reads_it(tmp_path):
    from safetensors import safe_open

    Checkpoints(tmp_path).save(0, tensors(), {}, keep=True)
    with safe_open(tmp_path / "step_00000000.safetensors", "np") as file:
        np.testing.assert_array_equal(file.get_tensor("images"), tensors()["images"])


def test_big_endian_arrays_are_stored_too(tmp_path):
    Checkpoints(tmp_path).save(0, {"x": np.arange(3, dtype=">f8")}, {}, keep=True)
    np.testing.assert_array_equal(Checkpoints(tmp_path).latest().tensors["x"], np.arange(3.0))


def test_passing_checkpoints_go_but_for_the_last_two(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    left = []
    for step, keep in [(0, True), (3, False), (5, False), (7, False), (10, True), (12, False)]:
        checkpoints.save(step, {}, {}, keep=keep)
        left.append(checkpoints.steps())
    assert left == [[0], [0, 3], [0, 3, 5], [0, 5, 7], [0, 7, 10], [0, 10, 12]]


def test_a_step_once_kept_stays_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(10, {}, {}, keep=True)
    checkpoints.save(10, {}, {}, keep=False)  # Ctrl-C right after
    checkpoints.save(11, {}, {}, keep=False)
    checkpoints.save(12, {}, {}, keep=False)
    checkpoints.save(13, {}, {}, keep=False)
    assert checkpoints.steps() == [10, 12, 13]


def test_steps_beyond_eight_digits_are_in_order(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (99_999_999, 100_000_000):
        checkpoints.save(step, {}, {}, keep=True)
    assert checkpoints.latest().step == 100_000_000


@pytest.mark.parametrize(
    ("step", "given", "metadata", "message"),
    [
        (-1, {}, {}, "step must be 0 or more"),
        (0, {"x": np.zeros(2, ml_dtypes.bfloat16)}, {}, "bfloat16 for 'x'"),
        (0, {"x": np.array(["a"])}, {}, "for 'x'"),
        (0, {}, {"f": object()}, "JSON"),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path, step, given, metadata, message):
    with pytest.raises(InputError, match=message):
        Checkpoints(tmp_path).save(step, given, metadata, keep=True)
    assert os.listdir(tmp_path) == []


def test_a_change_of_any_byte_is_found_or_changes_nothing(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(4, tensors(), {"a": 1}, keep=True)
    path = tmp_path / "step_00000004.safetensors"
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    found = 0
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= int(rng.integers(1, 256))
        path.write_bytes(altered)
        try:
            checkpoint = checkpoints.read(4)
        except DamagedFileError:
            found += 1
        else:  # such as the name of the format
            assert_same(checkpoint.tensors, tensors())
            assert checkpoint.metadata == {"a": 1}
    assert found > 0.9 * len(whole)


@pytest.mark.parametrize("length", [0, 5, 8, 100, -1])
def test_a_truncated_checkpoint_is_set_aside_for_the_one_before(tmp_path, length):
    checkpoints = Checkpoints(tmp_path)
    for step in (10, 20, 30):
        checkpoints.save(step, tensors(step), {}, keep=step < 30)
    path = tmp_path / "step_00000030.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.warns(DamagedCheckpointWarning, match=r"step_00000030.*in its place: .*step 20"):
        checkpoint = checkpoints.latest()
    assert checkpoint.step == 20
    assert_same(checkpoint.tensors, tensors(20))
    assert checkpoints.steps() == [10, 20]
    assert (tmp_path / "step_00000030.safetensors.damaged").exists()
    with warnings.catch_warnings():  # it is said once
        warnings.simplefilter("error")
        assert checkpoints.latest().step == 20


def test_the_checkpoint_before_is_there_even_where_none_is_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in range(1, 6):
        checkpoints.save(step, tensors(step), {}, keep=False)
    (tmp_path / "step_00000005.safetensors").write_bytes(b"")
    with pytest.warns(DamagedCheckpointWarning):
        assert checkpoints.latest().step == 4


def test_all_damaged_is_said_and_none(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, {}, {}, keep=True)
        (tmp_path / f"step_0000000{step}.safetensors").write_bytes(b"x" * 50)
    with pytest.warns(DamagedCheckpointWarning) as caught:
        assert checkpoints.latest() is None
    assert "step 1" in str(caught[0].message)
    assert "there is no earlier" in str(caught[1].message)


def test_a_renamed_checkpoint_is_not_taken_for_another_step(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {}, {}, keep=True)
    (tmp_path / "step_00000001.safetensors").rename(tmp_path / "step_00000009.safetensors")
    with pytest.raises(DamagedFileError):
        checkpoints.read(9)


def test_a_checkpoint_of_a_later_version_is_no_damage(tmp_path, monkeypatch):
    monkeypatch.setattr("kernel_distill.artefact._checkpoints.FORMAT_VERSION", 2)
    Checkpoints(tmp_path).save(1, {}, {}, keep=True)
    monkeypatch.undo()
    with pytest.raises(InputError, match="Upgrade"):
        Checkpoints(tmp_path).latest()
    assert Checkpoints(tmp_path).steps() == [1]


def test_what_a_kill_left_half_written_is_cleared_by_who_writes_next(tmp_path):
    stale = tmp_path / ".step_00000001.safetensors.0011aabb.writing"
    stale.write_bytes(b"half")
    (tmp_path / ".user").write_bytes(b"")
    assert Checkpoints(tmp_path).latest() is None
    assert stale.exists()  # one who only reads takes nothing from one who writes
    Checkpoints(tmp_path).save(2, {}, {}, keep=True)
    assert not stale.exists()
    assert (tmp_path / ".user").exists()


# One process imports the library and forks: children save in a loop until they are killed.
KILLS = """
import os, random, signal, sys, time
import numpy as np
from kernel_distill.artefact import Checkpoints

folder, kills = sys.argv[1], 25
random.seed(0)
unfinished, before = 0, -1
for _ in range(kills):
    child = os.fork()
    if child == 0:
        checkpoints = Checkpoints(folder)
        step = before
        while True:
            step += 1
            state = {"w": np.full(300_000, step, np.float32), "v": np.full(1000, -step)}
            checkpoints.save(step, state, {"copy": step}, keep=step % 40 == 0)
    while not (Checkpoints(folder).steps() or [-1])[-1] > before:
        time.sleep(0.001)
    time.sleep(random.random() * 0.05)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    unfinished += sum(name.endswith(".writing") for name in os.listdir(folder))
    last = Checkpoints(folder).steps()[-1]
    checkpoint = Checkpoints(folder).latest()
    assert checkpoint.step == last > before, (checkpoint.step, last, before)
    assert (checkpoint.tensors["w"] == last).all() and (checkpoint.tensors["v"] == -last).all()
    assert checkpoint.metadata == {"copy": last}
    before = last
assert not any(name.endswith(".damaged") for name in os.listdir(folder))
print(unfinished)
"""


def test_sigkill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", KILLS, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3  # some of the kills struck within a save
