"""The digits, and natural images of them as distilled sets."""

from collections.abc import Callable
from typing import Any

import jax
import pytest

import kernel_distill as kd


@pytest.fixture(scope="session")
def digits() -> kd.data.Dataset:
    return kd.data.load("digits")


@pytest.fixture(scope="session")
def natural_set(digits: kd.data.Dataset) -> Callable[..., kd.Distilled]:
    """Makes a distilled set of so many natural images, drawn by a seed, with further metadata."""

    def make(count: int, *, seed: int, **metadata: Any) -> kd.Distilled:
        chosen = kd.data.ClassBalanced(digits.train).draw(jax.random.key(seed), count)
        return kd.Distilled(
            digits.train.images[chosen],
            kd.data.one_hot(digits.train.labels[chosen], 10),
            {"preprocessing": digits.preprocessing.to_metadata(), **metadata},
        )

    return make
