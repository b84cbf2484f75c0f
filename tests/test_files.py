"""Writing where there is no room or no permission: said, and nothing lost."""

import os
import subprocess
import sys

import numpy as np
import pytest

from kernel_distill._errors import StorageError
from kernel_distill._files import (
    folder_atomically,
    remove_unfinished,
    storage_error,
    write_atomically,
)
from kernel_distill.artefact import Distilled, Run, package_versions

# The limit on the size of a file is a real one of the system: writes stop in their middle.
FULL = """
import os, resource, signal, sys
import numpy as np
from kernel_distill._errors import StorageError
from kernel_distill.artefact import Distilled, Run, load

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = sys.argv[1]
run = Run.create(folder, {"steps": 1})

def distilled(rows):
    return Distilled(np.full((rows, 100), rows, np.float32), np.ones((rows, 2), np.float32), {})

def refused(write, name):
    try:
        write()
    except StorageError as error:
        assert name in str(error) and "larger than is allowed" in str(error), error
        assert isinstance(error, OSError)
    else:
        raise AssertionError(name)

run.save_distilled(distilled(3))
run.checkpoints.save(1, {"x": np.ones(100)}, {}, keep=False)
run.checkpoints.save(2, {"x": np.full(100, 2.0)}, {}, keep=False)
run.save_result({"test_accuracy": 0.5})
run.log(step=1, loss=0.5)

resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
refused(lambda: run.save_distilled(distilled(1000)), "distilled.npz")
refused(lambda: run.checkpoints.save(3, {"x": np.ones(100_000)}, {}, keep=False), "step_00000003")
refused(lambda: run.save_result({"a": "x" * 100_000}), "result.json")
# part of the line still fits
size = os.path.getsize(folder + "/metrics.jsonl")
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, resource.RLIM_INFINITY))
refused(lambda: run.log(step=2, loss=0.25), "metrics.jsonl")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

assert (load(folder).images == 3).all()
assert run.checkpoints.steps() == [1, 2]
assert (run.checkpoints.latest().tensors["x"] == 2).all()
assert run.metrics() == [{"step": 1, "loss": 0.5}]
assert "0.5" in open(folder + "/result.json").read()
left = [name for _, _, names in os.walk(folder) for name in names if name.endswith(".writing")]
assert not left, left
run.log(step=2, loss=0.25)  # and goes on when there is room again
assert len(run.metrics()) == 2
"""


def test_a_full_disk_is_said_and_earlier_files_are_whole(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_device_without_room_is_named_as_such():
    # the kernel's own "no space left"
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError) as caught:  # noqa: PT011
        full.write(b"x")
    message = str(storage_error("/somewhere/file", caught.value))
    assert "the disk is full" in message
    assert "/somewhere/file" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="permission denied"):
        write_atomically(tmp_path / "closed" / "file", b"x")
    with pytest.raises(StorageError, match="permission denied"):
        Run.create(tmp_path / "closed" / "run", {})


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"could not write .*file/below/set\.npz"):
        Distilled(np.ones((1, 2), np.float32), np.ones((1, 2), np.float32)).save(
            tmp_path / "file" / "below" / "set.npz"
        )
    with pytest.raises(StorageError):
        Run.create(tmp_path / "file" / "run", {})


def test_others_may_read_what_is_written(tmp_path):
    write_atomically(tmp_path / "file", b"x")
    (tmp_path / "plain").write_bytes(b"x")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_interruption_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    write_atomically(tmp_path / "file", b"old")

    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_versions_are_those_installed():
    versions = package_versions()
    assert versions["numpy"] == np.__version__
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "scikit_learn" in versions


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "above" / "folder"
    for content in ("first", "second"):
        with folder_atomically(path) as folder:
            (folder / "inner").mkdir()
            (folder / "inner" / content).write_text(content)
            assert content == "first" or (path / "inner" / "first").exists()

    def fails(target, error):
        with folder_atomically(target) as folder:
            (folder / "half").write_text("half")
            raise error

    for target in (path, path.with_name("other")):
        with pytest.raises(ZeroDivisionError):
            fails(target, ZeroDivisionError())
        with pytest.raises(StorageError, match=r"could not write .*: the disk is full"):
            fails(target, OSError(28, "full"))
    assert [file.name for file in path.parent.iterdir()] == ["folder"]
    assert [file.name for file in path.rglob("*")] == ["inner", "second"]


def test_a_folder_by_another_name(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    for path in (".", tmp_path / "link", "../folder/"):
        monkeypatch.chdir(tmp_path / "folder")  # each time another one
        with folder_atomically(path) as folder:
            (folder / "new").write_text(str(path))
        assert (tmp_path / "folder" / "new").read_text() == str(path)
        assert sorted(file.name for file in tmp_path.iterdir()) == ["folder", "link"]
        assert (tmp_path / "link").is_symlink()


def test_the_folder_of_before_is_back_where_the_new_one_cannot_take_its_name(tmp_path, monkeypatch):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "of before").write_text("")
    rename = os.rename

    def fails(source, target):
        if target == path and not (source / "of before").exists():
            raise OSError(5, "broken")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fails)
    with pytest.raises(StorageError), folder_atomically(path):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
    assert [file.name for file in path.iterdir()] == ["of before"]


def test_what_killed_processes_left_is_removed(tmp_path):
    (tmp_path / ".export.00000000.writing").mkdir()
    (tmp_path / ".export.00000000.writing" / "half").write_text("")
    (tmp_path / ".file.00000000.writing").write_text("")
    remove_unfinished(tmp_path)
    assert not list(tmp_path.iterdir())
