"""Each kind of bad input: an error before any work that says what was got and what to do."""

import pickle

import numpy as np
import pytest
from PIL import Image

from kernel_distill import data
from kernel_distill._errors import DamagedFileError, InputError, UnknownNameError


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_images_that_are_not_finite(arrays, bad):
    images, labels = arrays
    images[17, 4, 2, 0] = bad
    with pytest.raises(InputError, match=r"finite.*train_images\[17\] at \[4, 2, 0\]"):
        data.from_arrays(images, labels)


def test_images_too_large_for_float32(arrays):
    images, labels = arrays
    wide = images.astype(np.float64)[:2]
    wide[1] += 1e300
    with pytest.raises(InputError, match=r"finite in float32.*test_images\[1\] at \[0, 0, 0\]"):
        data.from_arrays(images, labels, wide, [0, 1])


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((60,), r"\[n, height, width, channel\].*got shape \(60,\)"),
        ((60, 1, 5, 7, 1), r"got shape \(60, 1, 5, 7, 1\)"),
        ((0, 5, 7, 1), r"not be empty; got shape \(0, 5, 7, 1\)"),
        ((60, 0), r"not be empty; got shape \(60, 0\)"),
        ((60, 3, 8, 8), r"channels last.*\(60, 3, 8, 8\).*transpose"),
        ((59, 5, 7, 1), r"same number of rows; got images of shape \(59.*labels of shape \(60,\)"),
    ],
)
def test_shape_of_images(arrays, shape, match):
    with pytest.raises(InputError, match=match):
        data.from_arrays(np.zeros(shape), arrays[1])


def test_dtype_of_images(arrays):
    with pytest.raises(InputError, match=r"uint8 .* or floating point .*int64.*astype"):
        data.from_arrays(np.ones((60, 5, 7, 1), np.int64), arrays[1])


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.eye(3)[np.arange(60) % 3], r"\[n\]; got shape \(60, 3\).*argmax"),
        (np.arange(60) % 3 - 1, r"train_labels\[0\] = -1"),
        (np.arange(60) % 3 / 2, r"integers.*got dtype float64.*astype"),
        (np.arange(60) % 3 + 1, r"every class .* none of class 0"),
        (np.where(np.arange(60) == 5, 10**9, np.arange(60) % 3), r"none of class 3"),
        (np.zeros(60, int), r"at least two classes"),
        (np.array([object()] * 60), r"integers from 0 to C-1 or class names"),
    ],
)
def test_labels(arrays, labels, match):
    with pytest.raises(InputError, match=match):
        data.from_arrays(arrays[0], labels)


def test_class_without_examples_is_named(arrays):
    images, labels = arrays
    with pytest.raises(InputError, match=r"none of class 3 \('dog'\)"):
        data.from_arrays(images, labels, class_names=["ant", "bee", "cat", "dog"])


def test_class_names_that_do_not_fit(arrays):
    images, labels = arrays
    with pytest.raises(InputError, match=r"from 0 to 1 \(2 classes\); got train_labels\[2\] = 2"):
        data.from_arrays(images, labels, class_names=["ant", "bee"])
    with pytest.raises(InputError, match="must differ"):
        data.from_arrays(images, labels, class_names=["ant", "bee", "bee"])


