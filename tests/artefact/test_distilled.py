"""The distilled data set as a file: round trips, the same bytes, and every kind of damage."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

from kernel_distill import _archive
from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill.artefact import Distilled, load

FIXTURE = Path(__file__).parent / "fixtures" / "distilled_v1.npz"


def make(rows=7, shape=(5, 4, 3), classes=3, **metadata) -> Distilled:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((rows, *shape)).astype(np.float32)
    labels = rng.standard_normal((rows, classes)).astype(np.float32)
    return Distilled(images, labels, {"method": "kip", **metadata})


@pytest.mark.parametrize("shape", [(5, 4, 3), (8, 8, 1), (2,), (11,)])
def test_a_file_gives_back_what_was_saved(tmp_path, shape):
    distilled = make(shape=shape, class_names=("Mädchen", "犬", "$x"), ridge=1e-6, seed=2**63)
    distilled.save(tmp_path / "new" / "folder" / "set.npz")
    loaded = load(tmp_path / "new" / "folder" / "set.npz")
    np.testing.assert_array_equal(loaded.images, distilled.images)
    np.testing.assert_array_equal(loaded.labels, distilled.labels)
    assert loaded.images.dtype == loaded.labels.dtype == np.float32
    assert loaded.metadata == distilled.metadata
    assert loaded.metadata["class_names"] == ["Mädchen", "犬", "$x"]
    assert loaded.metadata["ridge"] == 1e-6
    assert len(loaded) == 7


def test_the_same_content_gives_the_same_bytes(tmp_path):
    make().save(tmp_path / "a.npz")
    make().save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    # nor do the bytes hold the time of writing
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        assert {entry.date_time for entry in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_images_that_are_not_in_c_order_are_saved_in_it(tmp_path):
    images = np.asfortranarray(make().images)
    Distilled(images, make().labels, {}).save(tmp_path / "set.npz")
    np.testing.assert_array_equal(load(tmp_path / "set.npz").images, images)


def test_numpy_alone_reads_it_without_pickles(tmp_path):
    make(step=12).save(tmp_path / "set.npz")
    with np.load(tmp_path / "set.npz", allow_pickle=False) as file:
        assert file["images"].shape == (7, 5, 4, 3)
        assert json.loads(str(file["metadata"]))["step"] == 12


def test_a_run_folder_is_as_good_as_its_file(tmp_path):
    make().save(tmp_path / "distilled.npz")
    np.testing.assert_array_equal(load(tmp_path).images, make().images)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no distilled\.npz"):
        load(tmp_path / "empty")


def test_format_version_1_still_loads():
    # written by the first release's Distilled.save, from NumPy's default_rng(1)
    loaded = load(FIXTURE)
    images = np.random.default_rng(1).standard_normal((4, 5, 5, 1)).astype(np.float32)
    np.testing.assert_array_equal(loaded.images, images)
    np.testing.assert_array_equal(loaded.labels[0], np.float32([0.5, -0.5]))
    assert loaded.metadata["format_version"] == 1
    assert loaded.metadata["dataset"]["class_names"] == ["hund", "kätzchen"]
    assert loaded.metadata["architecture"]["w_std"] == 2**0.5


def test_metadata_are_what_json_gives_back():
    given = {
        "size": (2, 3),
        "accuracy": np.float32(0.5),
        "seed": np.arange(2, dtype=np.uint32),
        "loss": float("nan"),
        "path": Path("a/b"),
        "whole": np.bool_(True),
    }
    metadata = make(**given).metadata
    assert metadata["size"] == [2, 3]
    assert metadata["accuracy"] == 0.5
    assert metadata["seed"] == [0, 1]
    assert metadata["loss"] is None
    assert metadata["path"] == "a/b"
    assert metadata["whole"] is True
    with pytest.raises(InputError, match=r"got object at settings\.f"):
        make(settings={"f": object()})
    with pytest.raises(InputError, match="keys must be text"):
        make(settings={3: 1})


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (ones(3, 4, 4, 1), ones(2, 5), r"images\.shape=\(3, 4, 4, 1\), labels\.shape=\(2, 5\)"),
        (ones(3, 4, 4, 1, dtype=np.float64), ones(3, 5), "images must be a float32"),
        (ones(3, 4, 4, 1), ones(3, 5, dtype=np.int32), "labels must be a float32"),
        (ones(0, 4, 4, 1), ones(0, 5), "not empty"),
        (ones(3, 4, 4), ones(3, 5), r"got shape \(3, 4, 4\)"),
        (ones(3, 4, 4, 1), ones(3), r"labels must be \[s, class\]"),
        (ones(3, 2) * np.float32("nan"), ones(3, 5), r"nan at index \(0, 0\)"),
        (ones(3, 2), np.diag([1, np.inf, 1]).astype(np.float32), r"inf at index \(1, 1\)"),
    ],
)
def test_arrays_that_are_no_distilled_set_are_refused(images, labels, message, monkeypatch):
    # what a user meets, without the tests' own checks of shapes before it
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(InputError, match=message):
        Distilled(images, labels, {})


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"dataset": "mnist"}, r"metadata\['dataset'\] must be an object; got 'mnist'"),
        ({"dataset": {"class_names": [0, 1, 2]}}, r"\['class_names'\]\[0\] must be str; got 0"),
        ({"step": "5"}, r"metadata\['step'\] must be int | None; got '5'"),
        ({"metrics": {"test_accuracy": "0.5"}}, "must be float | int | None; got '0.5'"),
        ({"architectures": {"name": "fc1"}}, r"must be a list; got \{'name': 'fc1'\}"),
        ({"preprocessing": None}, "must be an object; got None"),
    ],
)
def test_metadata_of_another_form_are_refused(metadata, message):
    with pytest.raises(InputError, match=message.replace("|", r"\|")):
        make(**metadata)
    assert make(step=None, metrics={"test_accuracy": float("nan")}, mine=[1, "a"])


def test_a_change_of_a_byte_is_refused_or_changes_nothing(tmp_path):
    whole = FIXTURE.read_bytes()
    expected = load(FIXTURE)
    rng = np.random.default_rng(3)
    refused = 0
    for place in range(int(rng.integers(3)), len(whole), 3):
        altered = bytearray(whole)
        altered[place] ^= int(rng.integers(1, 256))
        path = tmp_path / "altered.npz"
        path.write_bytes(altered)
        try:
            loaded = load(path)
        except (DamagedFileError, InputError):
            refused += 1
        else:  # padding and dates of the zip file
            np.testing.assert_array_equal(loaded.images, expected.images)
            np.testing.assert_array_equal(loaded.labels, expected.labels)
            assert loaded.metadata == expected.metadata
    assert refused > 0.8 * len(whole) / 3


def test_a_truncated_file_is_refused(tmp_path):
    whole = FIXTURE.read_bytes()
    for length in (0, 1, 3, 30, 500, len(whole) // 2, len(whole) - 200, len(whole) - 1):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        with pytest.raises(DamagedFileError, match="truncated or damaged"):
            load(tmp_path / "cut.npz")


def rewritten(path, **changes):
    """The fixture with arrays exchanged, as a program other than this one would write it."""
    with np.load(FIXTURE) as file:
        arrays = {**{name: file[name] for name in file.files}, **changes}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_arrays_exchanged_behind_the_checksum_are_refused(tmp_path):
    images = load(FIXTURE).images
    for changes in (
        {"images": images[::-1]},
        {"images": images.astype(np.float64)},
        {"images": images.reshape(4, 25)},
        {"sha256": None},
        {"sha256": np.array("0" * 64)},
    ):
        with pytest.raises(DamagedFileError, match="checksum"):
            load(rewritten(tmp_path / "changed.npz", **changes))


def test_pickled_objects_are_refused_and_not_run(tmp_path):
    class Run:
        def __reduce__(self):
            return (Path(tmp_path / "was run").touch, ())

    hostile = np.array([Run()], dtype=object)
    np.savez(tmp_path / "a.npz", images=ones(1, 2), labels=ones(1, 2), metadata=hostile)
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Run()))
    buffer = io.BytesIO()
    np.save(buffer, hostile)
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as file:
        file.writestr("images.npy", buffer.getvalue())
        file.writestr("labels", pickle.dumps(Run()))
    for name in "abc":
        with pytest.raises(InputError, match="pickled"):
            load(tmp_path / f"{name}.npz")
    assert not (tmp_path / "was run").exists()


def test_what_swells_is_not_unpacked(tmp_path, monkeypatch):
    arrays = {"images": np.zeros((64, 32, 32, 1), np.float32), "metadata": np.array("{}")}
    np.savez_compressed(tmp_path / "a.npz", labels=np.zeros((64, 2), np.float32), **arrays)
    monkeypatch.setattr(_archive, "LARGEST", 2**17)
    with pytest.raises(InputError, match="must be at most 0 GiB"):
        load(tmp_path / "a.npz")
    # one that takes as much where it lies is none
    Distilled(arrays["images"], np.ones((64, 2), np.float32)).save(tmp_path / "b.npz")
    assert len(load(tmp_path / "b.npz")) == 64


def test_files_that_are_something_else_are_refused_with_what_is_required(tmp_path):
    np.savez(tmp_path / "foreign.npz", images=ones(3, 2), labels=ones(3, 2))
    with pytest.raises(InputError, match=r"lacks metadata and holds images, labels.*Distilled\("):
        load(tmp_path / "foreign.npz")
    np.save(tmp_path / "one.npy", ones(3))
    with pytest.raises(InputError, match="single array"):
        load(tmp_path / "one.npy")
    (tmp_path / "text.npz").write_text("images")
    with pytest.raises(DamagedFileError, match=r"not an \.npz"):
        load(tmp_path / "text.npz")
    with pytest.raises(InputError, match="No such file"):
        load(tmp_path / "none.npz")
    for metadata, message in (
        ("not JSON", "one JSON object"),
        ("[1]", "one JSON object"),
        ("{}", "format_version"),
        ('{"format_version": 2}', "Upgrade"),
    ):
        path = rewritten(tmp_path / "other.npz", metadata=np.array(metadata))
        with pytest.raises(InputError, match=message):
            load(path)
