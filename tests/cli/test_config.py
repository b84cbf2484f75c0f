"""--config, --resume and --overwrite."""

import json

import numpy as np
import pytest
import yaml

import kernel_distill as kd

QUICK = ("--steps", 2)

pytestmark = pytest.mark.usefixtures("without_pictures")


def result_of(path):
    found = json.loads((path / "result.json").read_text())
    return {name: value for name, value in found.items() if name != "wall_seconds"}


def assert_same_run(one, other):
    first, second = kd.load(one), kd.load(other)
    assert first.images.tobytes() == second.images.tobytes()
    assert first.labels.tobytes() == second.labels.tobytes()
    assert result_of(one) == result_of(other)
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    assert (one / "config.yaml").read_bytes() == (other / "config.yaml").read_bytes()


def test_config_of_a_run_runs_it_again(cli, kip_run, label_solve_run, tmp_path):
    for command, (path, _) in (("kip", kip_run), ("label-solve", label_solve_run)):
        again = tmp_path / command
        outcome = cli(command, "--config", path / "config.yaml", "--out", again)
        assert (outcome.status, outcome.err) == (0, "")
        assert_same_run(path, again)


@pytest.mark.slow
def test_config_with_every_kind_of_value(cli, own, tmp_path):
    """Lists, empty and not, numbers in scientific notation, names with a blank, booleans, null."""
    options = (
        *("kip", "--dataset", own, "--validation-size", 0, "--test-size", 12, "--split-seed", 5),
        *("--architecture", "fc1", "fc2", "--augment", "flip", "shift", "--augment-fraction", 0.5),
        *("--ridge", "1e-5", "--learning-rate", "3e-2", "--no-learn-labels", "--corruption", 0.2),
        *("--schedule", "cosine", "--optimizer", "sgd", "--support-size", 4, "--seed", 9, *QUICK),
    )
    assert cli(*options, "--out", tmp_path / "one").status == 0
    outcome = cli("kip", "--config", tmp_path / "one" / "config.yaml", "--out", tmp_path / "other")
    assert (outcome.status, outcome.err) == (0, "")
    assert_same_run(tmp_path / "one", tmp_path / "other")


@pytest.mark.slow
def test_config_of_a_users_own(cli, own, tmp_path):
    config = tmp_path / "few keys.yaml"
    config.write_text(
        f"dataset: {own}\narchitecture: fc2\nsteps: 3\nlearning_rate: 1e-2\nout: {tmp_path}/run\n"
    )
    outcome = cli("kip", "--config", config, "--steps", 2)  # the command line goes first
    assert (outcome.status, outcome.err) == (0, "")
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (written["steps"], written["architecture"]) == (2, ["fc2"])
    assert (written["ridge"], written["validation_size"]) == (1e-6, None)
    assert "out" not in written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stps: 3\n", "unknown setting in {path} 'stps': did you mean 'steps'"),
        ("block_size: 3\n", "unknown setting in {path} 'block_size': did you mean 'batch_size'"),
        ("command: label-solve\n", "{path} holds the settings of label-solve, not of kip: run "),
        ("steps: many\n", "--steps"),
        ("steps: -1\n", "steps must not be negative; got -1"),
        ("optimizer: admm\n", "unknown optimizer 'admm': did you mean 'adam'"),
        ("- steps\n- 3\n", "{path} must hold settings, a line `name: value` each; got a list"),
        ("steps: [\n", "{path} must be YAML"),
        (None, "cannot read the settings in {path}: No such file"),
    ],
)
def test_bad_config(cli, tmp_path, text, message):
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)
    outcome = cli("kip", "--config", path, "--out", tmp_path / "run")
    assert outcome.status == 1
    assert message.format(path=path) in outcome.err
    assert outcome.out == ""
    assert not (tmp_path / "run").exists()


def test_folder_that_holds_a_run(cli, own, tmp_path):
    path = tmp_path / "run"
    options = ("kip", "--dataset", own, "--out", path, *QUICK)
    assert cli(*options, "--seed", 1).status == 0
    (path / "notes.txt").write_text("the user's own")
    before = {each: each.read_bytes() for each in path.iterdir() if each.is_file()}
    refused = cli(*options, "--seed", 2)
    assert refused.status == 1
    assert f"{path} already holds a run" in refused.err
    assert "--resume" in refused.err
    assert "--overwrite" in refused.err
    both = cli(*options, "--resume", "--overwrite")
    assert both.status == 1
    assert "exclude each other" in both.err
    # overwriting comes to nothing before anything is lost, too
    for bad in (
        ("--dataset", "mnst"),
        ("--images-per-class", 99),
        ("--support-size", 999),
        ("--architecture", "convnet"),
        ("--steps", -1),
    ):
        outcome = cli(*options, *bad, "--overwrite")
        assert outcome.status == 1, bad
    assert before == {each: each.read_bytes() for each in path.iterdir() if each.is_file()}
    assert cli(*options, "--seed", 2, "--overwrite").status == 0
    assert kd.load(path).metadata["seed"] == [0, 2]
    assert (path / "notes.txt").exists()


