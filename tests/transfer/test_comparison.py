"""The table: what stands in it, that nothing is measured twice, and the files."""

import csv
import json
from dataclasses import replace

import jax
import numpy as np
import pytest

import kernel_distill as kd
from kernel_distill import transfer
from kernel_distill.transfer import TrainingSettings, baseline, compare, save_comparison
from kernel_distill.transfer import _doors as doors
from kernel_distill.transfer._comparison import Comparison, Failed, Measured, Row
from kernel_distill.transfer._comparison_files import text_table

KEY = jax.random.key(0)
KERNEL = kd.kernels.FullyConnected(depth=1).kernel("ntk")
NETWORK = kd.networks.named("mlp", width=16)
SETTINGS = TrainingSettings(steps=5, validation_images=20)


@pytest.fixture(scope="module")
def run(natural_set):
    """25 images, as Label Solve may leave: no multiple of the classes."""
    return natural_set(25, seed=5, ridge=1e-3)


@pytest.mark.slow
def test_the_same_draws_go_through_every_door(digits, run, tmp_path):
    comparison = compare(
        [("run", run, digits), ("copy", run, digits)],
        baselines=("random", "average", "nearest-random"),
        kernels=(KERNEL,),
        networks=(NETWORK,),
        settings=SETTINGS,
        seeds=2,
        key=KEY,
        folder=tmp_path,
    )
    assert comparison.doors == ("fc1 ntk", "mlp 16", "nearest neighbour")
    # baselines of as many images are there once
    rows = {row.name: row for row in comparison.rows}
    assert list(rows) == ["run", "random", "average", "nearest-random", "copy"]
    assert [row.images for row in comparison.rows] == [25, 30, 10, 30, 25]
    cells = {
        (row.name, door): cell for row in comparison.rows for door, cell in enumerate(row.cells)
    }
    assert cells["run", 0].accuracies == (kd.evaluate(run, digits.test, kernel=KERNEL).accuracy,)
    assert len(cells["run", 1].accuracies) == len(cells["average", 1].accuracies) == 2
    draw_key, door_key = jax.random.split(KEY)
    draws = [
        baseline("random", digits, images_per_class=3, key=jax.random.fold_in(draw_key, number))
        for number in range(2)
    ]
    assert cells["random", 0].accuracies == tuple(
        kd.evaluation.measure(
            KERNEL, draw.images, draw.labels, digits.test, ridge=1e-6, precision="float64"
        ).accuracy
        for draw in draws
    )
    assert cells["nearest-random", 2].accuracies == tuple(
        transfer.nearest_neighbour(draw, digits) for draw in draws
    )
    assert cells["random", 1].accuracies == tuple(
        transfer.transfer(NETWORK, draw, digits, settings=SETTINGS, seeds=1, key=key).accuracies[0]
        for draw, key in zip(draws, jax.random.split(jax.random.split(door_key)[1], 2), strict=True)
    )
    assert {name for (name, door), cell in cells.items() if cell is None} == set(rows)


@pytest.mark.slow
def test_the_ceiling(digits, run, tmp_path, monkeypatch):
    trained = []

    def counted(network, distilled, data, *, settings, **options):
        trained.append((len(distilled), settings.steps))
        return original(network, distilled, data, settings=SETTINGS, **options)

    original = doors.transfer
    monkeypatch.setattr(doors, "transfer", counted)
    comparison = compare(
        [("run", run, digits)],
        baselines=("full",),
        kernels=(KERNEL,),
        networks=(NETWORK,),
        settings=SETTINGS,
        seeds=1,
        key=KEY,
        folder=tmp_path,
    )
    # five times through 1350 images, a hundred at a time
    assert trained == [(25, 5), (1350, 68)]
    ridge, _ = comparison.rows[1].cells
    assert ridge.images == 1300  # the scarcest class has 130
    assert ridge.mean > 0.97


