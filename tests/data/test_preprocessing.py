"""Preprocessing against formulas in NumPy (float64) and scikit-learn."""

import json

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from kernel_distill import data
from kernel_distill._errors import DamagedFileError, InputError, StorageError
from kernel_distill.data import Preprocessing


def load(images, labels, **settings):
    return data.from_arrays(images, labels, images[:30], labels[:30], **settings)


def reference_unit(images, *, fitted_on):
    """Standardised channels, then each image less its mean at norm 1; float64, flattened."""
    images, fitted_on = images / 255, fitted_on / 255
    images = (images - fitted_on.mean((0, 1, 2))) / fitted_on.std((0, 1, 2))
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def reference_zca(images, *, fitted_on, regularisation):
    """The notebook's formula: from the singular values of C + regularisation tr(C)/d I."""
    train = reference_unit(fitted_on, fitted_on=fitted_on)
    moment = train.T @ train / len(train)
    d = len(moment)
    u, s, _ = np.linalg.svd(moment + regularisation * np.trace(moment) / d * np.eye(d))
    return (reference_unit(images, fitted_on=fitted_on) @ (u / np.sqrt(s) @ u.T)).reshape(
        images.shape
    )


@pytest.fixture(scope="module")
def small(natural):
    """300 CIFAR-10 images, every fourth pixel: d = 192 < n, so that whitening has full rank."""
    return natural.cifar10_images[:, 2::4, 2::4], natural.cifar10_labels


@pytest.fixture(scope="module")
def whitened(small):
    return load(*small, preprocessing="zca", validation_size=40)


def train_part(small, **settings):
    loaded = load(*small, preprocessing="none", **settings)
    return (loaded.train.images.astype(np.float64) * 255).round().astype(np.uint8)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_standardise_agrees_with_scikit_learn(natural, name):
    images, labels = getattr(natural, f"{name}_images"), getattr(natural, f"{name}_labels")
    loaded = load(images, labels, validation_size=37)
    train = train_part((images, labels), validation_size=37)
    channels = images.shape[-1]
    scaler = StandardScaler().fit(train.reshape(-1, channels) / 255)
    expected = scaler.transform(images[:30].reshape(-1, channels) / 255).reshape(
        30, *train.shape[1:]
    )
    np.testing.assert_allclose(loaded.test.images, expected, rtol=1e-5, atol=1e-6)


