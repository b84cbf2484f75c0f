"""Small data, and a network whose training is a line of NumPy."""

import math

import numpy as np
import pytest
from flax import nnx

from kernel_distill import data
from kernel_distill.networks import Network


class Linear(Network):
    """A dense layer on pixels or features."""

    def module(self, image_shape, *, num_classes, key):
        return Flat(math.prod(image_shape), num_classes, rngs=nnx.Rngs(key))


class Flat(nnx.Linear):
    def __call__(self, x):
        return super().__call__(x.reshape(len(x), -1))


@pytest.fixture(scope="session")
def linear() -> Network:
    return Linear("linear", None)


@pytest.fixture(scope="session")
def rows() -> data.Dataset:
    """Three classes of rows of four features, 60 to train on."""
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    images = random.standard_normal((3, 4))[labels] + random.standard_normal((90, 4))
    return data.from_arrays(images[:70], labels[:70], images[70:], labels[70:], validation_size=10)
