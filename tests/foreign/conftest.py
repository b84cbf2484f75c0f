"""Data sets to which the files of the tests belong, and torch where it is there."""

from types import ModuleType

import numpy as np
import pytest

from kernel_distill import data


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    return data.load("digits")


@pytest.fixture(scope="session")
def cifar10(natural) -> data.Dataset:
    """Of that name, with every fourth pixel of 300 images."""
    return data.from_arrays(
        natural.cifar10_images[:, 2::4, 2::4], natural.cifar10_labels, name="cifar10"
    )


@pytest.fixture
def support(digits) -> tuple[np.ndarray, np.ndarray]:
    """Two images of each digit, standardised [20, 8, 8, 1], and their classes."""
    chosen = np.concatenate([np.flatnonzero(digits.train.labels == c)[:2] for c in range(10)])
    return digits.train.images[chosen], digits.train.labels[chosen]


@pytest.fixture
def torch() -> ModuleType:
    return pytest.importorskip(
        "torch",
        reason="reading .pt files needs torch, which the tests do without (it is large): "
        "pip install 'kernel-distill[torch]'",
    )
