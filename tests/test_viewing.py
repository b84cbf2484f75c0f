"""How a support is looked at."""

import numpy as np
import pytest

from kernel_distill import data
from kernel_distill.artefact import Stage
from kernel_distill.viewing import View

LABELS = np.eye(3, dtype=np.float32)[[2, 0, 2, 1, 0, 2]]


def view(shape):
    random = np.random.default_rng(0)
    images = random.uniform(0.3, 0.6, (60, *shape))
    dataset = data.from_arrays(images, np.arange(60) % 3, images[:9], np.arange(9) % 3)
    return View(dataset.train.images[:6], LABELS, dataset, natural=True), dataset


def test_learned_images_have_the_contrast_of_natural_ones():
    seen, dataset = view((5, 4, 3))
    natural = dataset.preprocessing.invert_for_viewing(seen.initial)
    np.testing.assert_array_equal(seen.images(seen.initial), natural)
    learned = np.float32(1e-3) * seen.initial[::-1]
    np.testing.assert_allclose(
        seen.images(learned).std(axis=(1, 2, 3)), natural.std(axis=(1, 2, 3)), rtol=0.1
    )


@pytest.mark.parametrize(("side", "shrink"), [(5, 1), (300, 3)])
def test_a_sheet_has_a_row_a_class(side, shrink):
    seen, _ = view((side, side, 1))
    sheet = seen.sheet(Stage(0, seen.initial, LABELS))
    # 5 pixels are drawn as 65 dots; 300 are averaged to 100, and have enough
    size, gap = {5: (65, 4), 300: (100, 6)}[side]
    assert sheet.shape == (3 * (size + gap) + gap, 3 * (size + gap) + gap, 3)
    images = seen.images(seen.initial).reshape(6, side // shrink, shrink, side // shrink, shrink)
    images, blank = images.mean(axis=(2, 4)), np.full((side // shrink,) * 2, 255)
    for row, members in enumerate(([1, 4], [3], [0, 2, 5])):
        for column in range(3):
            top, left = gap + row * (size + gap), gap + column * (size + gap)
            cell = sheet[top : top + size, left : left + size]
            grow = size // (side // shrink)
            image = 255 * images[members[column]] if column < len(members) else blank
            dots = np.kron(image, np.ones((grow, grow)))
            assert np.abs(cell - dots[..., None]).max() < 0.51


def test_one_image_a_class_makes_several_rows():
    _, dataset = view((5, 5, 1))
    images, labels = dataset.train.images[:3], np.eye(3, dtype=np.float32)
    one_each = View(images, labels, dataset, natural=True)
    assert one_each.sheet(Stage(0, images, labels)).shape == (69 + 4, 3 * 69 + 4, 3)


def test_tables_are_no_images():
    seen, dataset = view((4,))
    assert seen.sheet(Stage(0, seen.initial, LABELS)) is None
    learned = np.float32(2) * seen.initial
    np.testing.assert_array_equal(seen.images(learned), dataset.preprocessing.invert(learned))


@pytest.mark.parametrize("start", ["real", "noise"])
def test_a_picture_goes_over_into_that_of_the_next_step(start):
    """From the support that a run began with, too: its contrast is no effect of training."""
    rng = np.random.default_rng(0)
    faint = np.array([0.1, 1, 0.3, 2], np.float32)[:, None, None, None]
    natural = faint * rng.normal(size=(4, 6, 6, 1)).astype(np.float32) + faint
    dataset = data.from_arrays(natural.repeat(5, axis=0), np.arange(20) % 2, preprocessing="none")
    images = 7 * rng.normal(size=natural.shape).astype(np.float32) if start == "noise" else natural
    labels = np.eye(4, 2, dtype=np.float32)
    contrast = View(images, labels, dataset, natural=start != "noise").contrast
    before = contrast.give(images)
    after = contrast.give(images + 1e-3 * rng.normal(size=images.shape).astype(np.float32))
    assert np.abs(after - before).max() < 0.02
    if start == "noise":  # as bright as what it is distilled from
        average = np.mean([each.mean() for each in dataset.train.images])
        np.testing.assert_allclose(before.mean(axis=(1, 2, 3)), average, rtol=1e-4)
    else:
        np.testing.assert_array_equal(before, natural)
