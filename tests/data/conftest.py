"""Data for the tests of `kernel_distill.data`."""

import numpy as np
import pytest


@pytest.fixture
def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Sixty grey 5x7 images of three classes, floats in [0, 1]."""
    random = np.random.default_rng(0)
    return random.random((60, 5, 7, 1), np.float32), np.arange(60) % 3
