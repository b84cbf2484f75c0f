"""Mixtures: one kernel drawn for each step."""

from collections import Counter

import jax
import numpy as np
import pytest

from kernel_distill import kernels
from kernel_distill._errors import InputError

pytestmark = pytest.mark.kernels

MEMBERS = tuple(kernels.FullyConnected(depth=depth).kernel() for depth in (1, 2, 3))


def test_every_member_is_drawn_as_often() -> None:
    mixture = kernels.mixture(*MEMBERS)
    keys = jax.random.split(jax.random.key(0), 300)
    drawn = [mixture.at(key) for key in keys]
    counts = Counter(drawn)
    assert set(counts) == set(mixture.members) == set(MEMBERS)
    # four standard deviations of a binomial of 300 draws with probability 1/3
    assert all(abs(count - 100) < 4 * (300 * 1 / 3 * 2 / 3) ** 0.5 for count in counts.values())
    assert [mixture.at(key) for key in keys[:50]] == drawn[:50]


def test_mixtures_of_mixtures() -> None:
    mixture = kernels.mixture(kernels.mixture(*MEMBERS[:2]), MEMBERS[2])
    assert mixture == kernels.mixture(*MEMBERS)
    assert kernels.mixture(MEMBERS[0]).at(jax.random.key(0)) is MEMBERS[0]


def test_a_mixture_is_no_kernel_itself() -> None:
    mixture = kernels.mixture(*MEMBERS)
    assert mixture.traceable
    x = np.ones((2, 3), np.float32)
    for arguments in ([x], [x, x]):
        with pytest.raises(InputError, match=r"no kernel by itself: draw one with kernel.at\(key"):
            mixture(*arguments)
    with pytest.raises(InputError, match="at least one kernel; got none"):
        kernels.mixture()
