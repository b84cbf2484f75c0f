"""What a distilled set is good for: choosing architectures, remembering."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import kernel_distill as kd
from kernel_distill.transfer import (
    Comparison,
    Failed,
    Measured,
    Row,
    TrainingSettings,
    continual,
    doubts,
    rank_correlations,
    transfer,
)
from kernel_distill.transfer import _continual as module

NETWORK = kd.networks.named("fc1", width=64)
SETTINGS = TrainingSettings(steps=60, l2=(0.0,), label_scale=(4.0,))


def test_rank_correlation_by_hand():
    """1 - 6 sum d^2 / (n (n^2 - 1)) without ties."""

    def row(name, *means, baseline=False):
        cells = tuple(Measured((mean - 0.01, mean + 0.01), 10) for mean in means)
        return Row(name, "mnist", 10, baseline, cells)

    full = row("full", 0.9, 0.95, 0.97, 0.99, baseline=True)
    rows = (
        row("same", 0.1, 0.2, 0.3, 0.4),
        row("opposite", 0.4, 0.3, 0.2, 0.1),
        row("two exchanged", 0.1, 0.2, 0.4, 0.3),  # d^2 sums to 2
        row("equal", 0.3, 0.3, 0.3, 0.3),
        # the mean of 0.1, 0.2, 0.3 is not that of 0.3, 0.2, 0.1 to the last bit
        Row(
            "tied",
            "mnist",
            10,
            False,
            tuple(
                Measured(each, 10) for each in ((0.1, 0.2, 0.3), (0.3, 0.2, 0.1), (0.4,), (0.5,))
            ),
        ),
        replace(row("failed", 0.1, 0.2, 0.3, 0.4), cells=(*full.cells[:3], Failed("diverged"))),
        row("full", 0.1, 0.2, 0.4, 0.3),  # a run of that name
    )

    def of(rows):
        return Comparison(("a", "b", "c", "d"), tuple(rows), seeds=2)

    found = rank_correlations(of((*rows, full)))
    assert [row for row, _ in found] == list(rows)
    assert {row.name: value for row, value in found} == pytest.approx(
        {
            "same": 1.0,
            "opposite": -1.0,
            "two exchanged": 0.8,
            "equal": None,
            "tied": 4.5 / np.sqrt(4.5 * 5),  # Pearson's of the ranks 1.5, 1.5, 3, 4 and 1, 2, 3, 4
            "failed": None,
            "full": 0.8,
        }
    )
    constant = replace(full, cells=rows[3].cells)
    assert rank_correlations(of((rows[0], constant))) == [(rows[0], None)]
    other = replace(full, data="fashion")
    with pytest.raises(kd.InputError, match="ranked on one data set; got mnist, fashion"):
        rank_correlations(of((rows[0], full, rows[1], other)))
    with pytest.raises(kd.InputError, match="add 'full'"):
        rank_correlations(of(rows))
    with pytest.raises(kd.InputError, match="three networks or more"):
        rank_correlations(of((replace(full, cells=(*full.cells[:2], None, None)),)))


def test_doubts_of_the_ranking():
    def row(name, *accuracies, baseline=False):
        cells = tuple(Measured(each, 10) for each in accuracies)
        return Row(name, "mnist", 10, baseline, cells)

    full = row("full", (0.9, 0.92), (0.5, 0.5), (0.905, 0.925), baseline=True)
    rows = row("run", (0.8,), (0.6,), (0.9,)), row("random", (0.1,), (0.5,), (0.6,)), full
    lower, alike = doubts(Comparison(("a", "b", "c"), rows, seeds=2))
    assert lower.startswith("b reaches less on all images than on those of run: ")
    assert "do not tell a and c apart" in alike  # 0.91 and 0.915, with deviations of 0.014
    settled = row("full", (0.9, 0.9), (0.7, 0.71), (0.95, 0.96), baseline=True)
    assert doubts(Comparison(("a", "b", "c"), (rows[0], settled), seeds=2)) == []


@pytest.mark.slow
def test_the_memory_is_what_has_been_met(digits, natural_set, monkeypatch):
    seen = []

    def watched(network, memory, data, **options):
        seen.append((memory, data))
        return transfer(network, memory, data, **options)

    monkeypatch.setattr(module, "transfer", watched)
    given = natural_set(20, seed=1)
    # a learned label speaks of all classes; of those not met yet it must not
    given = replace(given, labels=given.labels + 0.01 * np.arange(10, dtype=np.float32))
    key = jax.random.key(3)
    found = continual(NETWORK, given, digits, tasks=3, settings=SETTINGS, seeds=2, key=key)
    assert found.classes == (4, 7, 10)
    assert {name: each.shape for name, each in found.accuracies.items()} == {
        "distilled": (2, 3), "random": (2, 3)
    }  # fmt: skip
    for number, (memory, data) in enumerate(seen):
        classes = found.classes[number % 3]
        assert np.bincount(memory.labels.argmax(axis=1), minlength=10).tolist() == (
            [2] * classes + [0] * (10 - classes)
        )
        assert (memory.labels[:, classes:] == np.float32(-0.1)).all()
        assert set(data.test.labels) == set(data.validation.labels) == set(range(classes))
    # all classes met, it is a training on the whole set
    _, train_key = jax.random.split(jax.random.split(key, 2)[0])
    whole = transfer(NETWORK, given, digits, settings=SETTINGS, seeds=1, key=train_key)
    assert found.accuracies["distilled"][0, 2] == pytest.approx(whole.mean, abs=0.02)
    only = {"factor": 1.0, "l2": 0.0, "label_scale": 4.0}
    assert found.to_json()["chosen"] == {name: [[only] * 3] * 2 for name in ("distilled", "random")}
    assert found.distilled == given.sha256
    # twenty images teach something; four classes are easier than ten
    assert (
        found.accuracies["distilled"][:, 0].mean()
        > found.accuracies["distilled"][:, 2].mean()
        > 0.4
    )


def test_the_random_memory_has_as_many_of_each_class(digits, natural_set):
    """Learned labels may have moved an image to another class."""
    given = natural_set(20, seed=1)
    labels = given.labels.copy()
    labels[0] = labels[-1]
    given = replace(given, labels=labels)
    memory = module._random_memory(
        given, digits, np.bincount(labels.argmax(axis=1), minlength=10), jax.random.key(2)
    )
    assert np.bincount(memory.labels.argmax(axis=1)).tolist() == [1, *[2] * 8, 3]
    train = digits.train
    natural = {
        image.tobytes(): label for image, label in zip(train.images, train.labels, strict=True)
    }
    found = [natural[image.tobytes()] for image in memory.images]
    assert found == memory.labels.argmax(axis=1).tolist()


def test_what_is_refused(digits, natural_set):
    given = natural_set(20, seed=1)

    def refused(match, distilled=given, **options):
        with pytest.raises(kd.InputError, match=match):
            continual(NETWORK, distilled, digits, key=jax.random.key(0), **options)

    refused("tasks must be 1 to 10, the number of classes; got 11", tasks=11)
    refused("seeds must be 1 or more; got 0", seeds=0)
    train = digits.train
    scarce = np.append(np.flatnonzero(train.labels != 3), np.flatnonzero(train.labels == 3)[0])
    part = replace(train, images=train.images[scarce], labels=train.labels[scarce])
    with pytest.raises(kd.InputError, match="class '3' has 1, and 2 in the set"):
        continual(NETWORK, given, replace(digits, train=part), key=jax.random.key(0))
    few = replace(given, images=given.images[:5], labels=given.labels[:5])
    refused("the distilled set has none of", distilled=few)