def test_test_set_that_does_not_fit(arrays):
    images, labels = arrays
    with pytest.raises(InputError, match=r"test_labels\[3\] = 3"):
        data.from_arrays(images, labels, images[:4], [0, 1, 2, 3])
    with pytest.raises(InputError, match=r"test_labels\[1\] = 'dog'"):
        data.from_arrays(images, np.array(["ant", "bee"] * 30), images[:2], ["bee", "dog"])
    with pytest.raises(InputError, match=r"shape of the training images.*\[5, 7, 1\].*\[5, 6, 1\]"):
        data.from_arrays(images, labels, images[:4, :, :6], labels[:4])
    with pytest.raises(InputError, match="belong together"):
        data.from_arrays(images, labels, images)
    with pytest.raises(InputError, match="uint8 both, or floats both"):
        data.from_arrays(images, labels, images.astype(np.uint8), labels)


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"validation_size": -1}, "validation_size must be at least 0; got -1"),
        ({"validation_size": 58}, r"validation_size=58 with 60 examples.*at most 57"),
        ({"test_size": 0}, "test_size must be at least 1; got 0"),
        ({"image_size": 0}, "image_size must be at least 1"),
        ({"split_seed": -1}, "split_seed must be"),
        ({"zca_regularisation": 0.0}, "zca_regularisation must be positive"),
        ({"zca_regularisation": float("nan")}, "zca_regularisation must be positive"),
        ({"preprocessing": "standardize"}, "did you mean 'standardise'"),
        ({"whitening": "preprocessing.npz"}, "whitening is for preprocessing='zca' or 'whiten'"),
    ],
)
def test_settings(arrays, setting, match):
    images, labels = arrays
    with pytest.raises(InputError, match=match):
        data.from_arrays(images, labels, images, labels, **setting)


def test_settings_are_checked_before_files_are_read():
    with pytest.raises(InputError, match="validation_size"):
        data.load("no/such/file.npz", validation_size=-1)


def test_tables_are_neither_whitened_nor_resized(arrays):
    images, labels = arrays
    table = images.reshape(60, -1)
    with pytest.raises(InputError, match=r"'zca' needs images.*\(60, 35\)"):
        data.from_arrays(table, labels, preprocessing="zca")
    with pytest.raises(InputError, match=r"image_size needs images.*\(60, 35\)"):
        data.from_arrays(table, labels, image_size=4)


class Harmful:
    """Runs code when unpickled."""

    ran = False

    def __reduce__(self):
        return (setattr, (Harmful, "ran", True))


def test_pickled_npz_is_refused(arrays, tmp_path):
    np.savez(tmp_path / "a.npz", images=arrays[0], labels=np.array([Harmful()] * 60))
    with pytest.raises(InputError, match=r"pickled objects.*refused.*Save plain arrays"):
        data.load(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(pickle.dumps({"images": Harmful()}))
    with pytest.raises(InputError, match="pickled objects"):
        data.load(tmp_path / "b.npz")
    assert not Harmful.ran


def test_npz_that_lacks_arrays(arrays, tmp_path):
    np.savez(tmp_path / "a.npz", images=arrays[0], targets=arrays[1])
    with pytest.raises(InputError, match=r"'images' and 'labels'.*got \['images', 'targets'\]"):
        data.load(tmp_path / "a.npz")
    with (tmp_path / "b.npz").open("wb") as file:
        np.save(file, arrays[0])
    with pytest.raises(InputError, match="single array"):
        data.load(tmp_path / "b.npz")


def test_damaged_compressed_npz(tmp_path):
    """What is compressed well: a byte altered there spoils more than a checksum."""
    images, labels = np.tile(np.linspace(0, 1, 64), (60, 1)).reshape(60, 8, 8), np.arange(60) % 3
    np.savez_compressed(tmp_path / "a.npz", images=images, labels=labels)
    whole = (tmp_path / "a.npz").read_bytes()
    for place in range(60, 300, 8):
        altered = bytearray(whole)
        altered[place] ^= 0xFF
        (tmp_path / "a.npz").write_bytes(altered)
        with pytest.raises(DamagedFileError, match=r"a\.npz is no whole \.npz"):
            data.load(tmp_path / "a.npz")


def test_damaged_npz(arrays, tmp_path):
    np.savez(tmp_path / "a.npz", images=arrays[0], labels=arrays[1])
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedFileError, match=r"a\.npz is no whole \.npz"):
        data.load(tmp_path / "a.npz")
    altered = bytearray(whole)
    altered[2000] ^= 1
    (tmp_path / "a.npz").write_bytes(altered)
    with pytest.raises(DamagedFileError, match=r"a\.npz is no whole \.npz"):
        data.load(tmp_path / "a.npz")


