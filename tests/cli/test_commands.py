"""What each command does when all is well."""

import json
import re
import shlex
import shutil
from dataclasses import fields
from typing import get_args, get_type_hints

import jax
import numpy as np
import pytest
import yaml

import kernel_distill as kd
from kernel_distill.artefact import Run
from kernel_distill.cli import _commands
from kernel_distill.cli import _transfer as transfer_command
from kernel_distill.cli._commands import COMMANDS
from kernel_distill.cli._export import Export
from kernel_distill.cli._main import _parse
from kernel_distill.kernels import named

QUICK = ("--steps", 2)


def test_kip(kip_run):
    path, outcome = kip_run
    assert (outcome.status, outcome.err) == (0, "")
    result = json.loads((path / "result.json").read_text())
    assert list(result) == [
        "test_accuracy",
        "initial_test_accuracy",
        "validation_accuracy",
        "support_size",
        "steps",
        "wall_seconds",
        "device",
    ]
    assert (result["support_size"], result["steps"]) == (20, 12)
    # per cent where a person reads them
    for accuracy, row in (
        (result["initial_test_accuracy"], "20 natural images"),
        (result["test_accuracy"], "20 distilled images"),
    ):
        assert 0 < accuracy < 1
        assert re.search(rf"{row} +│ +{100 * accuracy:.1f} %", outcome.out)
    assert re.search(r"all 1350 training images │ +9\d\.\d %", outcome.out)
    for name in ("distilled.npz", "report.html", "images.png", "curves.png", "labels.png"):
        assert f"  {path / name}\n" in outcome.out
        assert (path / name).stat().st_size > 0
    distilled = kd.load(path)
    assert distilled.images.shape == (20, 8, 8, 1)
    assert distilled.metadata["seed"] == [0, 3]


def test_label_solve(label_solve_run):
    path, outcome = label_solve_run
    assert (outcome.status, outcome.err) == (0, "")
    result = json.loads((path / "result.json").read_text())
    assert (result["support_size"], result["steps"]) == (25, 7)  # blocks
    assert result["test_accuracy"] > result["initial_test_accuracy"]
    assert "25 distilled images" in outcome.out
    metrics = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert metrics == [{"step": 7, "rank": 25}]
    # no losses, no curves
    assert "curves.png" not in outcome.out


def test_config_holds_every_setting(kip_run, label_solve_run):
    groups = {
        "kip": (kip_run, kd.kip.Settings),
        "label-solve": (label_solve_run, kd.label_solve.Settings),
    }
    for command, ((path, _), settings) in groups.items():
        config = yaml.safe_load((path / "config.yaml").read_text())
        expected = {"command", "seed"}
        expected |= {
            field.name for group in (kd.data.Settings, settings) for field in fields(group)
        }
        expected |= {"architecture", "kernel", "w_std", "b_std", "activation", "implementation"}
        expected |= {"devices", "tile", "memory", "ray", "group"}
        assert set(config) == expected
        assert config["command"] == command
    assert config["support_size"] == 25


