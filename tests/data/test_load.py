"""Loading from every source but TensorFlow Datasets, and how the data are split."""

import dataclasses
import inspect

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, make_moons

from kernel_distill import data


def test_digits_are_those_of_scikit_learn():
    digits = data.load("digits", preprocessing="none", validation_size=0)
    everything = np.concatenate([digits.train.images, digits.test.images])
    labels = np.concatenate([digits.train.labels, digits.test.labels])
    bunch = load_digits()
    reference = bunch.images[..., None] / 16

    def sorted_rows(images, labels):
        rows = np.column_stack([images.reshape(len(images), -1), labels])
        return rows[np.lexsort(rows.T)]

    np.testing.assert_array_equal(
        sorted_rows(everything, labels), sorted_rows(reference, bunch.target)
    )
    assert (len(digits.train), len(digits.test)) == (1500, 297)
    assert digits.image_shape == (8, 8, 1)
    assert digits.num_classes == 10
    assert digits.train.images.dtype == np.float32
    assert digits.train.labels.dtype == np.int32


def test_digits_split_is_stratified_and_fixed():
    first, other = data.load("digits"), data.load("digits", split_seed=1)
    assert (len(first.train), len(first.validation)) == (1350, 150)
    whole = np.bincount(load_digits().target)
    for split in (first.train, first.validation, first.test):
        share = np.bincount(split.labels) / whole
        np.testing.assert_allclose(share, len(split) / 1797, atol=1.5 / whole.min())
    np.testing.assert_array_equal(first.test.labels, other.test.labels)
    assert not np.array_equal(first.validation.images, other.validation.images)
    again = data.load("digits")
    np.testing.assert_array_equal(first.validation.images, again.validation.images)
    # the split is part of the fingerprint's promise: it must never change. Computed once with
    # numpy.random.RandomState(0), whose stream NumPy keeps for ever
    assert first.preprocessing.fingerprint == again.preprocessing.fingerprint
    assert first.preprocessing.fingerprint != other.preprocessing.fingerprint


def test_validation_is_disjoint_from_training_and_never_fitted_on(arrays):
    images, labels = arrays
    loaded = data.from_arrays(
        images, labels, images[:9], labels[:9], validation_size=13, preprocessing="none"
    )
    rows = [split.images.reshape(len(split), -1) for split in (loaded.train, loaded.validation)]
    assert [len(part) for part in rows] == [47, 13]
    together = np.unique(np.concatenate(rows), axis=0)
    np.testing.assert_array_equal(together, np.unique(images.reshape(60, -1), axis=0))

    standardised = data.from_arrays(images, labels, images[:9], labels[:9], validation_size=13)
    mean = standardised.preprocessing.to_metadata()["mean"]
    np.testing.assert_allclose(mean, loaded.train.images.mean((0, 1, 2), dtype=np.float64))


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        ((50, 50, 50), 15, (5, 5, 5)),
        ((50, 50, 50), 16, (6, 5, 5)),
        ((90, 9, 1), 10, (9, 1, 0)),
        ((4, 1, 1), 3, (3, 0, 0)),
    ],
)
def test_validation_is_stratified_and_leaves_each_class_an_example(count, size, expected):
    labels = np.repeat(np.arange(3), count)
    images = np.random.default_rng(0).random((len(labels), 4, 4))
    loaded = data.from_arrays(images, labels, images[:1], labels[:1], validation_size=size)
    assert tuple(np.bincount(loaded.validation.labels, minlength=3)) == expected


def test_no_validation(arrays):
    images, labels = arrays
    loaded = data.from_arrays(images, labels, images, labels, validation_size=0)
    assert len(loaded.validation) == 0
    assert loaded.validation.images.shape == (0, 5, 7, 1)
    assert len(loaded.train) == 60


def test_default_sizes(arrays):
    images, labels = arrays
    loaded = data.from_arrays(images, labels)
    assert [len(split) for split in (loaded.train, loaded.validation, loaded.test)] == [44, 4, 12]
    assert loaded.test_held_out
    assert data.from_arrays(images, labels, test_size=20).to_metadata()["test_size"] == 20


