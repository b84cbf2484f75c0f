"""A run's folder: who may open it, its log, its settings."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import yaml

from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill.artefact import Distilled, Run, holds_run, load, read_config, read_metrics

CONFIG = {
    "dataset": "mnist",
    "steps": 800,
    "ridge": 1e-6,
    "note": "1e-6",
    "augment": ("flip", "shift"),
    "kernel": {"name": "fc1", "depth": None, "b_std": 0.1},
}


def distilled(value=1.0):
    return Distilled(np.full((2, 3), value, np.float32), np.ones((2, 2), np.float32), {})


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_a_run_writes_what_its_folder_should_hold(tmp_path):
    with Run.create(tmp_path / "a" / "run", CONFIG) as run:
        run.log(step=1, loss=0.5)
        run.save_result({"test_accuracy": 0.9, "validation_accuracy": None})
        run.save_distilled(distilled())
        run.checkpoints.save(1, {"x": np.ones(2)}, {}, keep=True)
    path = tmp_path / "a" / "run"
    assert set(contents(path)) == {
        "config.yaml",
        "metrics.jsonl",
        "result.json",
        "distilled.npz",
        "checkpoints/step_00000001.safetensors",
    }
    assert json.loads((path / "result.json").read_text())["test_accuracy"] == 0.9
    assert load(path).images.shape == (2, 3)
    assert holds_run(path)
    assert not holds_run(tmp_path)


def test_the_settings_come_back_in_their_order(tmp_path):
    run = Run.create(tmp_path, {**CONFIG, "out": "x", "resume": False})
    saved = read_config(tmp_path / "config.yaml")
    assert saved == run.config == {**CONFIG, "augment": ["flip", "shift"]}
    assert list(saved) == list(CONFIG)
    # an ordinary YAML reader agrees
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == saved


def test_a_folder_that_holds_a_run_is_refused(tmp_path):
    Run.create(tmp_path, CONFIG).close()
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"already holds a run.*--resume.*--overwrite"):
        Run.create(tmp_path, CONFIG)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_left_alone(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "config.yaml").write_text("of: another program\n")
    with pytest.raises(InputError, match=r"holds other files \(such as config\.yaml\)"):
        Run.create(tmp_path, CONFIG, overwrite=overwrite)
    assert sorted(os.listdir(tmp_path)) == ["config.yaml", "thesis.tex"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file must be a folder; it is a file.*--out"):
        Run.create(tmp_path / "file", CONFIG)


def test_overwrite_removes_what_a_run_writes_and_nothing_else(tmp_path):
    with Run.create(tmp_path, CONFIG) as run:
        run.log(step=1, loss=0.5)
        run.save_result({})
        run.save_distilled(distilled())
        run.checkpoints.save(1, {}, {}, keep=True)
    stale = (
        "images.png",
        "report.html",
        "transfer.json",
        "checkpoints/step_00000000.safetensors.damaged",
    )
    for name in stale:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".result.json.0011aabb.writing").write_bytes(b"")
    own = {"notes.txt": b"mine", "checkpoints/best.txt": b"mine too"}
    for name, text in own.items():
        (tmp_path / name).write_bytes(text)
    with Run.create(tmp_path, {"steps": 5}, overwrite=True) as run:
        assert run.metrics() == []
        assert run.checkpoints.latest() is None
    left = contents(tmp_path)
    assert read_config(tmp_path / "config.yaml") == {"steps": 5}
    del left["config.yaml"]
    assert left == own


def test_what_a_kill_at_the_very_beginning_left_is_no_hindrance(tmp_path):
    (tmp_path / ".lock").write_text("123")
    (tmp_path / ".config.yaml.0011aabb.writing").write_text("ste")
    Run.create(tmp_path, CONFIG)
    assert sorted(os.listdir(tmp_path)) == [".lock", "config.yaml"]


def test_resume_takes_the_saved_settings(tmp_path):
    Run.create(tmp_path, CONFIG).close()
    before = contents(tmp_path)
    given = {**CONFIG, "out": "elsewhere", "resume": True, "overwrite": False, "config": "a.yaml"}
    given |= {"tensorboard": True, "wandb": True}
    with Run.create(tmp_path, given, resume=True) as run:
        assert run.config == {**CONFIG, "augment": ["flip", "shift"]}
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 900}, "steps: saved 800, got 900"),
        ({"kernel": {**CONFIG["kernel"], "depth": 2}}, r"kernel\.depth: saved None, got 2"),
        ({"new": 1}, "new: saved nothing, got 1"),
        ({"augment": ()}, r"augment: saved \['flip', 'shift'\], got \[\]"),
        ({"kernel": "fc1"}, "kernel: saved .*, got 'fc1'"),
        ({"ridge": 1e-5, "steps": 1}, "steps: saved 800, got 1; ridge: saved 1e-06, got 1e-05"),
        ({"steps": True}, "steps: saved 800, got True"),
    ],
)
def test_resume_with_other_settings_names_what_differs(tmp_path, changes, message):
    Run.create(tmp_path, CONFIG).close()
    with pytest.raises(InputError, match=message):
        Run.create(tmp_path, {**CONFIG, **changes}, resume=True)
    with Run.create(tmp_path, CONFIG, resume=True):  # the lock was let go of
        pass


def test_resume_needs_a_run_and_excludes_overwrite(tmp_path):
    with pytest.raises(InputError, match="no run to resume"):
        Run.create(tmp_path / "none", CONFIG, resume=True)
    assert not (tmp_path / "none").exists()
    with pytest.raises(InputError, match="exclude each other"):
        Run.create(tmp_path, CONFIG, resume=True, overwrite=True)


def test_the_log_has_a_line_a_step_and_no_bare_nan(tmp_path):
    run = Run.create(tmp_path, CONFIG)
    assert run.metrics() == []
    run.log(step=0, loss=np.float32(0.25), accuracy=float("nan"))
    run.log(step=10, loss=float("inf"), name="ä")
    assert (tmp_path / "metrics.jsonl").read_text(encoding="utf-8") == (
        '{"step": 0, "loss": 0.25, "accuracy": null}\n{"step": 10, "loss": null, "name": "ä"}\n'
    )
    assert run.metrics() == read_metrics(tmp_path)
    assert [line["step"] for line in run.metrics()] == [0, 10]


def test_rewinding_drops_later_lines_and_a_half_written_one(tmp_path):
    run = Run.create(tmp_path, CONFIG)
    run.rewind(5)  # nothing was logged yet
    for step in (0, 5, 5, 7, 9):
        run.log(step=step, loss=1.0)
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 3, "lo')
    assert [line["step"] for line in run.metrics()] == [0, 5, 5, 7, 9]
    run.rewind(5)
    run.log(step=6, loss=1.0)
    assert [line["step"] for line in run.metrics()] == [0, 5, 5, 6]
    run.rewind(-1)
    assert run.metrics() == []


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 0}\n\0\0\0\n{"step": 1}\n')
    with pytest.raises(DamagedFileError, match="line 2 of"):
        read_metrics(tmp_path)


HOLDER = """
import sys
from kernel_distill.artefact import Run
run = Run.create(sys.argv[1], {"steps": 1})
print("held", flush=True)
sys.stdin.read()
"""


def test_two_processes_cannot_write_one_run(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            for how in ({}, {"resume": True}, {"overwrite": True}):
                with pytest.raises(InputError, match=rf"another process \(number {holder.pid}\)"):
                    Run.create(tmp_path, {"steps": 1}, **how)
            load_is_free = read_config(tmp_path / "config.yaml")
            assert load_is_free == {"steps": 1}
        finally:
            holder.send_signal(signal.SIGKILL)
    # the end of the process, whatever it was, lets go
    Run.create(tmp_path, {"steps": 1}, resume=True).close()


def test_settings_in_yaml_are_read_as_people_write_them(tmp_path):
    file = tmp_path / "experiment.yaml"
    file.write_text("ridge: 1e-6\nrate: 4E-2\nbig: 5e3\nhalf: .5e1\nname: '1e-6'\ntext: e5\n")
    assert read_config(file) == {
        "ridge": 1e-6,
        "rate": 0.04,
        "big": 5000.0,
        "half": 5.0,
        "name": "1e-6",
        "text": "e5",
    }
    file.write_text("# nothing\n")
    assert read_config(file) == {}
    with pytest.raises(InputError, match="No such file"):
        read_config(tmp_path / "none.yaml")
    for text, message in (
        ("- a\n- b\n", "must hold settings"),
        ("3: 4\n", "must hold settings"),
        ("a: [1\n", "must be YAML"),
        ("a: !!python/object/apply:os.system [ls]\n", "must be YAML"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            read_config(file)
