"""Small data for the tests of matching, and a method of three lines."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import data
from kernel_distill.matching import METHODS, MatchingSettings
from kernel_distill.matching._method import Found, Method


@pytest.fixture(scope="session")
def tiny() -> data.Dataset:
    """Three classes of 6x5 images with two channels; 90 to train on."""
    random = np.random.default_rng(0)
    labels = np.arange(130) % 3
    centres = random.standard_normal((3, 6, 5, 2))
    images = centres[labels] + 1.5 * random.standard_normal((130, 6, 5, 2))
    return data.from_arrays(
        images[:109], labels[:109], images[109:], labels[109:], validation_size=19
    )


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    return data.load("digits")


@dataclass(frozen=True)
class MeansSettings(MatchingSettings):
    noise: float = 0.1
    """Of the walk that the memory goes."""


class Means(Method[MeansSettings]):
    """Draws each image towards the mean of a batch of its class, and carries a random walk."""

    name = "means"
    settings_type = MeansSettings

    def memory(self, support, *, key):
        return {"walk": jnp.zeros(3), "key": key}

    def gradient(self, support, memory, *, step, key):
        batch = data.ClassBalanced(self.data.train).draw(key, self.settings.batch_size)
        means = jnp.stack(
            [self.images[batch[self.data.train.labels[batch] == c]].mean(axis=0) for c in range(3)]
        )

        def loss(images):
            wanted = means[support["labels"].argmax(axis=1)]
            return 0.5 * jnp.sum((images - wanted + memory["walk"][0]) ** 2)

        value, gradient = jax.value_and_grad(loss)(support["images"])
        learned = {"images": gradient}
        if self.settings.learn_labels:
            learned["labels"] = 0.1 * support["labels"]
        return Found(learned, memory, {"loss": value})

    def after(self, support, memory, *, step, key):
        walk = memory["walk"] + self.settings.noise * jax.random.normal(key, (3,))
        return memory | {"walk": walk}


@pytest.fixture
def means(monkeypatch) -> type[Means]:
    monkeypatch.setitem(METHODS, "means", Means)
    return Means
