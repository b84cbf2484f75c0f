"""The support that KIP begins with."""

import jax
import numpy as np
import pytest

from kernel_distill import kip
from kernel_distill.kernels import FullyConnected

KERNEL = FullyConnected(depth=1).kernel("ntk")
KEY = jax.random.key(5)


def test_first_support_is_of_the_training_set_and_balanced(tiny):
    result = kip.distill(KERNEL, tiny, key=KEY, images_per_class=4, steps=0)
    initial = result.initial
    assert np.array_equal(result.distilled.images, initial.images)
    classes = initial.labels.argmax(axis=1)
    assert classes.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    np.testing.assert_allclose(initial.labels, np.eye(3)[classes] - 1 / 3, atol=1e-7)
    index = [
        np.flatnonzero((tiny.train.images == image).all(axis=(1, 2, 3))) for image in initial.images
    ]
    assert all(len(found) == 1 for found in index)
    assert np.array_equal(tiny.train.labels[np.concatenate(index)], classes)


def test_default_is_one_image_per_class(tiny):
    assert len(kip.distill(KERNEL, tiny, key=KEY, steps=0).distilled) == 3


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "natural"),
        ({"start": "herding"}, "natural"),
        ({"start": "noise"}, "initial"),
        ({"corruption": 0.5}, "initial"),
    ],
)
def test_noise_is_not_called_natural(tiny, settings, name):
    assert kip.distill(KERNEL, tiny, key=KEY, steps=0, **settings).initial_name == name


def test_start_from_noise(tiny):
    def start(key):
        return kip.distill(
            KERNEL, tiny, key=key, images_per_class=20, steps=0, start="noise"
        ).initial.images

    images = start(KEY)
    assert np.array_equal(images, start(KEY))
    assert not np.array_equal(images, start(jax.random.key(6)))
    # Gaussian, of the magnitude of the training images: 60 x 40 draws
    magnitude = np.sqrt(np.mean(tiny.train.images**2))
    assert images.std() == pytest.approx(magnitude, rel=0.05)
    assert abs(images.mean()) < 0.08 * magnitude
    assert np.mean(images**4) / np.mean(images**2) ** 2 == pytest.approx(3, rel=0.15)


def test_start_from_herded_images(tiny):
    def start(size):
        result = kip.distill(
            KERNEL, tiny, key=KEY, support_size=size, steps=0, start="herding", learn_labels=False
        )
        return result.initial.images, result.initial.labels.argmax(axis=1)

    images, classes = start(7)
    assert sorted(np.bincount(classes)) == [2, 2, 3]
    for label in range(3):
        of_class = tiny.train.images[tiny.train.labels == label]
        rows = of_class.reshape(len(of_class), -1)
        distances = np.linalg.norm(rows - rows.mean(axis=0), axis=1)
        # herding's first image is the one nearest to the mean
        assert np.array_equal(images[classes == label][0], of_class[distances.argmin()])
    all_images, _ = start(len(tiny.train))
    assert len(np.unique(all_images, axis=0)) == len(np.unique(tiny.train.images, axis=0))


def test_corrupted_pixels_stay_at_their_noise(tiny_without_validation):
    corruption = 0.3
    settings = {"key": KEY, "images_per_class": 2, "steps": 4}
    natural = kip.distill(KERNEL, tiny_without_validation, **settings).initial.images
    noise = kip.distill(KERNEL, tiny_without_validation, start="noise", **settings).initial.images
    result = kip.distill(KERNEL, tiny_without_validation, corruption=corruption, **settings)
    initial, final = (each.images.reshape(6, -1) for each in (result.initial, result.distilled))
    stayed = initial == final
    assert (stayed.sum(axis=1) == round(corruption * 40)).all()
    assert np.array_equal(initial[stayed], noise.reshape(6, -1)[stayed])
    assert np.array_equal(initial[~stayed], natural.reshape(6, -1)[~stayed])
    assert len(np.unique(stayed, axis=0)) > 1  # other pixels in other images