def test_folder_that_holds_something_else(cli, own, tmp_path):
    outcome = cli("kip", "--dataset", own, "--out", tmp_path, *QUICK)
    assert outcome.status == 1
    assert f"{tmp_path} must be new, empty or the folder of a run" in outcome.err
    assert [each.name for each in tmp_path.iterdir()] == [own.name]


def test_resume_of_a_finished_run_changes_nothing(cli, own, tmp_path):
    path = tmp_path / "run"
    assert cli("kip", "--dataset", own, "--out", path, *QUICK).status == 0
    before, metrics = kd.load(path), (path / "metrics.jsonl").read_bytes()
    outcome = cli("kip", "--out", path, "--resume")
    assert (outcome.status, outcome.err) == (0, "")
    assert f"The run in {path} has a result already" in outcome.out
    assert np.array_equal(kd.load(path).images, before.images)
    assert (path / "metrics.jsonl").read_bytes() == metrics


@pytest.mark.parametrize(
    ("options", "differing"),
    [
        (("--steps", 9), ["steps: saved 2, got 9"]),
        (("--seed", 1, "--ridge", 1e-3), ["seed: saved 0, got 1", "ridge: saved 1e-06, got 0.001"]),
        (("--architecture", "fc3"), ["architecture: saved ['fc1'], got ['fc3']"]),
    ],
)
def test_resume_with_other_settings(cli, own, tmp_path, options, differing):
    path = tmp_path / "run"
    assert cli("kip", "--dataset", own, "--out", path, *QUICK).status == 0
    outcome = cli("kip", "--out", path, "--resume", *options)
    assert outcome.status == 1
    for line in differing:
        assert line in outcome.err
    assert f"--config {path / 'config.yaml'}" in outcome.err


def test_resume_of_a_run_older_than_a_setting(cli, own, tmp_path):
    path = tmp_path / "run"
    assert cli("kip", "--dataset", own, "--out", path, *QUICK).status == 0
    config = path / "config.yaml"
    config.write_text(config.read_text().replace("label_solve_rate: 0.0\n", ""))
    assert "label_solve_rate" not in config.read_text()
    assert cli("kip", "--out", path, "--resume").status == 0
    outcome = cli("kip", "--out", path, "--resume", "--label-solve-rate", 0.1)
    assert outcome.status == 1
    assert "label_solve_rate: saved 0.0, got 0.1" in outcome.err


def test_resume_with_another_command(cli, own, tmp_path):
    path = tmp_path / "run"
    assert cli("kip", "--dataset", own, "--out", path, *QUICK).status == 0
    outcome = cli("label-solve", "--out", path, "--resume")
    assert outcome.status == 1
    assert "holds the settings of kip, not of label-solve" in outcome.err


def test_nothing_to_resume(cli, tmp_path):
    outcome = cli("kip", "--out", tmp_path / "run", "--resume")
    assert outcome.status == 1
    assert "there is no run to resume" in outcome.err
    assert not (tmp_path / "run").exists()


def test_what_stands_in_place_of_what_a_file_says(tmp_path):
    from kernel_distill.cli._kip import Kip
    from kernel_distill.cli._options import arguments_of_config

    path = tmp_path / "config.yaml"
    path.write_text("tile: 9x9\ndevices: 4\n")
    for given, left in (
        (("--memory", "1GiB"), ["--devices", "4"]),
        (("--ray=auto",), ["--tile", "9x9"]),
        (("--steps", "3"), ["--tile", "9x9", "--devices", "4"]),
    ):
        assert arguments_of_config(path, "kip", Kip, given=given) == left
    path.write_text("ray: auto\ngroup: 7\ninsecure: true\n")
    with pytest.warns(UserWarning, match="a file cannot say: give --insecure"):
        assert arguments_of_config(path, "kip", Kip, given=("--devices", "2")) == []
