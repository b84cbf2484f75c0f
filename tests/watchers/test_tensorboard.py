"""Event files, read back by TensorBoard's own reader."""

import json
import resource
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import yaml

from kernel_distill.artefact import Run
from kernel_distill.watchers import TensorBoard

CONFIG = {"command": "kip", "steps": 9, "architecture": ["fc1"], "note": "a | b * c"}
RESULT = {
    "test_accuracy": 0.75,
    "initial_test_accuracy": 0.5,
    "validation_accuracy": None,
    "steps": 9,
    "device": "cpu",
}


def create(path, **how):
    return Run.create(path, CONFIG, watchers=[TensorBoard()], **how)


def logged(run):
    return sorted(
        (line["step"], name, value)
        for line in run.metrics()
        for name, value in line.items()
        if name != "step" and isinstance(value, float)
    )


def assert_whole(run, shown, last):
    """All that was logged is there once, at its step, and every third support."""
    found = shown(run.path)
    assert found.lines() == logged(run)
    assert set(found.scalars["loss"]) == set(range(last + 1))
    assert list(found.images) == list(range(0, last + 1, 3))
    for step, image in found.images.items():
        np.testing.assert_array_equal(image, np.full((6, 5, 3), 10 * step))
    return found


def test_all_of_a_run(tmp_path, shown, method):
    with create(tmp_path) as run:
        method.begin(run)
        method.go(run, range(5))
        assert_whole(run, shown, 4)  # before its end
        method.go(run, range(5, 10))
        run.save_result(RESULT)
    found = assert_whole(run, shown, 9)
    assert yaml.safe_load(found.texts["config"]) == CONFIG
    assert yaml.safe_load(found.texts["result"]) == RESULT
    assert found.scalars["result/test_accuracy"] == {9: 0.75}
    assert found.scalars["result/initial_test_accuracy"] == {9: 0.5}
    assert "result/validation_accuracy" not in found.scalars


def test_a_table_of_runs(tmp_path, method, monkeypatch):
    """As TensorBoard's plugin of hyperparameters makes it."""
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", ModuleType("notf"))
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, list_session_groups
    from tensorboard.plugins.hparams.backend_context import Context

    for name, settings in (("a", {"rate": 0.1, "flag": True}), ("b", {"rate": 0.2, "none": None})):
        with Run.create(tmp_path / name, CONFIG | settings, watchers=[TensorBoard()]) as run:
            method.begin(run)
            method.go(run, range(3))
            if name == "a":
                run.save_result(RESULT)
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
    multiplexer.Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(tmp_path))))
    asked = RequestContext()
    found = context.hparams_metadata(asked, "")
    experiment = context.experiment_from_metadata(
        asked, "", include_metrics=True, hparams_run_to_tag_to_content=found,
        data_provider_hparams=[],
    )  # fmt: skip
    columns = {info.name for info in experiment.hparam_infos}
    assert columns == {"command", "steps", "architecture", "note", "rate", "flag"}
    assert "result/test_accuracy" in {info.name.tag for info in experiment.metric_infos}
    request = api_pb2.ListSessionGroupsRequest(
        slice_size=9,
        # as its page asks for: of a run that goes on there is no end yet
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_UNKNOWN],
        col_params=[{"metric": info.name} for info in experiment.metric_infos],
    )
    rows = list_session_groups.Handler(asked, context, "", request).run().session_groups
    one, two = sorted(rows, key=lambda row: row.name)
    assert (one.name, two.name) == ("a/tensorboard", "b/tensorboard")
    assert one.hparams["rate"].number_value == 0.1
    assert one.hparams["flag"].bool_value
    assert one.hparams["architecture"].string_value == "fc1"
    assert two.hparams["rate"].number_value == 0.2
    measured = {each.name.tag: each.value for each in one.metric_values}
    assert measured["result/test_accuracy"] == 0.75
    assert "result/test_accuracy" not in {each.name.tag for each in two.metric_values}


def test_nothing_comes_twice_where_a_run_goes_on(tmp_path, shown, method):
    with create(tmp_path) as run:
        method.begin(run)
        method.go(run, range(9))
    config = shown(tmp_path).texts["config"]
    # the last checkpoint was of step 6, and the metrics after it are measured again
    with create(tmp_path, resume=True, defaults={"process_id": None}) as run:
        method.begin(run, 6)
        assert_whole(run, shown, 6)
        method.go(run, range(7, 10))
        run.save_result(RESULT)
    with create(tmp_path, resume=True, defaults={"process_id": None}) as run:
        method.begin(run, 9)
        run.save_result(RESULT)
    found = assert_whole(run, shown, 9)
    assert found.scalars["result/test_accuracy"] == {9: 0.75}
    assert found.texts["config"] == config


