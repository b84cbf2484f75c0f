"""Class-balanced draws."""

import jax
import numpy as np
import pytest

from kernel_distill._errors import InputError
from kernel_distill.data import ClassBalanced, Split, numpy_generator


def split(counts):
    """Labels with so many of each class, in a scrambled order."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    return Split(
        np.zeros((len(labels), 1), np.float32), labels.astype(np.int32), len(counts), "fingerprint"
    )


def drawn_counts(counts, size, seed=0):
    part = split(counts)
    indices = ClassBalanced(part).draw(jax.random.key(seed), size)
    assert len(indices) == len(set(indices.tolist())) == size
    return np.bincount(part.labels[indices], minlength=len(counts)).tolist()


@pytest.mark.parametrize(
    ("counts", "size", "expected"),
    [
        ([10, 10, 10], 12, [4, 4, 4]),
        ([10, 10, 10], 30, [10, 10, 10]),
        ([10, 10, 10], 0, [0, 0, 0]),
        ([2, 10, 10], 18, [2, 8, 8]),  # a class runs out, the others fill its place
        ([1, 3, 100], 104, [1, 3, 100]),
        ([1, 3, 100], 20, [1, 3, 16]),
        ([0, 5, 5], 6, [0, 3, 3]),  # a class without examples
        ([7], 3, [3]),
    ],
)
def test_quotas(counts, size, expected):
    assert drawn_counts(counts, size) == expected


@pytest.mark.parametrize(
    ("counts", "size"),
    [([10, 10, 10], 11), ([2, 10, 10, 10], 12), ([1] * 100, 37), ([9, 8, 7], 23)],
)
def test_remainders_go_to_classes_that_are_drawn(counts, size):
    extra = np.zeros(len(counts))
    for seed in range(40):
        got = np.array(drawn_counts(counts, size, seed))
        # no class could give one to another that has two fewer
        for giver in range(len(counts)):
            takers = [c for c in range(len(counts)) if got[c] < counts[c]]
            assert all(got[giver] - got[taker] <= 1 for taker in takers)
        extra += got == got.max()
    assert (extra[np.array(counts) > got.min()] > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_quotas_of_random_counts_are_the_fairest(seed):
    """Water filling: the quotas are min(count, level), but for the remainder."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, 30, size=13)
    size = int(random.integers(1, counts.sum()))
    level = max(level for level in range(31) if np.minimum(counts, level).sum() <= size)
    full = np.minimum(counts, level)
    got = np.array(drawn_counts(counts, size, seed))
    assert set(got - full) <= {0, 1}
    assert got.sum() == size


def test_draws_follow_the_key():
    balanced = ClassBalanced(split([20, 20]))
    one, again, other = (balanced.draw(jax.random.key(seed), 10).tolist() for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_every_example_is_as_likely_as_another_of_its_class():
    balanced = ClassBalanced(split([8, 4]))
    times = np.zeros(12)
    for seed in range(400):
        times[balanced.draw(jax.random.key(seed), 4)] += 1
    labels = split([8, 4]).labels
    # two of each class a draw: 100 and 200 expected, standard deviations 8.7 and 10
    assert (np.abs(times[labels == 0] - 100) < 40).all()
    assert (np.abs(times[labels == 1] - 200) < 45).all()


def test_more_than_there_are():
    with pytest.raises(InputError, match=r"cannot draw 7 examples .*: there are 6"):
        ClassBalanced(split([3, 3])).draw(jax.random.key(0), 7)


def test_numpy_generator_takes_every_kind_of_key():
    values = {
        float(numpy_generator(key).random())
        for key in (
            jax.random.key(0),
            jax.random.key(1),
            jax.random.key(7, impl="rbg"),
            jax.random.fold_in(jax.random.key(0), 1),
        )
    }
    assert len(values) == 4
    # and, like the rest of a run, the same with and without 64 bits
    with jax.enable_x64(True):
        assert float(numpy_generator(jax.random.key(0)).random()) in values
