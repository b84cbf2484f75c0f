"""Runs on Weights & Biases: against a module in its place, and offline where wandb is installed."""

import importlib.machinery
import json
import struct
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from kernel_distill._errors import MissingExtraError
from kernel_distill.artefact import Run
from kernel_distill.watchers import WeightsAndBiases

CONFIG = {"command": "kip", "steps": 9}
RESULT = {"test_accuracy": 0.75, "steps": 9}


class Server:
    """What wandb keeps of runs, as far as it is asked: a run of a known id goes on."""

    def __init__(self):
        self.runs, self.begun = {}, []

    def init(self, *, id, **options):
        self.begun.append({"id": id, **options})
        lines = self.runs.setdefault(id, {})

        def log(content, step):
            assert step >= max(lines, default=0)  # it drops what comes late, and complains
            lines.setdefault(step, {}).update(content)

        return SimpleNamespace(
            step=max(lines, default=-1) + 1,
            log=log,
            summary={},
            finish=lambda exit_code: self.begun[-1].update(exit_code=exit_code),
        )


@pytest.fixture
def server(monkeypatch):
    server, wandb = Server(), ModuleType("wandb")
    wandb.__spec__ = importlib.machinery.ModuleSpec("wandb", None, origin=__file__)
    wandb.init, wandb.Image = server.init, np.copy
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    return server


@pytest.fixture
def without_wandb(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)


def create(path, **how):
    return Run.create(path, CONFIG, watchers=[WeightsAndBiases()], **how)


def test_a_run_that_goes_on_is_one_run(tmp_path, server, method):
    path = tmp_path / "mnist"
    with create(path) as run:
        method.begin(run)
        method.go(run, range(9))
    with create(path, resume=True) as run:
        method.begin(run, 6)  # what it has of steps 7 and 8 comes again
        method.go(run, range(7, 10))
        run.save_result(RESULT)
    first, second = server.begun
    assert (first["exit_code"], second["exit_code"]) == (1, 0)
    assert first["name"] == "mnist"
    assert first["config"] == CONFIG
    assert first["resume"] == "allow"
    (lines,) = server.runs.values()
    assert list(lines) == list(range(10))
    for step, line in lines.items():
        expected = {"loss", "validation_accuracy", "support"} if step % 3 == 0 else {"loss"}
        assert set(line) == expected
        assert line["loss"] == 2.0**-step
    np.testing.assert_array_equal(lines[6]["support"], np.full((6, 5, 3), 60))
    with create(path, overwrite=True) as run:
        method.begin(run)
    assert len(server.runs) == 2


def test_switched_on_as_a_run_goes_on(tmp_path, server, method):
    with Run.create(tmp_path, CONFIG) as run:
        method.begin(run)
        method.go(run, range(5))
    with create(tmp_path, resume=True) as run:
        method.begin(run, 4)
        method.go(run, range(5, 7))
    (lines,) = server.runs.values()
    assert list(lines) == list(range(7))
    assert [step for step, line in lines.items() if "support" in line] == [0, 3, 6]


def test_no_network(tmp_path, server, monkeypatch, method):
    def init(**options):
        raise TimeoutError("no answer from api.wandb.ai")

    monkeypatch.setattr(sys.modules["wandb"], "init", init)
    with create(tmp_path) as run:
        with pytest.warns(UserWarning, match=r"wandb watches the run no longer \(TimeoutError: no"):
            method.begin(run)
        method.go(run, range(3))
    assert run.metrics()[-1]["step"] == 2


@pytest.mark.usefixtures("without_wandb")
def test_not_installed():
    with pytest.raises(MissingExtraError, match=r"pip install 'kernel-distill\[wandb\]'"):
        WeightsAndBiases()


def test_the_folder_of_its_name_is_not_it(tmp_path, monkeypatch):
    (tmp_path / "wandb" / "offline-run-1").mkdir(parents=True)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(MissingExtraError, match=r"pip install 'kernel-distill\[wandb\]'"):
        WeightsAndBiases()


def records(path):
    """The protocol buffers in a file of wandb's: LevelDB's log, of blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data = path.read_bytes()
    assert data[:4] == b":W&B"
    place, parts = 7, []
    while place < len(data):
        if (left := 2**15 - place % 2**15) < 7:  # no room for a header
            place += left
            continue
        _, size, kind = struct.unpack("<IHB", data[place : place + 7])
        parts.append(data[place + 7 : place + 7 + size])
        place += 7 + size
        if kind in (1, 4):  # whole, or its last part
            yield Record.FromString(b"".join(parts))
            parts = []


@pytest.mark.slow
def test_offline(tmp_path, monkeypatch, method):
    wandb = pytest.importorskip("wandb", reason="needs wandb: pip install 'kernel-distill[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_PROJECT", "of-the-environment")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with create(tmp_path / "mnist") as run:
        method.begin(run)
        method.go(run, range(4))
        run.save_result(RESULT)
    wandb.teardown()  # the process that writes for it has ended, and all is written
    (identity,) = json.loads((tmp_path / "mnist" / "settled.json").read_text()).values()
    (file,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert identity in file.name
    lines, config, summary, project = {}, {}, {}, None
    for record in records(file):
        for item in record.history.item:
            name = item.key or "/".join(item.nested_key)
            lines.setdefault(record.history.step.num, {})[name] = json.loads(item.value_json)
        for item in record.run.config.update:
            config[item.key] = json.loads(item.value_json)
        for item in record.summary.update:
            summary[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        project = record.run.project or project
    assert project == "of-the-environment"
    assert CONFIG.items() <= config.items()
    assert [lines[step]["loss"] for step in range(4)] == [1, 0.5, 0.25, 0.125]
    assert [step for step in lines if "validation_accuracy" in lines[step]] == [0, 3]
    assert [step for step in lines if any("support" in name for name in lines[step])] == [0, 3]
    assert summary["result/test_accuracy"] == 0.75
    assert len(list(file.parent.glob("files/media/images/support_*.png"))) == 2
