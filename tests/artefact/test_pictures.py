"""Pictures are drawn for every shape of data, and say what must be said."""

import subprocess
import sys

import jaxtyping
import numpy as np
import pytest

from kernel_distill._errors import InputError
from kernel_distill.artefact import (
    Run,
    curves_picture,
    images_picture,
    labels_picture,
    save_picture,
    save_pictures,
)
from kernel_distill.artefact._images_picture import _layout
from kernel_distill.artefact._viewing import selected


def texts(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def png_size(path):
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def support(rows, shape, classes, seed=0):
    rng = np.random.default_rng(seed)
    before, after = rng.random((2, rows, *shape)).astype(np.float32)
    return before, after, np.arange(rows, dtype=np.int32) % classes


@pytest.mark.parametrize(
    ("rows", "shape", "classes"),
    [
        (10, (28, 28, 1), 10),
        (100, (32, 32, 3), 10),
        (500, (8, 8, 1), 10),
        (233, (32, 32, 3), 10),  # no multiple of the number of classes
        (7, (20, 20, 3), 10),  # fewer images than classes
        (2, (28, 28, 1), 2),
        (1, (5, 9, 1), 1),
        (100, (9, 5, 1), 2),  # not square
        (25, (20, 20, 3), 5),
        pytest.param(100, (32, 32, 3), 100, marks=pytest.mark.slow),
        (63, (12, 12, 2), 21),  # channels that are not colours
        (20, (224, 224, 3), 10),  # larger than its place
        (12, (301, 97, 3), 3),
        (40, (2,), 2),
        (30, (2,), 15),
        (60, (13,), 5),
        (300, (1,), 3),
        pytest.param(100, (40,), 100, marks=pytest.mark.slow),
    ],
)
def test_the_support_is_drawn_whatever_its_shape(tmp_path, rows, shape, classes):
    before, after, labels = support(rows, shape, classes)
    names = [f"class number {label}" for label in range(classes)]
    figure = images_picture(before, after, labels, names, title="title", captions=("A", "B"))
    save_picture(tmp_path / "images.png", figure)
    width, height = png_size(tmp_path / "images.png")
    assert 300 < width < 4500
    assert 300 < height < 4500
    assert {"title", "A", "B"} <= set(texts(figure))


def test_before_and_after_stand_in_their_places_in_natural_colours():
    before, after, labels = support(10, (4, 4, 3), 10)
    before[3], after[3] = (1.0, 0.0, 0.0), (0.0, 0.5, 9.0)  # clipped to 1
    figure = images_picture(before, after, labels, [str(label) for label in range(10)])
    sheet = np.asarray(figure.axes[0].images[0].get_array())
    red, blue = ((sheet == colour).all(-1) for colour in ((255, 0, 0), (0, 128, 255)))
    # one square tile of each
    assert red.sum() == blue.sum() > 10_000
    assert round(red.sum() ** 0.5) ** 2 == red.sum()
    above, below = (np.flatnonzero(tile.any(axis=1)) for tile in (red, blue))
    assert above.max() < below.min()


def test_every_image_is_on_the_sheet_once():
    rows = 233
    images = np.repeat(np.arange(1, rows + 1, dtype=np.float32) / 255, 16).reshape(rows, 4, 4, 1)
    figure = images_picture(images, images, np.arange(rows) % 10, [str(i) for i in range(10)])
    sheet = figure.axes[0].images[0].get_array()[..., 0]
    values, counts = np.unique(sheet, return_counts=True)
    assert set(range(1, rows + 1)) <= set(values.tolist())
    assert len(set(counts[(values >= 1) & (values <= rows)].tolist())) == 1


def test_classes_come_from_label_vectors_too():
    before, after, labels = support(20, (6, 6, 1), 4)
    names = ["a", "b", "c", "d"]
    vectors = (np.eye(4)[labels] - 0.25).astype(np.float32)
    drawn = [
        images_picture(before, after, given, names).axes[0].images[0].get_array()
        for given in (labels, vectors)
    ]
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize(
    ("rows", "classes", "note"),
    [
        (500, 10, ""),
        (1000, 10, "500 of 1000 images: the first 50 of each class"),
        (1000, 100, "500 of 1000 images: the first 5 of each class"),
        (2000, 1000, "200 of 2000 images: .* for the first 100 of 1000 classes"),
    ],
)
def test_large_supports_are_shown_in_part_and_it_is_said(rows, classes, note):
    import re

    groups, said = selected(np.arange(rows) % classes)
    assert re.fullmatch(note, said) or (note and re.match(note, said))
    assert sum(map(len, groups.values())) <= 500
    layout = _layout(groups, (32, 32))
    assert layout.image[0] >= 40  # dots: still to be seen


def test_class_names_are_never_taken_for_formulas(tmp_path):
    before, after, labels = support(2, (6, 6, 1), 2)
    figure = images_picture(before, after, labels, ["$5_", "$6^"])
    save_picture(tmp_path / "a.png", figure)


def test_what_does_not_fit_together_is_refused(monkeypatch):
    # what a user meets, without the tests' own checks of shapes before it
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    before, after, labels = support(6, (4, 4, 1), 3)
    with pytest.raises(InputError, match=r"before\.shape=\(6, 4, 4, 1\), after\.shape=\(6, 16\)"):
        images_picture(before, after.reshape(6, 16), labels, ["a", "b", "c"])
    with pytest.raises(InputError, match="got 3 classes and 2 names"):
        images_picture(before, after, labels, ["a", "b"])
    with pytest.raises(InputError, match="got 3 classes and 2 names"):
        labels_picture(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32), ["a", "b"])