def test_two_moons_as_arrays():
    images, labels = make_moons(300, noise=0.1, random_state=0)
    loaded = data.from_arrays(images, labels, name="moons")
    assert loaded.image_shape == (2,)
    assert loaded.num_classes == 2
    np.testing.assert_allclose(loaded.train.images.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(loaded.train.images.std(0), 1, atol=1e-6)


def test_hundred_classes():
    labels = np.random.default_rng(0).permutation(np.arange(1000) % 100)
    images = np.random.default_rng(1).integers(0, 256, (1000, 4, 4, 3)).astype(np.uint8)
    loaded = data.from_arrays(images, labels, images[:50], labels[:50])
    assert loaded.num_classes == 100
    assert loaded.class_names[:3] == ("0", "1", "2")
    np.testing.assert_array_equal(np.bincount(loaded.validation.labels), np.ones(100))


def test_uint8_is_scaled_and_floats_are_not(arrays):
    images, labels = arrays
    whole = (images * 255).round().astype(np.uint8)
    loaded = data.from_arrays(whole, labels, whole, labels, preprocessing="none", validation_size=0)
    np.testing.assert_allclose(loaded.train.images, whole / 255, rtol=1e-7)
    loaded = data.from_arrays(
        images * 300 - 7, labels, images, labels, preprocessing="none", validation_size=0
    )
    np.testing.assert_array_equal(loaded.train.images, images * 300 - 7)


def test_channel_axis_is_added(arrays):
    images, labels = arrays
    loaded = data.from_arrays(images[..., 0], labels)
    assert loaded.image_shape == (5, 7, 1)


def test_names_of_classes(arrays):
    images, labels = arrays
    words = np.array(["cat", "ant", "bee"])[labels]
    loaded = data.from_arrays(images, words, images, words, validation_size=0)
    assert loaded.class_names == ("ant", "bee", "cat")
    np.testing.assert_array_equal(loaded.train.labels, np.array([2, 0, 1])[labels])
    loaded = data.from_arrays(
        images, words.astype(object), images, words, class_names=["cat", "ant", "bee"]
    )
    assert loaded.class_names == ("cat", "ant", "bee")
    numbers = np.array(["10", "9", "-1"])[labels]
    assert data.from_arrays(images, numbers).class_names == ("-1", "9", "10")


def test_npz_with_and_without_test_set(arrays, tmp_path):
    images, labels = arrays
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    loaded = data.load(tmp_path / "mine.npz")
    assert (loaded.name, len(loaded.test), loaded.test_held_out) == ("mine", 12, True)
    assert loaded.version.startswith("sha256:")

    np.savez(
        tmp_path / "both.npz",
        images=images,
        labels=labels,
        test_images=images[:7],
        test_labels=labels[:7],
        class_names=np.array(["x", "y", "z"]),
    )
    loaded = data.load(str(tmp_path / "both.npz"), preprocessing="none")
    assert loaded.class_names == ("x", "y", "z")
    np.testing.assert_array_equal(loaded.test.images, images[:7])


def test_fingerprint_of_own_data_follows_content_and_not_name(arrays, tmp_path):
    images, labels = arrays
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    np.savez(tmp_path / "b.npz", images=images, labels=labels)
    changed = images.copy()
    changed[3, 2, 1, 0] += 1e-3
    np.savez(tmp_path / "c.npz", images=changed, labels=labels)
    a, b, c = (data.load(tmp_path / f"{name}.npz").preprocessing.fingerprint for name in "abc")
    assert a == b != c


def test_csv(tmp_path):
    (tmp_path / "flowers.csv").write_text(
        "\ufefflabel,length,width\n"
        + "".join(f'"iris, {"ab"[row % 2]}",{row}.5,{-row}e-1\n' for row in range(40)),
        encoding="utf-8",
    )
    loaded = data.load(tmp_path / "flowers.csv", preprocessing="none", validation_size=0)
    assert loaded.class_names == ("iris, a", "iris, b")
    assert loaded.image_shape == (2,)
    assert loaded.train.images.dtype == np.float32
    rows = np.concatenate([loaded.train.images, loaded.test.images])
    labels = np.concatenate([loaded.train.labels, loaded.test.labels])
    np.testing.assert_allclose(rows[:, 0] - 0.5, -10 * rows[:, 1], rtol=1e-6)
    np.testing.assert_array_equal((rows[:, 0] - 0.5) % 2, labels)


def test_csv_takes_the_last_column_and_orders_numbers(tmp_path):
    rows = "".join(f"{row},{row * 2},{[9, 10, 2][row % 3]}\n" for row in range(30))
    (tmp_path / "table.csv").write_text("a,b,kind\n" + rows)
    loaded = data.load(tmp_path / "table.csv")
    assert loaded.class_names == ("2", "9", "10")


def write_images(folder, images, *, suffix="png"):
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index:03}.{suffix}")
    (folder / ".DS_Store").write_text("no image")
    (folder / "notes.txt").write_text("no image either")


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3)).astype(np.uint8)


def test_folder_of_class_folders(colours, tmp_path):
    write_images(tmp_path / "pets" / "dog", colours[:12])
    write_images(tmp_path / "pets" / "cat", colours[12:])
    loaded = data.load(tmp_path / "pets", preprocessing="none", validation_size=0, test_size=2)
    assert loaded.class_names == ("cat", "dog")
    assert loaded.name == "pets"
    assert loaded.image_shape == (6, 5, 3)
    everything = np.concatenate([loaded.train.images, loaded.test.images])
    expected = np.sort(colours.reshape(20, -1) / 255, axis=0)
    np.testing.assert_allclose(np.sort(everything.reshape(20, -1), axis=0), expected, rtol=1e-6)


