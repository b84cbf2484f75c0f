"""Small data for the tests of KIP."""

import numpy as np
import pytest

from kernel_distill import data
from kernel_distill.kip import _distill


@pytest.fixture(scope="session")
def tiny() -> data.Dataset:
    """Three classes of 5x4 images with two channels, hard to tell apart; 90 to train on."""
    random = np.random.default_rng(0)
    labels = np.arange(130) % 3
    centres = random.standard_normal((3, 5, 4, 2))
    images = centres[labels] + 2.0 * random.standard_normal((130, 5, 4, 2))
    return data.from_arrays(
        images[:109], labels[:109], images[109:], labels[109:], validation_size=19
    )


@pytest.fixture(scope="session")
def tiny_without_validation(tiny) -> data.Dataset:
    train, test = tiny.train, tiny.test
    return data.from_arrays(
        train.images,
        train.labels,
        test.images,
        test.labels,
        validation_size=0,
        preprocessing="none",
    )


class Recorder:
    """In place of what is jitted: notes what each step is given, and moves nothing."""

    def __init__(self, monkeypatch):
        self.kernels, self.batches, self.augmented, self.precisions = [], [], [], []
        self.label_solve_rates, self.images = [], None
        monkeypatch.setattr(_distill, "natural_batch", self.natural_batch)
        monkeypatch.setattr(_distill, "jitted_step", self.step)

    def natural_batch(self, images, batch, *, augment_key, names):
        self.batches.append(np.asarray(batch))
        self.augmented.append(augment_key is not None)
        self.images = np.asarray(images)

    def step(self, kernel, update, support, state, *, label_solve_rate, **rest):
        self.kernels.append(kernel)
        self.label_solve_rates.append(label_solve_rate)
        self.precisions.append((support["images"].dtype.name, support["labels"].dtype.name))
        return support, state, {"finite": True, "loss": 0.0}


@pytest.fixture
def recorder(monkeypatch) -> Recorder:
    return Recorder(monkeypatch)
