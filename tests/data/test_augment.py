"""Augmentation against NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from kernel_distill import data
from kernel_distill._errors import UnknownNameError


def draw(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


# jitted throughout: without, each operation is compiled for itself
augment = jax.jit(data.augment, static_argnames="names")


@pytest.mark.parametrize("shape", [(5, 7, 11, 3), (1, 8, 8, 1), (3, 1, 2, 2), (0, 4, 4, 1)])
def test_shape_and_dtype_are_kept(shape):
    for name in data.AUGMENTATIONS:
        images = draw(shape)
        augmented = augment(jax.random.key(1), images, names=(name,))
        assert augmented.shape == shape
        assert augmented.dtype == images.dtype
        assert np.isfinite(augmented).all()


def test_jit_agrees():
    images, key = draw((5, 7, 11, 3)), jax.random.key(1)
    plain = data.augment(key, images, names=data.AUGMENTATIONS)
    np.testing.assert_allclose(plain, augment(key, images, names=data.AUGMENTATIONS), atol=1e-4)


@pytest.mark.parametrize("name", data.AUGMENTATIONS)
def test_each_image_is_drawn_on_its_own_and_by_the_key(name):
    images = jnp.tile(draw((1, 16, 16, 1)), (40, 1, 1, 1))
    first = augment(jax.random.key(0), images, names=(name,))
    again = augment(jax.random.key(0), images, names=(name,))
    other = augment(jax.random.key(1), images, names=(name,))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(np.asarray(first).reshape(40, -1), axis=0)) > (1 if name == "flip" else 5)


def test_no_names_is_the_identity():
    images = draw((3, 5, 5, 1))
    np.testing.assert_array_equal(augment(jax.random.key(0), images, names=()), images)


def test_flip_is_left_to_right_for_about_half():
    images = draw((400, 3, 4, 2))
    flipped = np.asarray(augment(jax.random.key(0), images, names=("flip",)))
    as_before = (flipped == images).all((1, 2, 3))
    mirrored = (flipped == images[:, :, ::-1]).all((1, 2, 3))
    assert (as_before ^ mirrored).all()
    # 200 +- 10 for a fair coin; five standard deviations
    assert 150 < mirrored.sum() < 250
    np.testing.assert_array_equal(
        augment(jax.random.key(0), jnp.asarray(flipped), names=("flip",)), images
    )


def test_shift_moves_by_whole_pixels_and_repeats_the_rim():
    images = draw((300, 32, 48, 2))
    shifted = np.asarray(augment(jax.random.key(0), images, names=("shift",)))
    padded = np.pad(images, ((0, 0), (2, 2), (3, 3), (0, 0)), mode="edge")
    found = set()
    for index in range(300):
        matches = [
            (row, column)
            for row in range(5)
            for column in range(7)
            if np.array_equal(padded[index, row : row + 32, column : column + 48], shifted[index])
        ]
        assert len(matches) == 1
        found.add(matches[0])
    assert len(found) == 35


def test_rotate_is_scipys_rotation_by_up_to_15_degrees():
    # odd sizes: the centre is a pixel
    image = np.asarray(draw((1, 13, 17, 1)))
    image = scipy.ndimage.gaussian_filter(image, (0, 1.5, 1.5, 0))
    rotated = np.asarray(
        augment(jax.random.key(3), jnp.tile(image, (60, 1, 1, 1)), names=("rotate",))
    )
    angles = np.linspace(-15, 15, 601)
    references = np.stack(
        [
            scipy.ndimage.rotate(image[0, ..., 0], angle, reshape=False, order=1, mode="nearest")
            for angle in angles
        ]
    )
    distance = np.abs(rotated[:, None, ..., 0] - references).max((2, 3))
    # the angles of the reference lie 0.05 degrees apart, at most 0.025 from the one drawn
    assert distance.min(1).max() < 2e-3
    nearest = angles[distance.argmin(1)]
    assert nearest.min() < -10
    assert nearest.max() > 10


def test_crop_samples_the_image_along_a_line():
    # on an image that is linear in row and column, a resized crop is linear too away from the rim
    row, column = np.mgrid[:32, :40].astype(np.float32)
    images = jnp.tile(jnp.asarray(np.stack([row, column], -1))[None], (200, 1, 1, 1))
    cropped = np.asarray(augment(jax.random.key(0), images, names=("crop",)))
    inner = cropped[:, 4:-4, 4:-4]
    slope_row, slope_column = np.diff(inner[..., 0], axis=1), np.diff(inner[..., 1], axis=2)
    share = slope_row[:, 0, 0]
    np.testing.assert_allclose(
        slope_row, np.broadcast_to(share[:, None, None], slope_row.shape), atol=1e-4
    )
    np.testing.assert_allclose(
        slope_column, np.broadcast_to(share[:, None, None], slope_column.shape), atol=1e-4
    )
    assert 0.75 <= share.min() + 1e-5 < 0.77
    assert 0.98 < share.max() <= 1 + 1e-5
    assert cropped[..., 0].min() >= 0
    assert cropped[..., 0].max() <= 31
    first = cropped[:, 16, 16, 0] - (16.5 * share - 0.5)  # the crop's upper edge
    assert first.min() > -1e-4
    assert (first <= 32 * (1 - share) + 1e-4).all()


def test_gradients_flow():
    images = draw((4, 8, 8, 1))

    def loss(images):
        return augment(jax.random.key(0), images, names=data.AUGMENTATIONS).sum()

    assert np.isfinite(jax.jit(jax.grad(loss))(images)).all()


def test_bad_input():
    images = draw((2, 4, 4, 1))
    with pytest.raises(UnknownNameError, match="did you mean 'rotate'"):
        data.augment(jax.random.key(0), images, names=("flip", "rotation"))
