"""`kernel-distill match`: its methods, files and refusals."""

import json

import pytest
import yaml

import kernel_distill as kd
from kernel_distill.matching import METHODS

QUICK = (
    *("--network", "mlp", "--width", 16, "--batch-size", 40),
    *("--steps", 4, "--test-networks", 2, "--validations", 2),
)
TRAINED = ("--training-steps", 20)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    "method", ["distribution", *(pytest.param(m, marks=pytest.mark.slow) for m in
     ("unrolled", "gradient", "features"))],
)  # fmt: skip
def test_run_and_the_same_again(cli, own, tmp_path, method):
    given = ("match", "--method", method, "--dataset", own, *QUICK)
    if method != "unrolled":  # which has steps of its own
        given += TRAINED
    outcome = cli(*given, "--out", tmp_path / "run", "--seed", 3)
    assert (outcome.status, outcome.err) == (0, "")
    assert "3 distilled images" in outcome.out
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["command"], config["method"]) == ("match", method)
    assert set(config) >= {"network", "width", "steps", "training_steps", "seed", "dataset"}
    # the method is the file's
    again = cli("match", "--config", tmp_path / "run" / "config.yaml", "--out", tmp_path / "again")
    assert (again.status, again.err) == (0, "")
    one, other = kd.load(tmp_path / "run"), kd.load(tmp_path / "again")
    assert one.images.tobytes() == other.images.tobytes()
    assert one.metadata["method"] == method
    refused = cli("evaluate", tmp_path / "run", "--dataset", own)
    assert refused.status == 1
    assert "transfer" in refused.err
    assert "--network mlp --width 16" in refused.err
    resumed = cli("match", "--out", tmp_path / "run", "--resume")
    assert (resumed.status, resumed.err) == (0, "")
    found = json.loads((tmp_path / "run" / "result.json").read_text())
    assert found["test_accuracy"] == one.metadata["metrics"]["test_accuracy"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--method", "mtt"), "unknown method 'mtt': known: distribution, features, gradient, "),
        (("--network", "mlp", "fc1"), "match takes one network; got mlp, fc1"),
        (("--method", "gradient", "--learn-labels", "--network", "mlp"), "its labels stay fixed"),
        (
            ("--method", "gradient", "--batch-size", 2, "--network", "mlp"),
            "batch_size must be 3 or more; got 2",
        ),
        (
            ("--method", "unrolled", "--distilled-steps", 2, "--network", "mlp"),
            "must be a multiple of distilled_steps; got 3 images, 2 steps",
        ),
    ],
)
def test_a_refusal_costs_the_run_that_is_there_nothing(cli, own, tmp_path, arguments, told):
    out = tmp_path / "run"
    with kd.artefact.Run.create(out, {"command": "match"}):
        pass
    (out / "distilled.npz").write_bytes(b"what took hours")
    outcome = cli("match", "--dataset", own, "--out", out, "--overwrite", *arguments)
    assert outcome.status == 1
    assert told in outcome.err
    assert (out / "distilled.npz").read_bytes() == b"what took hours"


def test_settings_of_another_method(cli, tmp_path):
    config = tmp_path / "dc.yaml"
    config.write_text("command: match\nmethod: gradient\nupdates_a_network: 3\n")
    given = ("match", "--config", config, "--method", "distribution", "--out", tmp_path / "run")
    outcome = cli(*given)
    assert outcome.status == 1
    assert "holds the settings of the method gradient, not of distribution" in outcome.err


def test_help_of_every_method_lists_its_settings(cli):
    own = {
        "unrolled": "--distilled-steps",
        "gradient": "--updates-a-network",
        "trajectory": "--expert-folder",
        "distribution": "--layers",
        "features": "--pool-steps",
    }
    assert set(own) == set(METHODS)
    for method, option in own.items():
        outcome = cli("match", "--method", method, "--help")
        assert outcome.status == 0
        assert [each for each in own.values() if f"{each} " in outcome.out] == [option]


def test_a_run_says_which_experts_it_rests_on(cli, own, tmp_path):
    given = (
        *("match", "--method", "trajectory", "--network", "mlp", "--width", 8, "--dataset", own),
        *("--steps", 1, "--expert-milestones", 2, "--milestone-steps", 1),
        *("--latest-start", 0, "--student-steps", 1, "--expert-folder", tmp_path / "kept"),
        *("--training-steps", 1, "--test-networks", 1),
    )
    said = {
        1: "1 expert in {}, 1 of them trained now.",
        3: "3 experts in {}, 2 of them trained now.",
        2: "2 experts in {}, found there.",
    }
    for experts, told in said.items():
        outcome = cli(*given, "--experts", experts, "--out", tmp_path / str(experts))
        assert outcome.status == 0, outcome.err
        assert "The run rests on " + told.format(tmp_path / "kept") in outcome.out
