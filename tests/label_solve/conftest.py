"""Small data for the tests of Label Solve."""

import numpy as np
import pytest

from kernel_distill import data


@pytest.fixture(scope="session")
def tiny() -> data.Dataset:
    """Three classes of 5x4 images with two channels; 97 to train on, a prime."""
    random = np.random.default_rng(0)
    labels = np.arange(130) % 3
    centres = random.standard_normal((3, 5, 4, 2))
    images = centres[labels] + 1.5 * random.standard_normal((130, 5, 4, 2))
    return data.from_arrays(
        images[:109], labels[:109], images[109:], labels[109:], validation_size=12
    )
