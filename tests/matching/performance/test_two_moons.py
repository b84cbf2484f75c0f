"""Two moons: a table of two columns, for perceptrons of one, two and four hidden layers."""

import functools

import jax
import numpy as np
import pytest
from sklearn.datasets import make_moons

import kernel_distill as kd
from kernel_distill import matching
from kernel_distill._errors import NumericalError
from kernel_distill.matching.performance import follow
from kernel_distill.networks import named

NAMES = ("fc1", "fc2", "fc4")
SETTINGS = {
    "support_size": 40, "distilled_steps": 4, "epochs": 15, "batch_size": 100, "steps": 600,
    "learning_rate": 0.02, "inner_learning_rate": 0.5, "rate_learning_rate": 0.02,
    "validations": 20,
}  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def moons() -> kd.data.Dataset:
    train, test = (make_moons(1000, noise=0.1, random_state=seed) for seed in (0, 1))
    return kd.data.from_arrays(*train, *test, name="two moons")


@functools.cache
def _distilled(moons, name, others=()):
    return matching.distill(
        named(name, width=32), moons, method="unrolled", key=jax.random.key(0), others=others,
        **SETTINGS,
    ).distilled  # fmt: skip


def row(moons, distilled):
    """What networks of each kind learn, the mean of several where weights are random; NaN where
    they diverge: rates that suit a shallow network are too large for a deep one."""
    found = []
    for name in NAMES:
        try:
            followed = follow(distilled, named(name, width=32), key=jax.random.key(1))
            found.append(followed.accuracies(moons.test).mean())
        except NumericalError:
            found.append(np.nan)
    return np.array(found)


def test_each_perceptron_learns_most_from_its_own_set(moons):
    table = np.array([row(moons, _distilled(moons, name)) for name in NAMES])
    assert np.diag(table).min() >= 0.97, table
    assert np.array_equal(np.nanargmax(table, axis=1), range(3)), table


def test_a_set_for_all_of_them_teaches_each(moons):
    accuracies = row(moons, _distilled(moons, "fc1", others=NAMES[1:]))
    assert accuracies.min() >= 0.9, accuracies
