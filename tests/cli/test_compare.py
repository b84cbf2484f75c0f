"""`kernel-distill compare`."""

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

import kernel_distill as kd
from kernel_distill.artefact import Checkpoints


class Parsed(HTMLParser):
    """The text of a page, and the data in it."""

    def __init__(self, page):
        super().__init__()
        self.pieces = []
        self.feed(page)
        self.text = " ".join(" ".join(self.pieces).split())
        self.data = json.loads(next(each for each in self.pieces if each.startswith("{")))

    def handle_data(self, data):
        self.pieces.append(data)


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
    page = Parsed((tmp_path / "report.html").read_text())
    cells = [cell.strip() for cell in table[3].strip("|").split("|")]
    assert " ".join(cells) in page.text  # what was measured stands in the page too
    for name in ("report.html", "table.md", "table.csv", "table.png", "comparison.json"):
        assert f"  {tmp_path / name}\n" in outcome.out
        assert (tmp_path / name).stat().st_size > 0
    # it stays while the same sets are shown, and goes with them
    again = cli("compare", path, "--no-measure", "--out", tmp_path)
    assert "replaces" not in again.out
    assert " ".join(cells) in Parsed((tmp_path / "report.html").read_text()).text
    other = shutil.copy(path / "distilled.npz", tmp_path / "other.npz")
    replaced = cli("compare", path, other, "--no-measure", "--out", tmp_path)
    assert f"replaces the comparison of {path}." in replaced.out.replace("\n", "")
    assert " ".join(cells) not in Parsed((tmp_path / "report.html").read_text()).text
    assert "did you mean" in cli("compare", path, *options, "--baselines", "kmeanz").err
    assert cli("compare", "--out", tmp_path).status == 1


def test_the_page_alone(kip_run, cli, tmp_path):
    """At once, of a run and of a set alone; nothing is measured."""
    path, _ = kip_run
    lone = tmp_path / "lone.npz"
    shutil.copy(path / "distilled.npz", lone)
    out = tmp_path / "out"
    outcome = cli("compare", path, lone, "--no-measure", "--out", out)
    assert (outcome.status, outcome.err) == (0, "")
    assert f"side by side: {out / 'report.html'}\n" in outcome.out
    assert [each.name for each in out.iterdir()] == ["report.html"]
    page = Parsed((out / "report.html").read_text())
    of_run, of_set = page.data["stories"]
    assert [of_run["name"], of_set["name"]] == [str(path), str(lone)]
    steps = [frame["step"] for frame in of_run["sprites"]["frames"]]
    assert steps == Checkpoints(path / "checkpoints").steps()
    best = kd.load(lone).metadata["step"]
    assert [frame["step"] for frame in of_set["sprites"]["frames"]] == [best]
    assert (of_run["has_start"], of_set["has_start"], of_set["steps"]) == (True, False, None)
    assert of_set["sha256"] == of_run["sha256"]
    assert (
        of_run["accuracy"]
        == of_set["accuracy"]
        == kd.load(lone).metadata["metrics"]["test_accuracy"]
    )
    # by `runs/*`, what is left of the last time is given too
    again = cli("compare", path, lone, out, "--no-measure", "--out", out)
    assert (again.status, again.err) == (0, "")
    assert f"{out} is a comparison, and is left out." in again.out
    assert len(Parsed((out / "report.html").read_text()).data["stories"]) == 2
    # the page of a run is not written over
    refused = cli("compare", path, "--no-measure", "--out", path)
    assert refused.status == 1
    assert "holds a run" in refused.err
    # nor what is none of this command's
    page = tmp_path / "pages" / "report.html"
    for text, reason in (
        ("<html>the user's own", "no page of kernel-distill"),
        ((path / "report.html").read_text(), "the page of a run"),
    ):
        page.parent.mkdir(exist_ok=True)
        page.write_text(text)
        refused = cli("compare", path, "--no-measure", "--out", page.parent)
        assert refused.status == 1
        assert reason in refused.err
        assert page.read_text() == text
    # nor does one that is damaged stand in the way
    spoilt = shutil.copytree(path, tmp_path / "spoilt")
    (spoilt / "report.html").write_text("<html>")
    outcome = cli("compare", spoilt, "--no-measure", "--out", out)
    assert (outcome.status, outcome.err) == (0, "")
    assert "is no page of a run" in outcome.out


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
    own, other = Parsed((tmp_path / "out/report.html").read_text()).data["stories"]
    assert other["summary"].endswith(" by an unknown method.")
    assert "versions" in own["figures"]
    assert "versions" not in other["figures"]
    assert (other["has_start"], other["sprites"]["frames"][0]["step"]) == (False, None)
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
    options = ("--width", 16, "--seeds", 1, "--steps", 5, "--out", tmp_path)
    options += ("--factor", 0.3, "--label-scale", 1)
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
    options += ("--label-scale", 1, "--out", tmp_path)
    assert "one network learns" in cli("continual", path, "--network", "fc1", "mlp", *options).err
    outcome = cli("continual", path, "--network", "fc1", *options)
    assert (outcome.status, outcome.err) == (0, "")
    written = json.loads((tmp_path / "continual.json").read_text())
    assert written["classes"] == [5, 10]
    for name in ("distilled", "random"):
        after = 100 * np.array(written["accuracies"][name])[:, 1]
        assert re.search(rf"{name} .* {after.mean():.2f} ± {after.std(ddof=1):.2f} ", outcome.out)
    assert (tmp_path / "continual.png").stat().st_size > 0
