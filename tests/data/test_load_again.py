"""The data set of an artefact, found again."""

import json
import shutil

import numpy as np
import pytest

from kernel_distill import data
from kernel_distill._errors import InputError


def metadata_of(dataset):
    """As an artefact holds them, through JSON."""
    return json.loads(
        json.dumps(
            {
                "dataset": dataset.to_metadata(),
                "preprocessing": dataset.preprocessing.to_metadata(),
            }
        )
    )


def assert_same(one, other):
    for part in ("train", "validation", "test"):
        first, second = getattr(one, part), getattr(other, part)
        assert first.fingerprint == second.fingerprint
        assert np.array_equal(first.images, second.images)
        assert np.array_equal(first.labels, second.labels)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"validation_size": 0, "test_size": 100},
        {"split_seed": 3, "preprocessing": "none"},
        {"preprocessing": "zca", "zca_regularisation": 0.3},
        {"preprocessing": "whiten"},
        {"image_size": 6},
    ],
)
def test_digits_with_every_setting(settings):
    dataset = data.load("digits", **settings)
    assert_same(dataset, data.load_again(metadata_of(dataset)))


def test_whitening_is_taken_from_its_file(tmp_path):
    dataset = data.load("digits", preprocessing="zca")
    dataset.preprocessing.save_whitening(tmp_path / "preprocessing.npz")
    again = data.load_again(metadata_of(dataset), whitening=tmp_path / "preprocessing.npz")
    assert_same(dataset, again)
    other = data.load("digits", preprocessing="zca", split_seed=1)
    with pytest.raises(InputError, match="another data set, split or setting"):
        data.load_again(metadata_of(other), whitening=tmp_path / "preprocessing.npz")


@pytest.fixture
def own(arrays, tmp_path):
    images, labels = arrays
    path = tmp_path / "own.npz"
    np.savez(path, images=images, labels=labels)
    return path


def test_own_file_that_has_moved(own, tmp_path):
    dataset = data.load(own)
    metadata = metadata_of(dataset)
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(own, tmp_path / "elsewhere" / "renamed.npz")
    assert_same(dataset, data.load_again(metadata, dataset=moved))


def test_own_file_that_has_changed(own, arrays):
    metadata = metadata_of(data.load(own))
    images, labels = arrays
    images[3] += 0.5
    np.savez(own, images=images, labels=labels)
    with pytest.raises(
        InputError, match=r"not the data set that this was distilled from: data was"
    ):
        data.load_again(metadata, dataset=own)


def test_own_file_that_nobody_names(own):
    metadata = metadata_of(data.load(own))
    with pytest.raises(InputError, match=r"'own', which is no known data set.*--dataset"):
        data.load_again(metadata)


def test_another_data_set(own):
    with pytest.raises(InputError, match=r"digits is not the data set .*Give the data of then"):
        data.load_again(metadata_of(data.load(own)), dataset="digits")


@pytest.fixture
def no_downloads(monkeypatch):
    """Any would fail the test: a network that is not there is looked for at length."""
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", None)


@pytest.mark.usefixtures("no_downloads")
@pytest.mark.parametrize(
    ("recorded", "said"), [("digits 1", "mnist"), ("mnist 1.0.0", None), ("mnist 3.0.1", "cifar10")]
)
def test_another_data_set_is_refused_before_it_is_downloaded(recorded, said, tmp_path):
    metadata = metadata_of(data.load("digits"))
    metadata["dataset"]["name"] = recorded.split()[0]
    metadata["preprocessing"]["recipe"]["data"] = recorded
    with pytest.raises(InputError, match=rf"data was '{recorded}', is '(mnist|cifar10) 3\.0"):
        data.load_again(metadata, dataset=said, data_dir=tmp_path)


@pytest.mark.usefixtures("no_downloads")
def test_what_is_known_before_a_download(own, tmp_path):
    for name, shape in (("mnist", (28, 28, 1)), ("cifar100", (32, 32, 3)), ("food101", None)):
        known = data.outline(name, data_dir=tmp_path)
        assert (known.name, known.image_shape) == (name, shape)
        assert known.num_classes == {"mnist": 10}.get(name, 100 if shape else 101)
    resized = data.outline("imagenet_resized/32x32", data_dir=tmp_path)
    assert (resized.name, resized.num_classes) == ("imagenet_resized/32x32", 1000)
    assert data.outline("digits") is None
    assert data.outline(own) is None
    with pytest.raises(InputError, match="unknown data set"):
        data.outline("mnits", data_dir=tmp_path)


def test_own_file_that_has_gone(own):
    metadata = metadata_of(data.load(own))
    own.unlink()
    with pytest.raises(InputError, match="no such file"):
        data.load_again(metadata, dataset=own)


def test_the_name_of_the_data_is_asked_for_where_it_is_missing():
    dataset = data.load("digits")
    metadata = {"preprocessing": dataset.preprocessing.to_metadata()}
    with pytest.raises(InputError, match="say it as dataset"):
        data.load_again(metadata)
    assert_same(dataset, data.load_again(metadata, dataset="digits"))
