"""Images and labels as a page holds them, read back by other means."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from kernel_distill.artefact import Stage
from kernel_distill.report._sprites import pack_stages


def images_of(sprites, frame):
    """[s, height, width, 3] uint8, cut out of the PNG one by one."""
    with Image.open(io.BytesIO(base64.b64decode(frame.picture))) as sheet:
        cells = []
        for place in range(len(sprites.rows)):
            left = place % sprites.columns * sprites.width
            top = place // sprites.columns * sprites.height
            box = (left, top, left + sprites.width, top + sprites.height)
            cells.append(np.asarray(sheet.convert("RGB").crop(box)))
        return np.stack(cells)


def labels_of(sprites, frame):
    whole = np.frombuffer(base64.b64decode(frame.labels), "<i2")
    return whole.reshape(len(sprites.rows), -1) * frame.scale


def stages(count, rows, shape, classes, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Stage(
            step,
            rng.random((rows, *shape)).astype(np.float32),
            rng.normal(size=(rows, classes)).astype(np.float32),
        )
        for step in range(count)
    ]


@pytest.mark.parametrize(("rows", "shape"), [(7, (4, 9, 3)), (1, (5, 5, 1)), (23, (3, 2, 2))])
def test_every_pixel_and_label_of_every_step_is_there(rows, shape):
    given = stages(3, rows, shape, 4)
    classes = np.random.default_rng(1).integers(0, 4, rows)
    sprites = pack_stages(given, classes=classes, result=1)
    order = list(sprites.rows)
    assert sorted(order) == list(range(rows))
    assert list(sprites.classes) == sorted(classes)  # image by image, class after class
    assert (sprites.height, sprites.width, sprites.note) == (*shape[:2], "")
    for stage, frame in zip(given, sprites.frames, strict=True):
        assert frame.step == stage.step
        expected = stage.images[order]
        if shape[-1] != 3:  # channels that are not colours are grey
            expected = expected.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
        np.testing.assert_allclose(images_of(sprites, frame), 255 * expected, atol=0.501)
        largest = np.abs(stage.labels).max()
        np.testing.assert_allclose(
            labels_of(sprites, frame), stage.labels[order], rtol=0, atol=largest / 2**16
        )


@pytest.mark.parametrize("most_bytes", [15_000, 40_000, 10**7])
def test_frames_between_are_left_out_until_all_have_room(most_bytes):
    given = stages(20, 30, (8, 8, 3), 5)
    sprites = pack_stages(given, classes=np.arange(30) % 5, result=13, most_bytes=most_bytes)
    steps = [frame.step for frame in sprites.frames]
    assert sum(len(each.picture) + len(each.labels) for each in sprites.frames) <= most_bytes
    assert {0, 13, 19} <= set(steps)
    assert steps == sorted(steps)
    # a frame takes some 8,200 bytes of base64, random pixels being what PNG cannot compress; of
    # images averaged over squares of two, as in the least room, some 2,400
    assert len(steps) == {15_000: 6, 40_000: 4, 10**7: 20}[most_bytes]
    assert max(np.diff(steps)) <= 2 * 19 / (len(steps) - 2)  # evenly


def test_images_too_large_for_the_room_are_averaged_over_squares():
    (given,) = stages(1, 2, (40, 60, 3), 2)
    sprites = pack_stages([given], classes=np.arange(2), result=0, most_bytes=5000)
    assert sprites.note == "each averaged over squares of 4 pixels"
    assert (sprites.height, sprites.width) == (10, 15)
    first = given.images[0, 4:8, 8:12].mean(axis=(0, 1))
    np.testing.assert_allclose(images_of(sprites, sprites.frames[0])[0, 1, 2], 255 * first, atol=1)


def test_a_large_support_is_shown_in_part_and_it_is_said():
    given = stages(2, 1000, (2, 2, 1), 10)
    sprites = pack_stages(given, classes=np.arange(1000) % 10, result=1)
    assert sprites.note == "500 of 1000 images: the first 50 of each class"
    assert len(sprites.rows) == 500
    assert max(sprites.rows) == 499  # the first of each


def test_rows_of_a_table_are_strips_of_colours():
    table = np.zeros((3, 13), np.float32)
    table[0, 2], table[1, 2] = 1, -1
    labels = np.eye(3, dtype=np.float32)
    sprites = pack_stages([Stage(0, table, labels)], classes=np.arange(3), result=0)
    strips = images_of(sprites, sprites.frames[0]).astype(int)
    assert strips.shape == (3, 1, 13, 3)
    (red, _, blue), (other_red, _, other_blue) = strips[0, 0, 2], strips[1, 0, 2]
    assert red > blue + 50
    assert other_blue > other_red + 50
    assert np.ptp(strips[2]) < 5  # the mean is pale
    assert "a row of the table is a strip" in sprites.note


def test_a_feature_is_a_pixel_however_many_there_are():
    """None is averaged with its neighbours; where rows are too long, there are fewer."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(40, 784)).astype(np.float32)
    classes = np.arange(40) % 4
    labels = np.eye(4, dtype=np.float32)[classes]
    alone = pack_stages([Stage(0, table, labels)], classes=classes, result=0)
    assert (len(alone.rows), alone.width, alone.height) == (40, 784, 1)
    few = pack_stages([Stage(0, table, labels)], classes=classes, result=0, most_bytes=150_000)
    assert (len(few.rows), few.width, few.height) == (8, 784, 1)
    assert few.note.startswith("8 of 40 images: the first 2 of each class; a row")
    assert sum(len(each.picture) + len(each.labels) for each in few.frames) <= 150_000 / 4
    strips = images_of(few, few.frames[0])[:, 0].astype(int)
    shown = table[list(few.rows)]
    values = (shown - shown.mean(axis=0)) / shown.std(axis=0)
    assert (strips[..., 0] > strips[..., 2])[values > 0.1].all()  # red, each by itself
    assert (strips[..., 0] < strips[..., 2])[values < -0.1].all()
