"""Augmentation against NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from kernel_distill import data
from kernel_distill._errors import UnknownNameError
from kernel_distill.data import _geometry, _intensity


def draw(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


# jitted throughout: without, each operation is compiled for itself
augment = jax.jit(data.augment, static_argnames="names")


@pytest.mark.parametrize(
    "shape",
    [
        (5, 7, 11, 3),
        *(pytest.param(shape, marks=pytest.mark.slow) for shape in ((1, 8, 8, 1), (3, 1, 2, 2))),
        (0, 4, 4, 1),
    ],
)
def test_shape_and_dtype_are_kept(shape):
    images = draw(shape)
    augmented = augment(jax.random.key(1), images, names=data.AUGMENTATIONS)
    assert augmented.shape == shape
    assert augmented.dtype == images.dtype
    assert np.isfinite(augmented).all()


def test_jit_agrees():
    images, key, names = draw((5, 7, 11, 3)), jax.random.key(1), ("flip", "cutout")
    plain = data.augment(key, images, names=names)
    np.testing.assert_allclose(plain, augment(key, images, names=names), atol=1e-4)


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


def test_scale_is_scipys_affine_transform():
    # on an image that is linear in row and column, the factors are the slopes away from the rim
    row, column = np.mgrid[:13, :17].astype(np.float32)
    plane = jnp.asarray(np.stack([row, column], -1))[None]
    image = draw((1, 13, 17, 2))
    key, many = jax.random.key(5), (60, 1, 1, 1)
    slopes = np.asarray(augment(key, jnp.tile(plane, many), names=("scale",)))
    scaled = np.asarray(augment(key, jnp.tile(image, many), names=("scale",)))
    factors = np.stack(
        [slopes[:, 7, 8, 0] - slopes[:, 6, 8, 0], slopes[:, 6, 9, 1] - slopes[:, 6, 8, 1]], -1
    )
    middle = np.array([6, 8])
    for index, (vertical, horizontal) in enumerate(factors):
        expected = [
            scipy.ndimage.affine_transform(
                np.asarray(image[0, ..., channel]),
                [vertical, horizontal],
                middle - middle * [vertical, horizontal],
                order=1,
                mode="nearest",
            )
            for channel in range(2)
        ]
        np.testing.assert_allclose(scaled[index], np.stack(expected, -1), atol=1e-4)
    # the range of DSA's code, of each side by itself
    assert (factors.min(0) < 0.87).all()
    assert (factors.max(0) > 1.16).all()
    assert factors.min() > 1 / 1.2 - 1e-5
    assert factors.max() < 1.2 + 1e-5
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.4


def test_colour_is_brightness_saturation_contrast():
    """The three numbers of a draw, told by images that show one of them, explain any image."""
    key, many = jax.random.key(2), (80, 1, 1, 1)
    black = jnp.zeros((1, 4, 5, 3))
    grey = jnp.tile(jnp.asarray([1.0, -1.0])[None, None, :, None], (1, 4, 2, 3))
    red = jnp.tile(jnp.asarray([1.0, 0.0, -1.0]), (1, 4, 4, 1))
    image = draw((1, 4, 5, 3))
    changed = {
        name: np.asarray(augment(key, jnp.tile(each, many), names=("colour",)))
        for name, each in {"black": black, "grey": grey, "red": red, "image": image}.items()
    }
    brightness = changed["black"][:, 0, 0, 0]
    contrast = np.ptp(changed["grey"], axis=(1, 2, 3)) / 2
    saturation = np.ptp(changed["red"], axis=(1, 2, 3)) / 2 / contrast
    numbers = zip(brightness, saturation, contrast, changed["image"], strict=True)
    for added, colourful, strong, got in numbers:
        # equations of DSA's code, in its order
        expected = np.asarray(image[0], np.float64) + added
        channels = expected.mean(2, keepdims=True)
        expected = (expected - channels) * colourful + channels
        expected = (expected - expected.mean()) * strong + expected.mean()
        np.testing.assert_allclose(got, expected, atol=1e-5)
    for values, least, most in ((brightness, -0.5, 0.5), (saturation, 0, 2), (contrast, 0.5, 1.5)):
        reach = 0.1 * (most - least)
        assert least - 1e-5 <= values.min() < least + reach
        assert most + 1e-5 >= values.max() > most - reach
    assert (np.abs(np.corrcoef([brightness, saturation, contrast]) - np.eye(3)) < 0.4).all()


@pytest.mark.parametrize("shape", [(5, 6), (1, 3)])
def test_cutout_is_each_hole_of_dsa(shape):
    def holes(size):
        """Pixels cut out along one side, for each offset that DSA draws."""
        hole = int(size * 0.5 + 0.5)
        for offset in range(size + (1 - hole % 2)):
            yield set(np.clip(np.arange(hole) + offset - hole // 2, 0, size - 1).tolist())

    height, width = shape
    expected = {
        tuple(row in rows and column in columns for row in range(height) for column in range(width))
        for rows in holes(height)
        for columns in holes(width)
    }
    images = draw((600, *shape, 2))
    cut = np.asarray(augment(jax.random.key(0), images, names=("cutout",)))
    np.testing.assert_array_equal(cut[cut != 0], images[cut != 0])
    assert (cut[..., 0] == 0).tolist() == (cut[..., 1] == 0).tolist()
    assert {tuple(mask) for mask in (cut[..., 0] == 0).reshape(600, -1).tolist()} == expected


def test_ranges_of_nothing_are_the_identity(monkeypatch):
    for name, value in {
        "_LARGEST_ANGLE": 0.0,
        "_SMALLEST_CROP": 1.0,
        "_LARGEST_SCALE": 1.0,
    }.items():
        monkeypatch.setattr(_geometry, name, value)
    monkeypatch.setattr(_intensity, "_BRIGHTNESS", (0.0, 0.0))
    for name in ("_SATURATION", "_CONTRAST"):
        monkeypatch.setattr(_intensity, name, (1.0, 1.0))
    monkeypatch.setattr(_intensity, "_CUT_OUT", 0.0)
    images = draw((3, 6, 5, 3))
    names = ("rotate", "crop", "scale", "colour", "cutout")
    # not `augment`, which may be compiled with the ranges as they are
    same = jax.jit(lambda images: data.augment(jax.random.key(0), images, names=names))(images)
    np.testing.assert_allclose(same, images, atol=1e-5)


def test_siamese_is_one_draw_whatever_the_batch():
    image, key = draw((1, 12, 9, 3)), jax.random.key(3)

    @jax.jit
    def alone_and_four(image):
        return [
            data.augment(key, images, names=data.AUGMENTATIONS, siamese=True)
            for images in (image, jnp.tile(image, (4, 1, 1, 1)))
        ]

    alone, four = alone_and_four(image)
    np.testing.assert_allclose(four, np.tile(alone, (4, 1, 1, 1)), atol=1e-5)


def test_the_draws_of_earlier_versions_are_kept():
    images = draw((3, 6, 5, 2))
    names = ("flip", "shift", "rotate", "crop")
    changed = np.asarray(augment(jax.random.key(7), images, names=names))
    # what the version before "scale" was added gave, here
    expected = [5.42502, -4.89646, -0.82303]
    np.testing.assert_allclose(changed.reshape(3, -1) @ np.arange(1, 61) / 60, expected, rtol=1e-4)


@pytest.mark.slow
def test_gradient_is_that_of_finite_differences():
    with jax.enable_x64(True):
        images, direction, cotangent = (
            jnp.asarray(np.random.default_rng(seed).normal(size=(3, 7, 6, 3))) for seed in range(3)
        )

        def change(images):
            return data.augment(jax.random.key(1), images, names=data.AUGMENTATIONS)

        # every augmentation is affine in the images: the step need not be small
        ahead, behind = jax.jit(lambda: (change(images + direction), change(images - direction)))()
        gradient = jax.jit(lambda: jax.vjp(change, images)[1](cotangent)[0])()
        assert gradient.dtype == jnp.float64
        np.testing.assert_allclose(
            (gradient * direction).sum(), (cotangent * (ahead - behind) / 2).sum(), rtol=1e-10
        )


def test_bad_input():
    images = draw((2, 4, 4, 1))
    with pytest.raises(UnknownNameError, match="did you mean 'rotate'"):
        data.augment(jax.random.key(0), images, names=("flip", "rotation"))
