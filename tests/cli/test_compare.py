"""`kernel-distill compare`."""

import json
import re

import numpy as np
import pytest

import kernel_distill as kd


def test_compare(kip_run, cli, tmp_path):
    path, _ = kip_run
    options = ("--network", "mlp", "--width", 16, "--seeds", 2, "--steps", 5, "--out", tmp_path)
    outcome = cli("compare", path, *options, "--baselines", "kmeans", "nearest-kmeans")
    assert (outcome.status, outcome.err) == (0, "")
    table = (tmp_path / "table.md").read_text().splitlines()
    assert (
        table[0] == "| learned from | images | fc1 ntk (%) | mlp 16 (%) | nearest neighbour (%) |"
    )
    accuracy = json.loads((path / "result.json").read_text())["test_accuracy"]
    assert table[2].startswith(f"| {path} | 20 | {100 * accuracy:.2f} | ")
    assert re.match(r"\| kmeans \| 20 \| \d\d\.\d\d ± \d+\.\d\d \| \d", table[3])
    assert re.match(r"\| nearest-kmeans \| 20 \|  \|  \| 9\d\.\d\d ± ", table[4])
    for name in ("table.md", "table.csv", "table.png", "comparison.json"):
        assert f"  {tmp_path / name}\n" in outcome.out
        assert (tmp_path / name).stat().st_size > 0
    assert "did you mean" in cli("compare", path, *options, "--baselines", "kmeanz").err
    assert cli("compare", "--out", tmp_path).status == 1


def test_an_own_run_beside_a_file_of_others(kip_run, cli, tmp_path):
    """The option tells of the other's preprocessing; the run knows its own."""
    path, _ = kip_run
    digits = kd.data.load("digits", preprocessing="none")
    rows = np.argsort(digits.train.labels, kind="stable")[::135]
    others = tmp_path / "others.npz"
    labels = kd.data.one_hot(digits.train.labels[rows], 10)
    np.savez(others, images=digits.train.images[rows], labels=labels)
    outcome = cli(
        "compare", path, others, "--dataset", "digits", "--preprocessing", "none", "--baselines",
        "none", "--architecture", "fc1", "--out", tmp_path / "out",
    )  # fmt: skip
    assert (outcome.status, outcome.err) == (0, "")
    assert (tmp_path / "out/table.md").read_text().count("\n| ") == 3  # a rule and two rows
    # its architecture is not known, and networks need none
    outcome = cli(
        "compare", others, "--dataset", "digits", "--preprocessing", "none", "--baselines", "none",
        "--network", "mlp", "--width", 8, "--seeds", 1, "--steps", 5, "--factor", 0.3,
        "--out", tmp_path / "networks",
    )  # fmt: skip
    assert (outcome.status, outcome.err) == (0, "")
    assert (tmp_path / "networks/table.md").read_text().count("mlp 8 (%)") == 1


@pytest.mark.slow
def test_choose(kip_run, cli, tmp_path):
    path, _ = kip_run
    options = ("--width", 16, "--seeds", 1, "--steps", 5, "--factor", 0.3, "--out", tmp_path)
    assert "three networks or more" in cli("choose", path, "--network", "fc1", *options).err
    outcome = cli("choose", path, "--network", "fc1", "fc2", "mlp", *options)
    assert (outcome.status, outcome.err) == (0, "")
    written = json.loads((tmp_path / "choice.json").read_text())
    assert written["networks"] == ["fc1 16", "fc2 16", "mlp 16"]
    assert "on all images, of fc1 16, fc2 16, mlp 16:" in outcome.out.replace("\n", " ")
    found = written["rank_correlations"]
    assert [(each["learned_from"], each["images"]) for each in found] == [
        (str(path), 20), ("random", 20)
    ]  # fmt: skip
    for each in found:
        value = each["rank_correlation"]
        assert -1 <= value <= 1
        assert f"  {each['learned_from']}: {value:.2f}\n" in outcome.out


@pytest.mark.slow
def test_continual(kip_run, cli, tmp_path):
    path, _ = kip_run
    options = ("--width", 8, "--seeds", 2, "--steps", 5, "--factor", 0.3, "--tasks", 2)
    options += ("--out", tmp_path)
    assert "one network learns" in cli("continual", path, "--network", "fc1", "mlp", *options).err
    outcome = cli("continual", path, "--network", "fc1", *options)
    assert (outcome.status, outcome.err) == (0, "")
    written = json.loads((tmp_path / "continual.json").read_text())
    assert written["classes"] == [5, 10]
    for name in ("distilled", "random"):
        after = 100 * np.array(written["accuracies"][name])[:, 1]
        assert re.search(rf"{name} .* {after.mean():.2f} ± {after.std(ddof=1):.2f} ", outcome.out)
    assert (tmp_path / "continual.png").stat().st_size > 0
