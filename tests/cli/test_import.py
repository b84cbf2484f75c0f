"""Distilled sets of others on the command line."""

import re

import numpy as np
import pytest

import kernel_distill as kd
from kernel_distill.kernels import named


@pytest.fixture
def others(tmp_path):
    """Two digits of each class in an .npz with channels first, which tells nothing else."""
    train = kd.data.load("digits").train
    chosen = np.concatenate([np.flatnonzero(train.labels == c)[:2] for c in range(10)])
    path = tmp_path / "others.npz"
    np.savez(path, images=train.images[chosen].transpose(0, 3, 1, 2), labels=train.labels[chosen])
    return path


SAID = ("--dataset", "digits", "--preprocessing", "standardise")


def test_evaluate_and_import(cli, others, tmp_path):
    first = cli("evaluate", others, *SAID, "--architecture", "fc1", "fc2")
    assert (first.status, first.err) == (0, "")
    text = " ".join(first.out.split())
    assert "others.npz, an .npz: 20 images of digits, preprocessing standardise, labels" in text
    assert "written as numbers of classes" in text
    imported = cli("import", others, *SAID, "--out", tmp_path / "own.npz")
    assert (imported.status, imported.err) == (0, "")
    assert f"{tmp_path / 'own.npz'}: 20 images [8, 8, 1]" in imported.out
    # it now tells by itself what was said
    again = cli("evaluate", tmp_path / "own.npz", "--architecture", "fc1", "fc2")
    assert (again.status, again.err) == (0, "")
    accuracies = re.findall(r"[\d.]+ %", first.out)
    assert len(accuracies) == 2
    assert accuracies == re.findall(r"[\d.]+ %", again.out)
    accuracy = kd.evaluate(
        kd.load(tmp_path / "own.npz"),
        kd.data.load("digits").test,
        kernel=named("fc1").kernel("ntk"),
    ).accuracy
    assert accuracies[0] == f"{100 * accuracy:.2f} %"


def test_what_is_asked_for_and_refused(cli, others, kip_run, tmp_path):
    out = tmp_path / "own.npz"
    own = kip_run[0] / "distilled.npz"
    for arguments, part in (
        (("evaluate", others, "--dataset", "digits"), "--preprocessing"),
        (("evaluate", others, "--preprocessing", "none"), "--dataset"),
        (("evaluate", others, *SAID), "--architecture convnet3 fc1"),
        (("evaluate", own, "--preprocessing", "zca"), "preprocessed by 'standardise', as it says"),
        (("import", own, "--out", out), "needs no import: `evaluate`"),
        (("import", kip_run[0], "--out", out), "needs no import: `evaluate`"),
        (("import", kip_run[0] / "config.yaml", "--out", out), "is no distilled set of others"),
        (("export", others, "--format", "png", "--out", out), f"kernel-distill import {others}"),
        (("import", tmp_path / "none.npz", "--out", out), "none.npz"),
        (("import", others, *SAID, "--index", 1, "--out", out), "holds one set, number 0; got 1"),
        (("import", others, *SAID, "--out", others), "exists: choose another --out"),
    ):
        outcome = cli(*arguments)
        assert outcome.status == 1
        assert part in " ".join(outcome.err.split())
        assert "Traceback" not in outcome.err
    assert not out.exists()
    assert cli("import", others, *SAID, "--out", out).status == 0
    imported, test = kd.load(out), kd.data.load("digits").test
    with pytest.raises(kd.InputError, match=r"names no architecture.*kernel="):
        kd.evaluate(imported, test)