@pytest.mark.slow
def test_what_fails_is_a_cell_and_the_others_go_on(digits, run, tmp_path, monkeypatch):
    """Named like the baseline, the run is none; and its rate kills a network but not ridge."""
    settings = replace(SETTINGS, steps=60, factor=(1e3, 1e4))
    options = {"kernels": (KERNEL,), "networks": (NETWORK,), "settings": settings, "seeds": 1}
    (row,) = compare(
        [("full", run, digits)], baselines=(), key=KEY, folder=tmp_path, **options
    ).rows
    ridge, failed = row.cells
    assert ridge == Measured((kd.evaluate(run, digits.test, kernel=KERNEL).accuracy,), 25)
    assert "no training of 2 settings is sound" in failed.reason
    # nor is it tried again
    monkeypatch.setattr(doors, "search", lambda *_, **__: pytest.fail("searched again"))
    again = compare([("full", run, digits)], baselines=(), key=KEY, folder=tmp_path, **options)
    assert again.rows == (row,)


@pytest.mark.slow
def test_the_test_images_choose_nothing_and_are_known_by_their_content(digits, run, tmp_path):
    settings = replace(SETTINGS, steps=20, factor=(0.1, 1.0), l2=(0.0, 0.1))
    options = {"baselines": (), "networks": (NETWORK,), "settings": settings, "seeds": 1}

    def compared(data):
        (row,) = compare([("run", run, data)], key=KEY, folder=tmp_path, **options).rows
        entry = json.loads((tmp_path / "comparison.json").read_text())["measured"][-1]
        return row.cells[0].mean, entry["chosen"]

    mean, chosen = compared(digits)
    others = replace(digits, test=replace(digits.test, labels=digits.test.labels[::-1].copy()))
    other_mean, other_chosen = compared(others)
    assert chosen == other_chosen
    assert mean != other_mean


@pytest.mark.slow
def test_nothing_is_measured_twice(digits, run, tmp_path, monkeypatch):
    measured = []
    evaluate, measure, train = doors.evaluate, doors.measure, doors.transfer
    monkeypatch.setattr(
        doors, "evaluate", lambda *of, **more: measured.append("ridge") or evaluate(*of, **more)
    )
    monkeypatch.setattr(
        doors, "measure", lambda *of, **more: measured.append("ridge") or measure(*of, **more)
    )
    monkeypatch.setattr(
        doors, "transfer", lambda *of, **more: measured.append("train") or train(*of, **more)
    )

    def compared(run=run, **changed):
        measured.clear()
        options = {"baselines": ("random",), "settings": SETTINGS, "seeds": 2} | changed
        return compare(
            [("run", run, digits)],
            kernels=(KERNEL,),
            networks=(NETWORK,),
            key=KEY,
            folder=tmp_path,
            **options,
        )

    first = compared()
    assert sorted(measured) == ["ridge"] * 3 + ["train"] * 3
    assert compared() == first
    assert measured == []
    more = compared(settings=replace(SETTINGS, steps=6))
    assert measured == ["train"] * 3
    assert [row.cells[0] for row in more.rows] == [row.cells[0] for row in first.rows]
    compared(replace(run, labels=2 * run.labels))  # the baselines are the same as before
    assert measured == ["ridge", "train"]
    compared(seeds=1)
    assert sorted(measured) == ["ridge"] * 2 + ["train"] * 2
    (tmp_path / "comparison.json").write_text('{"measured": [{}]}')
    with pytest.raises(kd.DamagedFileError, match="remove it"):
        compared()