def test_same_as_from_python(kip_run, cli):
    import jax

    path, _ = kip_run
    result = kd.kip.distill(
        kd.kernels.FullyConnected(depth=1).kernel("ntk"),
        kd.data.load("digits"),
        key=jax.random.key(3),
        images_per_class=2,
        steps=12,
    )
    written = kd.load(path)
    assert np.array_equal(result.distilled.images, written.images)
    assert np.array_equal(result.distilled.labels, written.labels)
    ignored = {"created", "packages"}
    assert {k: v for k, v in result.distilled.metadata.items() if k not in ignored} == {
        k: v for k, v in written.metadata.items() if k not in ignored
    }


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_several_architectures(cli, own, tmp_path):
    path = tmp_path / "run"
    outcome = cli(
        *("kip", "--dataset", own, "--architecture", "fc1", "fc2", "--out", path, *QUICK),
        *("--kernel", "nngp", "--activation", "erf", "--w-std", 1.2),
        *("--augment", "flip", "scale", "colour", "cutout"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    metadata = kd.load(path).metadata
    assert metadata["architectures"] == [
        {"name": name, "w_std": 1.2, "b_std": 0.1, "activation": "erf", "kernel": "nngp"}
        for name in ("fc1", "fc2")
    ]
    evaluated = cli("evaluate", path)
    assert evaluated.status == 0
    shares = re.findall(r"fc[12] nngp │ +18 │ +([\d.]+) % │", evaluated.out)
    assert len(shares) == 2
    accuracy = json.loads((path / "result.json").read_text())["test_accuracy"]
    assert np.mean([float(share) for share in shares]) == pytest.approx(100 * accuracy, abs=0.01)


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_evaluate_a_mixture_of_both_kinds(cli, own, tmp_path):
    data, members = kd.data.load(own), [named("fc1").kernel(kind) for kind in ("ntk", "nngp")]
    with Run.create(tmp_path / "run", {"dataset": str(own)}) as run:
        kernel = kd.kernels.mixture(*members)
        result = kd.kip.distill(kernel, data, key=jax.random.key(0), steps=2, run=run)
    evaluated = cli("evaluate", tmp_path / "run")
    for member in members:
        loss = kd.evaluate(result.distilled, data.test, kernel=member).loss
        assert re.search(rf"fc1 {member.kind} +│ +18 │ +[\d.]+ % │ {loss:.5f} │", evaluated.out)


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_convolutional_network(cli, own, tmp_path):
    outcome = cli(
        *("kip", "--dataset", own, "--architecture", "convnet1", "--kernel", "nngp"),
        *("--out", tmp_path / "run", *QUICK),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert kd.load(tmp_path / "run").metadata["architecture"]["name"] == "convnet1"
    assert "all 65 training images" not in outcome.out  # hours, for larger data


@pytest.mark.slow
def test_two_moons_from_a_table(cli, tmp_path):
    from sklearn.datasets import make_moons

    points, classes = make_moons(300, noise=0.1, random_state=0)
    rows = [f"{x},{y},{'ab'[label]}" for (x, y), label in zip(points, classes, strict=True)]
    (tmp_path / "moons.csv").write_text("\n".join(["x,y,label", *rows]) + "\n")
    outcome = cli(
        *("kip", "--dataset", tmp_path / "moons.csv", "--images-per-class", 5, "--steps", 100),
        *("--learning-rate", 0.1, "--out", tmp_path / "run"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["test_accuracy"] > 0.9
    assert (tmp_path / "run" / "images.png").stat().st_size > 0
    assert cli("evaluate", tmp_path / "run").status == 0


@pytest.mark.usefixtures("without_pictures")
def test_whitened_run_keeps_its_whitening(cli, own, tmp_path):
    path = tmp_path / "run"
    outcome = cli("kip", "--dataset", own, "--preprocessing", "zca", "--out", path, *QUICK)
    assert (outcome.status, outcome.err) == (0, "")
    accuracy = json.loads((path / "result.json").read_text())["test_accuracy"]
    with_matrix = cli("evaluate", path)
    # a lone artefact fits the whitening again
    shutil.copy(path / "distilled.npz", tmp_path / "lone.npz")
    alone = cli("evaluate", tmp_path / "lone.npz", "--dataset", own)
    for outcome in (with_matrix, alone):
        assert f"{100 * accuracy:.2f} %" in outcome.out
    (path / "preprocessing.npz").write_bytes(b"PK\x03\x04")
    outcome = cli("evaluate", path)
    assert outcome.status == 1
    assert "preprocessing.npz" in outcome.err


def test_evaluate_a_run_and_a_lone_file(cli, kip_run, tmp_path):
    path, _ = kip_run
    accuracy = json.loads((path / "result.json").read_text())["test_accuracy"]
    shutil.copy(path / "distilled.npz", tmp_path / "lone.npz")
    for where in (path, path / "distilled.npz", tmp_path / "lone.npz"):
        outcome = cli("evaluate", where)
        assert (outcome.status, outcome.err) == (0, "")
        assert "20 distilled images of digits" in outcome.out
        assert re.search(rf"fc1 ntk │ +297 │ +{100 * accuracy:.2f} % │", outcome.out)


@pytest.mark.usefixtures("without_pictures")
def test_evaluate_own_data_that_have_moved(cli, own, tmp_path):
    path = tmp_path / "run"
    assert cli("kip", "--dataset", own, "--out", path, *QUICK).status == 0
    before = cli("evaluate", path)
    moved = own.rename(tmp_path / "moved.npz")
    gone = cli("evaluate", path)
    assert gone.status == 1
    assert "no such file" in gone.err
    again = cli("evaluate", path, "--dataset", moved)
    assert (again.status, again.err) == (0, "")
    assert re.findall(r"[\d.]+ %", again.out) == re.findall(r"[\d.]+ %", before.out)
    other = cli("evaluate", path, "--dataset", "digits")
    assert other.status == 1
    assert "is not the data set that this was distilled from" in other.err


def test_export(cli, kip_run, tmp_path):
    path, _ = kip_run
    target = tmp_path / "mnist10.npz"
    outcome = cli("export", path, "--format", "npz", "--out", target)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == f"{target}: 20 images [8, 8, 1]\n"
    assert target.read_bytes() == (path / "distilled.npz").read_bytes()
    with np.load(target, allow_pickle=False) as file:
        assert file["images"].shape == (20, 8, 8, 1)
        assert json.loads(str(file["metadata"]))["method"] == "kip"
    target.write_text("something of the user's own")
    refused = cli("export", path, "--out", target)
    assert refused.status == 1
    assert f"{target} exists: choose another --out, or give --overwrite" in refused.err
    assert target.read_text() == "something of the user's own"
    assert cli("export", path, "--out", target, "--overwrite").status == 0
    assert target.read_bytes() == (path / "distilled.npz").read_bytes()


def test_export_and_import(cli, kip_run, tmp_path):
    path, _ = kip_run
    own = kd.load(path)
    for form in ("npz-kip", "parquet", "png"):
        out, again = tmp_path / form, tmp_path / f"{form}.npz"
        outcome = cli("export", path, "--format", form, "--out", out)
        if form == "npz-kip":
            step = own.metadata["step"]
            assert (out / f"fc1_ssize20_nozca_l_noaug_ckpt{step}.npz").exists()
        assert (outcome.status, outcome.err) == (0, "")
        assert outcome.out.startswith(f"{out}: 20 images [8, 8, 1]\n")
        # nothing is asked for: the export tells all
        imported = cli("import", out, "--out", again)
        assert (imported.status, imported.err) == (0, "")
        assert f"exported as {form}: 20 images of digits" in imported.out
        np.testing.assert_array_equal(kd.load(again).labels, own.labels)
        if form != "png":
            np.testing.assert_array_equal(kd.load(again).images, own.images)
        assert kd.load(again).metadata["created"] == own.metadata["created"]
    assert "8 bits" in outcome.out  # what pictures do not hold
    refused = cli("export", path, "--format", "png", "--out", tmp_path / "parquet")
    assert refused.status == 1
    assert "exists: choose another --out, or give --overwrite" in refused.err
    replaced = cli("export", path, "--format", "png", "--out", tmp_path / "parquet", "--overwrite")
    assert (replaced.status, replaced.err) == (0, "")
    assert not (tmp_path / "parquet" / "data").exists()


def test_export_undoes_whitening(cli, own, tmp_path):
    path, lone = tmp_path / "run", tmp_path / "lone.npz"
    options = ("--dataset", own, "--preprocessing", "whiten", "--validation-size", 0)
    assert cli("kip", *options, "--out", path, *QUICK).status == 0
    shutil.copy(path / "distilled.npz", lone)
    for source, said in ((path, ()), (lone, ("--dataset", own))):
        out = tmp_path / f"{source.name} png"
        outcome = cli("export", source, "--format", "png", "--out", out, *said)
        assert (outcome.status, outcome.err) == (0, "")
        assert (out / "contact_sheet.png").exists()
    refused = cli("export", lone, "--format", "png", "--out", tmp_path / "other")
    assert refused.status == 1
    assert "--dataset" in refused.err
    # what is there is refused before the data are looked for
    there = cli("export", lone, "--format", "png", "--out", tmp_path / "run png")
    assert "exists: choose another --out" in there.err


def test_every_format_is_explained(cli):
    text = cli("export", "--help").out
    for form in kd.foreign.FORMATS:
        assert re.search(rf"^[ │]+{form}: ", text, re.MULTILINE), form
    assert set(get_args(get_type_hints(Export)["format"])) == set(kd.foreign.FORMATS)


def test_env(cli):
    outcome = cli("env")
    assert (outcome.status, outcome.err) == (0, "")
    for name in ("python", "jax", "jaxlib", "numpy", "kernel_distill", "device", "data sets"):
        assert name in outcome.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example_that_parses(cli, command):
    outcome = cli(command, "--help")
    assert (outcome.status, outcome.err) == (0, "")
    *_, title, example = outcome.out.splitlines()
    assert title == "For example:"
    program, *words = shlex.split(example)
    assert program == "kernel-distill"
    assert isinstance(_parse(words), COMMANDS[command])
    assert outcome.out.count("For example:") == 1


def test_examples_stand_on_each_other():
    parsed = [_parse(shlex.split(_commands.example(name))[1:]) for name in COMMANDS]
    written = {each.output.out for each in parsed if hasattr(each, "output")}
    read = {each.run_directory for each in parsed if hasattr(each, "run_directory")}
    assert read <= written
    (brought_in,) = (each.file for each in parsed if hasattr(each, "file"))
    assert brought_in in {each.out for each in parsed if isinstance(each, Export)}


def test_help_lists_the_commands(cli):
    outcome = cli("--help")
    assert outcome.status == 0
    for command in COMMANDS:
        assert command in outcome.out


def test_every_option_is_explained(cli):
    text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", cli("kip", "--help").out).split())
    for group in (kd.kip.Settings, kd.data.Settings):
        for field in fields(group):
            assert re.search(rf"--{field.name.replace('_', '-')}[ ,]", text), field.name
    assert "drawn anew at every step" in text


def test_results_are_found_by_relative_paths(cli, kip_run, monkeypatch):
    path, _ = kip_run
    monkeypatch.chdir(path.parent)
    assert cli("evaluate", "kip").status == 0


@pytest.mark.slow
def test_transfer(kip_run, cli, tmp_path):
    path, _ = kip_run
    options = ("--width", 16, "--seeds", 2, "--steps", 20)
    lone = tmp_path / "lone.npz"
    shutil.copy(path / "distilled.npz", lone)
    assert "--out" in cli("transfer", lone, "--network", "fc1", *options).err
    outcome = cli("transfer", lone, "--network", "fc1", "mlp", "--out", tmp_path, *options)
    assert (outcome.status, outcome.err) == (0, "")
    written = json.loads((tmp_path / "transfer.json").read_text())["networks"]
    assert [(each["network"]["name"], each["network"]["width"]) for each in written] == [
        ("fc1", 16),
        ("mlp", 16),
    ]
    for each in written:
        assert len(each["accuracies"]) == 2
        accuracy = f"{100 * each['mean']:.2f} ± {100 * each['deviation']:.2f} %"
        assert re.search(rf"{each['network']['name']} +│ +16 │ +{accuracy}", outcome.out)
    assert f"  {tmp_path / 'transfer.png'}\n" in outcome.out


def test_transfer_to_networks_of_which_some_fail(kip_run, cli, tmp_path, monkeypatch):
    path, _ = kip_run
    options = ("--width", 16, "--seeds", 1, "--steps", 30, "--out", tmp_path)
    assert "name one or more" in cli("transfer", path, "--network", *options).err
    # before any is trained
    too_small = cli("transfer", path, "--network", "mlp", "lenet", *options)
    assert "lenet needs larger images than 8x8" in too_small.err
    assert not (tmp_path / "transfer.json").exists()
    trained = transfer_command.transfer

    def fails(network, *given, **options):
        if network.name == "mlp":
            raise kd.NumericalError("training mlp diverged")
        return trained(network, *given, **options)

    monkeypatch.setattr(transfer_command, "transfer", fails)
    outcome = cli("transfer", path, "--network", "mlp", "fc1", *options)
    assert (outcome.status, outcome.err) == (0, "")
    assert re.search(r"mlp +│ +16 │ +failed", outcome.out)
    assert re.search(r"fc1 +│ +16 │ +\d", outcome.out)
    assert "training mlp diverged" in outcome.out.replace("\n", " ")
    alone = cli("transfer", path, "--network", "mlp", *options)
    assert alone.status == 1
    assert "training mlp diverged" in alone.err
