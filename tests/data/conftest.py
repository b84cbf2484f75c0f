"""Data for the tests of `kernel_distill.data`."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def natural_arrays() -> dict[str, np.ndarray]:
    """The committed natural images: mnist_images, mnist_labels, cifar10_images, cifar10_labels."""
    with np.load(Path(__file__).parents[1] / "fixtures" / "natural_images.npz") as file:
        return dict(file)


@pytest.fixture
def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Sixty grey 5x7 images of three classes, floats in [0, 1]."""
    random = np.random.default_rng(0)
    return random.random((60, 5, 7, 1), np.float32), np.arange(60) % 3
