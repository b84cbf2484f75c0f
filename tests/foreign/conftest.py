"""Data sets to which the files of the tests belong, and torch where it is there."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from kernel_distill import data
from kernel_distill.artefact import Distilled
from kernel_distill.kernels import named


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


def _distilled_of(dataset: data.Dataset, /, *, per_class: int = 2, **metadata) -> Distilled:
    """Some images of each class, changed a little, with learned labels, not in their order."""
    random = np.random.default_rng(0)
    classes = dataset.train.labels
    chosen = [np.flatnonzero(classes == c)[:per_class] for c in range(dataset.num_classes)]
    rows = random.permutation(np.concatenate(chosen))
    images, labels = dataset.train.images[rows], data.one_hot(classes[rows], dataset.num_classes)
    noise = [0.01 * random.standard_normal(array.shape) for array in (images, labels)]
    known = {
        "method": "kip",
        "step": 5,
        "dataset": dataset.to_metadata(),
        "architecture": named("convnet").to_metadata(),
        "architectures": [named("convnet").to_metadata() | {"kernel": "ntk"}],
        "preprocessing": dataset.preprocessing.to_metadata(),
        "settings": {"augment": ["flip"]},
        "metrics": {"test_accuracy": 0.875, "validation_accuracy": None},
    }
    return Distilled(
        (images + noise[0]).astype(np.float32),
        (labels + noise[1]).astype(np.float32),
        known | metadata,
    )


@pytest.fixture(scope="session")
def distilled_of() -> Callable[..., Distilled]:
    """Makes a set of a data set: `distilled_of(dataset, per_class=1, step=7)`."""
    return _distilled_of


@pytest.fixture(scope="session")
def distilled(digits) -> Distilled:
    return _distilled_of(digits)


@pytest.fixture
def torch() -> ModuleType:
    return pytest.importorskip(
        "torch",
        reason="reading .pt files needs torch, which the tests do without (it is large): "
        "pip install 'kernel-distill[torch]'",
    )