def test_files(tmp_path):
    comparison = Comparison(
        ("fc1 ntk", "a | b"),
        (
            Row(
                "runs/$x", "mnist, zca", 10, False, (Measured((0.5,), 10), Measured((0.9, 0.8), 10))
            ),
            Row("full", "mnist, none", 60000, True, (Measured((0.25,), 5000), Failed("died"))),
        ),
        seeds=2,
    )
    save_comparison(tmp_path, comparison, title="mnist")
    assert text_table(comparison) == [
        ("learned from", "data", "images", "fc1 ntk (%)", "a | b (%)"),
        ("runs/$x", "mnist, zca", "10", "50.00", "85.00 ± 7.07"),
        ("full", "mnist, none", "60,000", "25.00 (of 5,000 images)", "failed"),
    ]
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[0] == r"| learned from | data | images | fc1 ntk (%) | a \| b (%) |"
    assert lines[1] == "| --- | ---: | ---: | ---: | ---: |"
    assert lines[4:] == ["", "Mean ± standard deviation of 2 trainings, or draws of a random set."]
    with open(tmp_path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["a | b"]) == pytest.approx(0.85)
    assert float(rows[0]["a | b deviation"]) == pytest.approx(np.std([0.9, 0.8], ddof=1))
    assert (rows[1]["fc1 ntk images"], rows[1]["a | b"]) == ("5000", "")
    assert (rows[0]["a | b failed"], rows[1]["a | b failed"]) == ("", "died")
    assert (tmp_path / "table.png").stat().st_size > 0


def test_kernels_of_one_name_tell_their_settings(digits, run, tmp_path):
    other = kd.kernels.FullyConnected(depth=1, w_std=1.2).kernel("ntk")
    deeper = kd.kernels.FullyConnected(depth=2).kernel("ntk")
    comparison = compare(
        [("run", run, digits)],
        baselines=(),
        kernels=(KERNEL, other, deeper),
        key=KEY,
        folder=tmp_path,
    )
    names = (f"fc1 ntk, w_std {KERNEL.architecture.w_std}", "fc1 ntk, w_std 1.2", "fc2 ntk")
    assert comparison.doors == names
    for kernel, cell in zip((KERNEL, other), comparison.rows[0].cells[:2], strict=True):
        assert cell.accuracies == (kd.evaluate(run, digits.test, kernel=kernel).accuracy,)


def test_what_is_refused(digits, run, tmp_path):
    def refused(match, data=digits, **options):
        with pytest.raises(kd.InputError, match=match):
            compare([("run", run, data)], key=KEY, folder=tmp_path, **options)

    refused("did you mean 'herding'", baselines=("herdin",), kernels=(KERNEL,))
    refused("seeds must be 1 or more", seeds=0)
    mixture = kd.kernels.mixture(KERNEL, kd.kernels.FullyConnected(depth=2).kernel("ntk"))
    refused("a mixture of .'fc1', 'fc2'.: give its members", kernels=(mixture,))
    refused("needs larger images than 8x8", networks=(kd.networks.named("vgg11"),))
    empty = replace(
        digits,
        validation=replace(
            digits.test, images=digits.test.images[:0], labels=digits.test.labels[:0]
        ),
    )
    refused("hold some out", data=empty, baselines=("optimised",), kernels=(KERNEL,))
    choice = replace(SETTINGS, factor=(0.1, 1.0))
    refused(
        "2 settings are to be compared",
        data=empty,
        baselines=(),
        networks=(NETWORK,),
        settings=choice,
    )
    wide = kd.networks.named("mlp", width=10**6)
    refused("mlp of width 1000000 takes about", networks=(NETWORK, wide))
    refused("nothing to measure with")
    refused("different names", kernels=(KERNEL, KERNEL))
    refused("32x32", kernels=(kd.kernels.named("myrtle5").kernel("ntk"),))
    with pytest.raises(kd.InputError, match="give one run or more"):
        compare([], kernels=(KERNEL,), key=KEY, folder=tmp_path)
    with pytest.raises(kd.InputError, match="does not say how its images were preprocessed"):
        compare([("run", replace(run, metadata={}), digits)], key=KEY, folder=tmp_path)
    assert not (tmp_path / "comparison.json").exists()