def test_message_names_the_file(arrays, tmp_path):
    arrays[0][1] = np.nan
    np.savez(tmp_path / "a.npz", images=arrays[0], labels=arrays[1])
    with pytest.raises(InputError, match=r"a\.npz: train_images"):
        data.load(tmp_path / "a.npz")


def test_paths_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"no such file: .*a\.npz"):
        data.load(tmp_path / "a.npz")
    with pytest.raises(InputError, match=r"no such file: .*a\.csv"):
        data.load(str(tmp_path / "a.csv"))
    with pytest.raises(InputError, match="no such folder"):
        data.load(tmp_path / "a")
    with pytest.raises(InputError, match="no such folder"):
        data.load("./a")
    (tmp_path / "a.pkl").write_bytes(b"")
    with pytest.raises(InputError, match=r"\.npz or a \.csv.*a\.pkl"):
        data.load(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "header row"),
        ("1,2,0\n3,4,1\n", "begin with a header row"),
        ("x;y;label\n1;2;0\n", "separated by commas"),
        ("x,y,label\n1,2,0\n1,a,0\n", "got 'a' in line 3"),
        ("x,y,label\n1,2,0\n1,,0\n", "got '' in line 3"),
        ("x,y,label\n1,2,0\n1,2\n", "3 columns.*got 2 in line 3"),
        ("x,y,label\n1,2,0\n1,2,3,4\n", "3 columns.*got 4 in line 3"),
        ("x,y,label\n1,2,a\n1,2, \n", "class in column 'label'; line 3 has none"),
        ("x,y,label\n", "header row only"),
        ("x,y,label\n1,2,0\n1,nan,1\n", r"train_images\[1\] at \[1\]"),
    ],
)
def test_csv(tmp_path, text, match):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=match):
        data.load(tmp_path / "a.csv")


def test_csv_that_is_no_text_further_down(tmp_path):
    rows = b"x,y,label\n" + 4000 * b"1.5,2.5,a\n" + b"1.5,2.5,\xff\n"
    (tmp_path / "a.csv").write_bytes(rows)
    with pytest.raises(InputError, match="must be text in UTF-8"):
        data.load(tmp_path / "a.csv")


def save(path, shape=(4, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros(shape, np.uint8)).save(path)


def test_folders(tmp_path):
    with pytest.raises(InputError, match=r"a folder a class.*got no folders"):
        data.load(tmp_path)
    save(tmp_path / "a" / "0.png")
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match="b holds no PNG or JPEG"):
        data.load(tmp_path)
    save(tmp_path / "b" / "0.png", (4, 6))
    with pytest.raises(InputError, match=r"one size; got 4x4 \(1\), 4x6 \(1\).*image_size=32"):
        data.load(tmp_path)
    (tmp_path / "b" / "0.png").write_bytes(b"not an image")
    with pytest.raises(DamagedFileError, match=r"0\.png is no whole image"):
        data.load(tmp_path)
    # what Pillow would start another program for
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "b" / "0.png", format="EPS")
    with pytest.raises(DamagedFileError, match=r"0\.png is no whole image"):
        data.load(tmp_path)
    save(tmp_path / "b" / "0.png", (64, 64))
    whole = (tmp_path / "b" / "0.png").read_bytes()
    (tmp_path / "b" / "0.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedFileError, match=r"0\.png is no whole image"):
        data.load(tmp_path, image_size=4)


def test_folder_with_a_class_in_test_only(tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/c"):
        save(tmp_path / name / "0.png")
    with pytest.raises(InputError, match="test/c has no counterpart"):
        data.load(tmp_path)


def test_one_hot_out_of_range():
    with pytest.raises(InputError, match=r"labels\[1\] = 3"):
        data.one_hot(np.array([0, 3]), 3)


def test_unknown_augmentation():
    with pytest.raises(UnknownNameError, match="did you mean 'rotate'"):
        data.check_augmentations(("flip", "rotation"))
    with pytest.raises(InputError, match="once"):
        data.check_augmentations(("flip", "flip"))