@pytest.mark.parametrize(("each", "classes"), [(1, 10), (10, 10), (80, 10), (1, 100), (3, 2)])
def test_labels_are_drawn_class_by_class(tmp_path, each, classes):
    rng = np.random.default_rng(0)
    before = np.eye(classes)[rng.permutation(np.arange(each * classes) % classes)] - 1 / classes
    after = before + 0.05 * rng.standard_normal(before.shape)
    figure = labels_picture(
        before.astype(np.float32), after.astype(np.float32), [f"c{i}" for i in range(classes)]
    )
    save_picture(tmp_path / "labels.png", figure)
    assert png_size(tmp_path / "labels.png")[0] > 500
    heat = np.asarray(figure.axes[0].images[0].get_array())
    assert (np.diff(heat.argmax(axis=1)) >= 0).all()
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high
    if each > 1:
        means = np.asarray(figure.axes[1].images[0].get_array())
        own = np.stack([after[before.argmax(1) == label].mean(0) for label in range(classes)])
        np.testing.assert_allclose(means, own, atol=1e-6)


def test_curves_are_in_per_cent_and_mark_the_best_step(tmp_path):
    metrics = [{"step": 0, "validation_accuracy": 0.1, "validation_loss": 1.0}]
    metrics += [{"step": step, "loss": 1 / step, "batch_accuracy": 0.5} for step in range(1, 900)]
    for step, accuracy in ((1, 0.2), (10, 0.5), (100, 0.9), (899, 0.8)):
        metrics.append({"step": step, "validation_accuracy": accuracy, "validation_loss": 0.01})
    metrics.append({"step": 900, "validation_accuracy": None, "loss": None})
    figure = curves_picture(metrics, title="mnist")
    save_picture(tmp_path / "curves.png", figure)
    assert "best: 90.0 % at step 100" in texts(figure)
    assert figure.axes[0].get_xscale() == "symlog"
    assert figure.axes[1].get_yscale() == "log"
    assert "best: 80.0 % at step 899" in texts(curves_picture(metrics, best_step=899))


@pytest.mark.parametrize(
    "metrics",
    [
        [],
        [{"step": 3, "rank": 10}],
        [{"step": 0, "validation_accuracy": 0.5}],
        [{"step": step, "loss": 0.0} for step in range(5)],
    ],
)
def test_curves_of_hardly_anything_are_drawn_too(tmp_path, metrics):
    figure = curves_picture(metrics)
    save_picture(tmp_path / "curves.png", figure)
    assert "not measured" in texts(figure)


def test_a_run_gets_its_three_pictures(tmp_path):
    before, after, labels = support(4, (6, 6, 1), 2)
    vectors = (np.eye(2)[labels] - 0.5).astype(np.float32)
    run = Run.create(tmp_path, {})
    run.log(step=0, loss=1.0, validation_accuracy=0.5)
    save_pictures(
        run,
        before=before,
        after=after,
        labels_before=vectors,
        labels_after=2 * vectors,
        class_names=("cat", "dog"),
    )
    for name in ("images.png", "curves.png", "labels.png"):
        assert min(png_size(tmp_path / name)) > 300


def test_pyplot_and_its_global_state_are_never_touched(tmp_path):
    code = (
        "import sys, numpy as np; from kernel_distill.artefact import images_picture, save_picture;"
        "assert 'matplotlib' not in sys.modules;"
        "x = np.zeros((2, 4, 4, 1), np.float32);"
        "save_picture(sys.argv[1], images_picture(x, x, np.arange(2), ('a', 'b')));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
