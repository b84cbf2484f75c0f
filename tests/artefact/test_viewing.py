"""What images are given to be looked at."""

import numpy as np
import pytest

from kernel_distill.artefact import Contrast


def drawn(count, shape=(5, 4, 3), seed=0):
    """Images of quite different means and norms."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(count, *shape)) * rng.uniform(0.2, 3, (count, 1, 1, 1))
    return (images + rng.normal(size=(count, 1, 1, 1))).astype(np.float32)


def means_and_norms(images):
    rows = images.reshape(len(images), -1).astype(np.float64)
    return rows.mean(axis=1), np.linalg.norm(rows - rows.mean(axis=1, keepdims=True), axis=1)


def test_each_image_gets_the_contrast_of_its_own_start():
    natural, learned = drawn(7), 0.01 * drawn(7, seed=1)
    given = Contrast.of(natural).give(learned)
    assert (given.shape, given.dtype) == (natural.shape, np.float32)
    for found, expected in zip(means_and_norms(given), means_and_norms(natural), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_what_is_not_learned_stays_to_the_bit_and_what_is_begins_there():
    natural = drawn(7)
    contrast = Contrast.of(natural)
    np.testing.assert_array_equal(contrast.give(natural), natural)
    one_learned = natural.copy()
    one_learned[3] += 1e-4 * drawn(1, seed=1)[0]
    given = contrast.give(one_learned)
    others = np.arange(7) != 3
    np.testing.assert_array_equal(given[others], natural[others])
    np.testing.assert_allclose(given[3], natural[3], atol=2e-3)


@pytest.mark.parametrize("count", [1, 2_501])
def test_the_average_is_that_of_all_images(count):
    natural = drawn(count, shape=(2, 2, 1))
    given = Contrast.of(natural).average().give(drawn(3, shape=(2, 2, 1), seed=1))
    for found, all_found in zip(means_and_norms(given), means_and_norms(natural), strict=True):
        np.testing.assert_allclose(found, np.full(3, all_found.mean()), rtol=1e-5, atol=1e-6)


def test_tables_and_images_of_one_value_are_no_trouble():
    table = drawn(3).reshape(3, -1)
    assert Contrast.of(table).average().give(table) is table
    flat = np.ones((2, 3, 3, 1), np.float32)
    given = Contrast.of(flat).give(drawn(2, (3, 3, 1)))
    np.testing.assert_allclose(given, flat, atol=1e-6)
    assert np.isfinite(Contrast.of(drawn(2, (3, 3, 1))).give(flat)).all()