def test_switched_on_and_off_as_a_run_goes_on(tmp_path, shown, method):
    with Run.create(tmp_path, CONFIG) as run:
        method.begin(run)
        method.go(run, range(5))
    assert not (tmp_path / "tensorboard").exists()
    with create(tmp_path, resume=True) as run:
        method.begin(run, 4)
        method.go(run, range(5, 7))
        assert_whole(run, shown, 6)
    with Run.create(tmp_path, CONFIG, resume=True) as run:
        method.begin(run, 6)
        method.go(run, range(7, 9))
    assert set(shown(tmp_path).scalars["loss"]) == set(range(7))
    with create(tmp_path, resume=True) as run:
        method.begin(run, 8)
        assert_whole(run, shown, 8)


@pytest.mark.parametrize("watchers", [(), (TensorBoard(),)])
def test_overwrite_removes_what_was_there(tmp_path, shown, method, watchers):
    with create(tmp_path) as run:
        method.begin(run)
        method.go(run, range(9))
    own = tmp_path / "tensorboard" / "events.out.tfevents.1.of-another-program"
    own.write_bytes(b"mine")
    with Run.create(tmp_path, CONFIG, overwrite=True, watchers=watchers) as run:
        assert list(own.parent.iterdir()) == [own]
        method.begin(run)
        method.go(run, range(4))
    assert own.read_bytes() == b"mine"
    own.unlink()
    if watchers:
        assert_whole(run, shown, 3)
    with Run.create(tmp_path, CONFIG, overwrite=True):
        assert not own.parent.exists()


def test_full_disk(tmp_path, shown, method):
    """A real limit on the size of files, which the log does not reach."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with create(tmp_path) as run:
        method.begin(run)
        method.go(run, range(5))
        size = sum(file.stat().st_size for file in (tmp_path / "tensorboard").iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 30, before[1]))
        try:
            with pytest.warns(
                UserWarning,
                match=r"^TensorBoard watches the run no longer \(StorageError: could not write "
                r".*/tensorboard/events.*larger than is allowed.*The run goes on; when",
            ) as warned:
                method.go(run, range(5, 9))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert len(warned) == 1
        assert [step for step, name, _ in logged(run) if name == "loss"] == list(range(9))
        assert set(shown(tmp_path).scalars["loss"]) == set(range(5))  # no half of a record
    with create(tmp_path, resume=True) as run:
        method.begin(run, 8)
        assert_whole(run, shown, 8)


def test_failures_cost_the_run_nothing(tmp_path, shown, method):
    (tmp_path / "run").mkdir()
    with create(tmp_path / "run") as run:
        (tmp_path / "run" / "tensorboard").write_text("a file, where a folder should be")
        with pytest.warns(UserWarning, match="TensorBoard watches the run no longer"):
            method.begin(run)
        method.go(run, range(3))
        run.save_result(RESULT)
    assert len(run.metrics()) == 4
    with create(tmp_path / "other") as run:
        run.rewind(-1)

        def fails(stage):
            raise ValueError("no picture")

        run.watch(fails)
        with pytest.warns(UserWarning, match=r"no longer \(ValueError: no picture\)"):
            method.go(run, range(3))
    assert shown(run.path).scalars["loss"] == {0: 1.0}


def test_another_who_watches_is_not_disturbed(tmp_path, shown, method):
    class Failing(TensorBoard):
        name = "another"

        def begin(self, folder, config, settled):
            raise OSError("no network")

    with Run.create(tmp_path, CONFIG, watchers=[Failing(), TensorBoard()]) as run:
        with pytest.warns(UserWarning, match=r"another watches .*\(OSError: no network\)"):
            method.begin(run)
        method.go(run, range(4))
    assert_whole(run, shown, 3)


@pytest.mark.slow
def test_a_run_that_nobody_watches_imports_nothing_for_it(tmp_path):
    program = (
        "import json, sys\n"
        "from kernel_distill.cli import main\n"
        f"status = main(['kip', '--steps', '1', '--out', {str(tmp_path / 'run')!r}])\n"
        "print(json.dumps([status, sorted(sys.modules)]))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    status, loaded = json.loads(ended.stdout.splitlines()[-1])
    assert status == 0
    assert (tmp_path / "run" / "images.png").exists()
    assert not {"tensorboardX", "tensorboard", "tensorflow", "wandb"} & set(loaded)
