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
    rank_correlations,
    transfer,
)
from kernel_distill.transfer import _continual as module

NETWORK = kd.networks.named("fc1", width=64)
SETTINGS = TrainingSettings(steps=60, l2=(0.0,), label_scale=(4.0,))


def test_rank_correlation_by_hand():
    """1 - 6 sum d^2 / (n (n^2 - 1)) without ties."""

    def row(name, *means):
        return Row(
            name, "mnist", 10, tuple(Measured((mean - 0.01, mean + 0.01), 10) for mean in means)
        )

    full = row("full", 0.9, 0.95, 0.97, 0.99)
    rows = (
        row("same", 0.1, 0.2, 0.3, 0.4),
        row("opposite", 0.4, 0.3, 0.2, 0.1),
        row("two exchanged", 0.1, 0.2, 0.4, 0.3),  # d^2 sums to 2
        row("equal", 0.3, 0.3, 0.3, 0.3),
        replace(row("failed", 0.1, 0.2, 0.3, 0.4), cells=(*full.cells[:3], Failed("diverged"))),
    )
    doors = ("a", "b", "c", "d")
    found = rank_correlations(Comparison(doors, (*rows, full)))
    expected = {
        "same": 1.0, "opposite": -1.0, "two exchanged": 0.8, "equal": None, "failed": None
    }  # fmt: skip
    assert found == pytest.approx(expected)
    with pytest.raises(kd.InputError, match="add 'full'"):
        rank_correlations(Comparison(doors, rows))
    with pytest.raises(kd.InputError, match="three networks or more"):
        rank_correlations(Comparison(doors, (replace(full, cells=(*full.cells[:2], None, None)),)))


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
        classes = found.classes[number // 4]
        assert np.bincount(memory.labels.argmax(axis=1), minlength=10).tolist() == (
            [2] * classes + [0] * (10 - classes)
        )
        assert (memory.labels[:, classes:] == np.float32(-0.1)).all()
        assert set(data.test.labels) == set(data.validation.labels) == set(range(classes))
    # all classes met, it is a training on the whole set
    whole = transfer(
        NETWORK, given, digits, settings=SETTINGS, seeds=1, key=jax.random.split(key, 2)[0]
    )
    assert found.accuracies["distilled"][0, 2] == pytest.approx(whole.mean, abs=0.02)
    # twenty images teach something; four classes are easier than ten
    assert (
        found.accuracies["distilled"][:, 0].mean()
        > found.accuracies["distilled"][:, 2].mean()
        > 0.4
    )


def test_what_is_refused(digits, natural_set):
    given = natural_set(20, seed=1)

    def refused(match, distilled=given, **options):
        with pytest.raises(kd.InputError, match=match):
            continual(NETWORK, distilled, digits, key=jax.random.key(0), **options)

    refused("tasks must be 1 to 10, the number of classes; got 11", tasks=11)
    few = replace(given, images=given.images[:5], labels=given.labels[:5])
    refused("the distilled set has none of", distilled=few)