def test_standardise_of_tables_is_by_feature():
    random = np.random.default_rng(0)
    table = random.normal([1e4, -3, 0.01], [2.0, 100, 1e-3], (203, 3))
    loaded = load(table, np.arange(203) % 2, validation_size=0)
    expected = StandardScaler().fit_transform(table.astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(loaded.train.images, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("regularisation", [0.1, 1e-3])
def test_zca_is_the_papers_formula(small, regularisation):
    loaded = load(
        *small, preprocessing="zca", zca_regularisation=regularisation, validation_size=40
    )
    train = train_part(small, validation_size=40)
    expected = reference_zca(small[0][:30], fitted_on=train, regularisation=regularisation)
    # the product with the whitening matrix is float32: 1e-5 of the image's largest value
    np.testing.assert_allclose(loaded.test.images, expected, atol=1e-5 * np.abs(expected).max())


def test_whiten_is_rfads_formula(small, tmp_path):
    """Standardised channels, whitened as RFAD's data.py does, without the scaling to norm 1."""
    loaded = load(*small, preprocessing="whiten", validation_size=40)
    train = train_part(small, validation_size=40) / 255
    mean, std = train.mean((0, 1, 2)), train.std((0, 1, 2))
    rows = ((train - mean) / std).reshape(len(train), -1)
    moment = rows.T @ rows / len(rows)
    u, s, _ = np.linalg.svd(moment + 0.1 * np.trace(moment) / len(moment) * np.eye(len(moment)))
    test = ((small[0][:30] / 255 - mean) / std).reshape(30, -1)
    expected = (test @ (u / np.sqrt(s) @ u.T)).reshape(loaded.test.images.shape)
    np.testing.assert_allclose(loaded.test.images, expected, atol=1e-5 * np.abs(expected).max())
    # nothing is lost, so that all is undone
    seen = loaded.preprocessing.invert_for_viewing(loaded.test.images)
    np.testing.assert_allclose(seen, small[0][:30] / 255, atol=1e-4)
    loaded.preprocessing.save_whitening(tmp_path / "preprocessing.npz")
    restored = Preprocessing.from_metadata(
        json.loads(json.dumps(loaded.preprocessing.to_metadata())),
        whitening=tmp_path / "preprocessing.npz",
    )
    np.testing.assert_array_equal(restored.apply(small[0][:30]), loaded.test.images)


def test_whitened_second_moment_is_the_identity(small):
    loaded = load(*small, preprocessing="zca", zca_regularisation=1e-9, validation_size=0)
    rows = loaded.train.images.reshape(len(loaded.train), -1).astype(np.float64)
    d = rows.shape[1]
    constant = np.full((d, d), 1 / d)  # no image has a part along this direction: it stays zero
    np.testing.assert_allclose(rows.T @ rows / len(rows), np.eye(d) - constant, atol=1e-3)


def test_fitting_in_blocks_is_fitting_at_once(small, whitened, monkeypatch):
    monkeypatch.setattr("kernel_distill.data._preprocessing._BLOCK_BYTES", 7 * 192 * 8)
    in_blocks = load(*small, preprocessing="zca", validation_size=40)
    np.testing.assert_allclose(in_blocks.train.images, whitened.train.images, atol=2e-4)
    np.testing.assert_allclose(
        in_blocks.preprocessing.to_metadata()["average_norm"],
        whitened.preprocessing.to_metadata()["average_norm"],
        rtol=1e-12,
    )


def test_constant_images_and_channels_do_not_divide_by_zero(small):
    images, labels = small[0].copy(), small[1]
    images[..., 1] = 77
    images[5, ..., [0, 2]] = 10
    for preprocessing in ("standardise", "zca"):
        loaded = load(images, labels, preprocessing=preprocessing)
        for split in (loaded.train, loaded.validation, loaded.test):
            assert np.isfinite(split.images).all()
    assert np.abs(load(images, labels).train.images[..., 1]).max() < 1e-6
    constant = np.full((30, 4, 4, 1), 0.1)
    assert np.abs(load(constant, np.arange(30) % 2).train.images).max() < 1e-6
    with pytest.raises(InputError, match="not constant"):
        load(constant, np.arange(30) % 2, preprocessing="zca")


@pytest.mark.parametrize("preprocessing", ["none", "standardise"])
def test_viewing_undoes_standardisation(small, preprocessing):
    loaded = load(*small, preprocessing=preprocessing)
    seen = loaded.preprocessing.invert_for_viewing(loaded.test.images)
    np.testing.assert_allclose(seen, small[0][:30] / 255, atol=1e-6)
    assert seen.dtype == np.float32


def test_viewing_undoes_whitening_but_for_brightness_and_contrast(small, whitened):
    seen = whitened.preprocessing.invert_for_viewing(whitened.test.images)
    assert 0 <= seen.min() < seen.max() <= 1
    natural = small[0][:30] / 255
    correlation = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(seen, natural, strict=True)
    ]
    # not 1: clipping, and the channels' means are taken off before each image's own
    assert np.min(correlation) > 0.9
    assert np.median(correlation) > 0.985


def test_viewed_images_have_the_average_mean_and_norm(whitened):
    steps, metadata = whitened.preprocessing.steps, whitened.preprocessing.to_metadata()
    images = whitened.train.images.astype(np.float64)
    for scale in (1, 17):  # a distilled image's norm is anything
        rows = steps[1].undo(steps[2].undo(images * scale)).reshape(len(images), -1)
        np.testing.assert_allclose(rows.mean(1), metadata["average_mean"], atol=1e-10)
        norm = np.linalg.norm(rows - rows.mean(1, keepdims=True), axis=1)
        np.testing.assert_allclose(norm, metadata["average_norm"], rtol=1e-10)


def test_average_mean_and_norm(small, whitened):
    train = train_part(small, validation_size=40) / 255
    rows = ((train - train.mean((0, 1, 2))) / train.std((0, 1, 2))).reshape(len(train), -1)
    metadata = whitened.preprocessing.to_metadata()
    np.testing.assert_allclose(metadata["average_mean"], rows.mean(1).mean(), atol=1e-12)
    norm = np.linalg.norm(rows - rows.mean(1, keepdims=True), axis=1)
    np.testing.assert_allclose(metadata["average_norm"], norm.mean(), rtol=1e-12)


@pytest.mark.parametrize("preprocessing", ["none", "standardise"])
def test_metadata_round_trip(small, preprocessing):
    loaded = load(*small, preprocessing=preprocessing)
    metadata = json.loads(json.dumps(loaded.preprocessing.to_metadata()))
    restored = Preprocessing.from_metadata(metadata)
    np.testing.assert_array_equal(restored.apply(small[0][:30]), loaded.test.images)
    assert restored.fingerprint == loaded.test.fingerprint


def test_whitening_round_trip(small, whitened, tmp_path):
    path = tmp_path / "preprocessing.npz"
    whitened.preprocessing.save_whitening(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["preprocessing.npz"]
    metadata = json.loads(json.dumps(whitened.preprocessing.to_metadata()))
    restored = Preprocessing.from_metadata(metadata, whitening=path)
    np.testing.assert_array_equal(restored.apply(small[0][:30]), whitened.test.images)

    again = load(*small, preprocessing="zca", validation_size=40, whitening=path)
    np.testing.assert_array_equal(again.test.images, whitened.test.images)

    alone = Preprocessing.from_metadata(metadata)
    assert alone.fingerprint == whitened.train.fingerprint
    for use in (alone.apply, alone.invert_for_viewing):
        with pytest.raises(InputError, match=r"needs its whitening matrix.*preprocessing\.npz"):
            use(whitened.test.images)


def test_whitening_of_another_recipe_is_refused(small, whitened, tmp_path):
    path = tmp_path / "preprocessing.npz"
    whitened.preprocessing.save_whitening(path)
    with pytest.raises(InputError, match=r"recipe with fingerprint.*another data set, split"):
        load(*small, preprocessing="zca", validation_size=41, whitening=path)
    with pytest.raises(InputError, match="no such file"):
        load(*small, preprocessing="zca", whitening=tmp_path / "other.npz")
    plain = load(*small).preprocessing
    with pytest.raises(InputError, match="no whitening matrix to save"):
        plain.save_whitening(path)
    with pytest.raises(InputError, match="fingerprint"):
        plain.with_whitening(path)


def test_damaged_whitening_is_refused(whitened, tmp_path):
    path = tmp_path / "preprocessing.npz"
    whitened.preprocessing.save_whitening(path)
    whole = path.read_bytes()
    for damaged in (whole[:-100], whole[:5000] + bytes([whole[5000] ^ 4]) + whole[5001:], b""):
        path.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=r"no whole preprocessing\.npz"):
            whitened.preprocessing.with_whitening(path)


def test_whitening_that_cannot_be_written(whitened, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="could not write"):
        whitened.preprocessing.save_whitening(tmp_path / "file" / "preprocessing.npz")


def test_altered_metadata_are_refused(small):
    metadata = load(*small).preprocessing.to_metadata()
    altered = metadata | {"recipe": metadata["recipe"] | {"split_seed": 7}}
    with pytest.raises(DamagedFileError, match=r"fingerprint.*was altered"):
        Preprocessing.from_metadata(altered)
    with pytest.raises(DamagedFileError, match="mean"):
        Preprocessing.from_metadata({key: metadata[key] for key in metadata.keys() - {"mean"}})


@pytest.mark.parametrize(
    "change",
    [
        {"validation_size": 31},
        {"split_seed": 1},
        {"preprocessing": "none"},
        {"preprocessing": "zca", "zca_regularisation": 0.2},
        {"image_size": 4},
        {"class_names": list("abcdefghij")},
    ],
)
def test_fingerprint_follows_the_recipe(small, change):
    base = {"preprocessing": "zca"} if "zca_regularisation" in change else {}
    first, again = load(*small, **base), load(*small, **base)
    other = load(*small, **(base | change))
    assert first.preprocessing.fingerprint == again.preprocessing.fingerprint
    assert first.preprocessing.fingerprint != other.preprocessing.fingerprint
    assert len(first.preprocessing.fingerprint) == 16


def test_shape_and_dtype_are_checked(small):
    preprocessing = load(*small).preprocessing
    with pytest.raises(InputError, match=r"\[n, 8, 8, 3\]; got \[30, 8, 8, 1\]"):
        preprocessing.apply(small[0][:30, ..., :1])
    with pytest.raises(InputError, match="uint8 or floating point; got int32"):
        preprocessing.apply(small[0].astype(np.int32))
    with pytest.raises(InputError, match=r"\[n, 8, 8, 3\]; got \[5, 8, 3\]"):
        preprocessing.invert_for_viewing(np.zeros((5, 8, 3)))


def test_what_cannot_fit_in_memory_is_refused():
    images = np.zeros((20, 1200, 1200, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(20)
    with pytest.raises(InputError, match=r"needs about \d+ GiB of memory.*image_size"):
        load(images, np.arange(20) % 2, preprocessing="zca")