def test_folder_with_train_and_test(colours, tmp_path):
    for part, images in (("train", colours[:14]), ("test", colours[14:])):
        write_images(tmp_path / part / "1", images[::2])
        write_images(tmp_path / part / "10", images[1::2])
        write_images(tmp_path / part / "9", images[:2])
    loaded = data.load(f"{tmp_path}/", preprocessing="none", validation_size=0)
    assert loaded.class_names == ("1", "9", "10")
    assert not loaded.test_held_out
    np.testing.assert_allclose(loaded.test.images[:3], colours[14::2] / 255, rtol=1e-6)
    np.testing.assert_array_equal(loaded.test.labels, [0, 0, 0, 1, 1, 2, 2, 2])


def test_a_class_called_train(colours, tmp_path):
    for name in ("train", "bus", "test"):
        write_images(tmp_path / name, colours)
    assert data.load(tmp_path).class_names == ("bus", "test", "train")


def test_folder_of_grey_images_is_grey_and_jpeg_is_read(colours, tmp_path):
    smooth = np.tile(np.arange(0, 160, 8, np.uint8), (20, 16, 1))
    write_images(tmp_path / "grey" / "a", smooth, suffix="jpg")
    write_images(tmp_path / "grey" / "b", smooth, suffix="jpeg")
    loaded = data.load(tmp_path / "grey", preprocessing="none")
    assert loaded.image_shape == (16, 20, 1)
    np.testing.assert_allclose(loaded.train.images[0, ..., 0], smooth[0] / 255, atol=0.02)

    Image.fromarray(np.stack([smooth[0]] * 3, -1)).save(tmp_path / "grey" / "a" / "rgb.png")
    assert data.load(tmp_path / "grey").image_shape == (16, 20, 3)


def test_images_of_different_sizes_are_cut_and_resized(tmp_path):
    # left half dark, right half bright, on a wide image: the central square keeps the edge
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 12:] = 200
    tall = np.full((20, 10), 100, np.uint8)
    write_images(tmp_path / "a", [wide, wide, wide])
    write_images(tmp_path / "b", [tall, tall, tall])
    loaded = data.load(tmp_path, image_size=4, preprocessing="none", validation_size=0, test_size=2)
    image = loaded.train.images[0, ..., 0] * 255
    # PIL's triangular filter of support two source pixels a side, edge between columns 1 and 2
    np.testing.assert_allclose(image[:, [0, 3]], [[0, 200]] * 4)
    np.testing.assert_allclose(image[:, 1] + image[:, 2], 200, atol=1)
    np.testing.assert_allclose(loaded.train.images[-1] * 255, 100)


def test_image_size_for_arrays(arrays):
    images, labels = arrays
    blocks = images.repeat(2, 1).repeat(2, 2)[:, :10, 2:12]
    loaded = data.from_arrays(blocks, labels, image_size=5, preprocessing="none", test_size=3)
    assert loaded.image_shape == (5, 5, 1)
    assert loaded.train.images.min() >= 0
    means = np.sort(blocks.mean((1, 2, 3)))
    everything = [loaded.train.images, loaded.validation.images, loaded.test.images]
    np.testing.assert_allclose(
        np.sort(np.concatenate(everything).mean((1, 2, 3))), means, atol=0.02
    )


def test_settings_are_the_arguments_of_load():
    fields = {field.name: field.default for field in dataclasses.fields(data.Settings)}
    parameters = inspect.signature(data.load).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == fields
    from_arrays = inspect.signature(data.from_arrays).parameters
    for name in fields.keys() - {"dataset", "data_dir"}:
        assert from_arrays[name].default == fields[name]


def test_settings_show_their_help_on_the_command_line():
    tyro = pytest.importorskip("tyro")
    arguments = ["--dataset", "mnist", "--validation-size", "0", "--preprocessing", "zca"]
    settings = tyro.cli(data.Settings, args=arguments)
    assert settings == data.Settings(dataset="mnist", validation_size=0, preprocessing="zca")


def test_one_hot_is_centred():
    labels = np.array([2, 0, 1, 2])
    centred = data.one_hot(labels, 3)
    np.testing.assert_allclose(centred, np.eye(3)[labels] - 1 / 3, rtol=1e-6)
    assert centred.dtype == np.float32


def test_metadata_of_a_data_set(arrays):
    images, labels = arrays
    metadata = data.from_arrays(images, labels, name="mine", validation_size=6).to_metadata()
    assert metadata["name"] == "mine"
    assert metadata["image_shape"] == [5, 7, 1]
    assert (metadata["train_size"], metadata["validation_size"]) == (42, 6)
