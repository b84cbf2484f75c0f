"""Exports that are refused, or fail on the way, and altered ones."""

import importlib.util
import json
import sys
import zipfile
from types import ModuleType

import numpy as np
import pytest

import kernel_distill as kd
from kernel_distill import data, foreign
from kernel_distill._errors import (
    DamagedFileError,
    InputError,
    MissingExtraError,
    StorageError,
    UnknownNameError,
)
from kernel_distill.foreign import _write


def altered(distilled, **metadata):
    return kd.Distilled(distilled.images, distilled.labels, distilled.metadata | metadata)


def test_what_is_there_is_kept(distilled, tmp_path):
    path = tmp_path / "export"
    foreign.write(distilled, path, format="png")
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(InputError, match="exists: choose another --out, or give --overwrite"):
        foreign.write(distilled, path, format="png")
    with pytest.raises(InputError, match=r"the format is a file; .* is a folder"):
        foreign.write(distilled, path, format="npz", overwrite=True)
    (path / "mine.txt").write_text("of the user")
    with pytest.raises(InputError, match=r"nothing but an earlier export.*holds mine\.txt"):
        foreign.write(distilled, path, format="png", overwrite=True)
    (path / "mine.txt").unlink()
    assert before == {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    foreign.write(distilled, path, format="parquet", overwrite=True)
    assert not (path / "labels.csv").exists()
    assert (path / "README.md").exists()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("of the user")
    with pytest.raises(InputError, match=r"holds thesis\.tex"):
        foreign.write(distilled, tmp_path / "folder", format="png", overwrite=True)
    (tmp_path / "file").write_text("of the user")
    with pytest.raises(InputError, match=r"the format is a folder; .* is a file"):
        foreign.write(distilled, tmp_path / "file", format="png", overwrite=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["export", "file", "folder"]


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt()])
def test_nothing_half_written_is_left(distilled, tmp_path, monkeypatch, error):
    path = tmp_path / "export"
    foreign.write(distilled, path, format="png")

    def fails(content, folder):
        (folder / "half.png").write_bytes(b"half")
        raise error

    monkeypatch.setitem(_write.FOLDERS, "png", fails)
    raised = StorageError if isinstance(error, OSError) else KeyboardInterrupt
    for target in (path, tmp_path / "new"):
        with pytest.raises(raised):
            foreign.write(distilled, target, format="png", overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["export"]
    assert (path / "contact_sheet.png").exists()


def test_libraries_that_are_not_there(distilled, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for form in ("dc", "dc-bench", "dd-ranking"):
        with pytest.raises(MissingExtraError, match=rf"{form} .*'kernel-distill\[torch\]'"):
            foreign.write(distilled, tmp_path / f"{form}.pt", format=form)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def any_torch(monkeypatch):
    """One that can be imported, for what is refused before it is needed."""
    if importlib.util.find_spec("torch") is None:
        monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))


@pytest.mark.usefixtures("any_torch")
def test_sets_that_a_format_cannot_hold(distilled, digits, natural, tmp_path, distilled_of):
    def refused(match, chosen, form, **settings):
        with pytest.raises(InputError, match=match):
            foreign.write(chosen, tmp_path / "a", format=form, **settings)

    dataset = digits.to_metadata()
    few = dataset | {"class_names": dataset["class_names"][:9]}
    refused("10 classes; got 9 names", altered(distilled, dataset=few), "png")
    twice = dataset | {"class_names": [*dataset["class_names"][:9], "0"]}
    refused("must differ from each other", altered(distilled, dataset=twice), "tfds")
    refused("must tell what it was made from", altered(distilled, dataset={}), "png")
    refused("how the images were preprocessed", altered(distilled, preprocessing={}), "png")
    with pytest.raises(UnknownNameError, match="did you mean 'parquet'"):
        foreign.write(distilled, tmp_path / "a", format="parket")
    uneven = kd.Distilled(distilled.images[1:], distilled.labels[1:], distilled.metadata)
    for form in ("dc-bench", "dd-ranking"):
        refused("as many images of each class", uneven, form)
    no_step = {key: value for key, value in distilled.metadata.items() if key != "step"}
    unknown = kd.Distilled(distilled.images, distilled.labels, no_step)
    refused("the architecture and the step", unknown, "npz-kip")
    plain = data.load("digits", preprocessing="none")
    refused("preprocessing 'none'", distilled_of(plain), "npz-kip")
    table = data.from_arrays(
        natural.mnist_images.reshape(-1, 784)[:, ::9] / 1.0, natural.mnist_labels
    )
    for form in foreign.FORMATS[1:]:
        refused(r"takes images .*this set has \[88\]", distilled_of(table), form)
    four = np.repeat(natural.mnist_images[:, ::4, ::4], 4, axis=-1)
    colours = distilled_of(data.from_arrays(four, natural.mnist_labels))
    for form in ("png", "parquet", "tfds"):
        refused(r"with 1 or 3 channels; this set has \[7, 7, 4\]", colours, form)
    assert not list(tmp_path.iterdir())


def test_names_in_the_metadata_lead_nowhere(distilled, tmp_path):
    name = "../../../a/../b"
    others = altered(
        distilled,
        method=name,
        dataset=distilled.metadata["dataset"] | {"name": name, "class_names": list("0123456/.8")},
        architecture={"name": name},
    )
    (tmp_path / "1" / "2").mkdir(parents=True)
    for form in ("npz-kip", "png", "parquet"):
        foreign.write(others, tmp_path / "1" / "2" / form, format=form)
        assert [file.name for file in tmp_path.iterdir()] == ["1"]
        assert [file.name for file in (tmp_path / "1").iterdir()] == ["2"]


def test_arrays_that_are_no_floats(distilled, digits, tmp_path):
    path = tmp_path / "kip"
    foreign.write(distilled, path, format="npz-kip")
    (file,) = path.glob("*.npz")
    numbers = np.ones(distilled.images.shape, np.int64)
    for images, labels, match in (
        (numbers, distilled.labels, "images must be floats;.*has int64"),
        (distilled.images, distilled.labels.astype(np.int64), "labels must be floats;.*has int64"),
        (distilled.images, np.arange(20), r"integers from 0 to 9 .*got labels\[10\] = 10"),
        (distilled.images * np.nan, distilled.labels, "images must be finite.*has nan"),
    ):
        np.savez(file, images=images, labels=labels)
        with pytest.raises(InputError, match=match):
            foreign.read(path, digits)


def with_export(path, **changed):
    """Alters what metadata.json of an export says of it."""
    file = path / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["export"] |= changed
    file.write_text(json.dumps(metadata))


def test_names_that_lead_out(distilled, digits, tmp_path):
    path = tmp_path / "kip"
    foreign.write(distilled, path, format="npz-kip")
    for name in ("../secret.npz", "/etc/secret.npz", "a/../../b.npz", "C:\\b.npz", "..\\b.npz"):
        with_export(path, main=name)
        for read in (
            foreign.load_data,
            foreign.recognised,
            lambda path: foreign.read(path, digits),
        ):
            with pytest.raises(InputError, match="must lie in its folder"):
                read(path)
        archive = tmp_path / "a.npz"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr(name, b"")
        with pytest.raises(InputError, match="must not lead out of it"):
            foreign.read(archive, digits, preprocessing="standardise")


def test_metadata_that_are_not_whole(distilled, digits, tmp_path):
    path = tmp_path / "png"
    foreign.write(distilled, path, format="png")
    file = path / "metadata.json"
    whole = json.loads(file.read_text())
    export = whole["export"]
    wrong = [
        {"export": {}},
        {"export": export},
        whole | {"preprocessing": {"recipe": {}}},
        whole | {"preprocessing": {"recipe": {"preprocessing": "zca"}}},
        whole | {"dataset": {"name": 3, "class_names": []}},
        whole | {"dataset": {"name": "digits", "class_names": [1, 2]}},
        whole | {"export": export | {"files": 3}},
        whole | {"format_version": "1"},
    ]
    mark = '{"export": {'
    for text in (*map(json.dumps, wrong), mark, file.read_text()[:-9], mark + '"a":[' * 100000):
        file.write_text(text)
        with pytest.raises(DamagedFileError, match="not those of an export, or not whole"):
            foreign.read(path, digits)
    file.write_text(json.dumps(whole | {"format_version": 99}))
    with pytest.raises(InputError, match="has format version 99"):
        foreign.read(path, digits)
    file.write_text('{"export": "another tool"}')  # whose folder is one of others
    with pytest.raises(InputError, match="--preprocessing"):
        foreign.load_data(path)


def test_labels_beside_pictures(distilled, digits, tmp_path):
    path = tmp_path / "png"
    foreign.write(distilled, path, format="png")
    file = path / "labels.csv"
    whole = file.read_text()
    header, first, *rest = whole.splitlines()
    infinite = ",".join([*first.split(",")[:-1], "inf"])
    for lines, error, match in (
        ([header], DamagedFileError, "not whole"),
        ([header, first, "x"], DamagedFileError, "not whole"),
        ([header, first, *rest[:-1]], InputError, "a row for each image"),
        ([header, first, first, *rest[:-1]], InputError, "a row for each image"),
        ([header, first.replace("0", "../../0", 1), *rest], InputError, "a row for each image"),
        ([header, infinite, *rest], InputError, "labels must be finite.*has inf"),
    ):
        file.write_text("\n".join(lines))
        with pytest.raises(error, match=match):
            foreign.read(path, digits)


def test_parquet_of_others(distilled, digits, tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "parquet"
    foreign.write(distilled, path, format="parquet")
    file = path / "data" / "train-00000-of-00001.parquet"
    whole, table = file.read_bytes(), pq.read_table(file)

    def refused(error, match, **columns):
        changed = table
        for name, values in columns.items():
            changed = changed.set_column(changed.column_names.index(name), name, pa.array(values))
        if columns:
            pq.write_table(changed, file)
        with pytest.raises(error, match=match):
            foreign.read(path, digits)

    labels = distilled.labels.tolist()
    refused(InputError, "labels must be finite", soft_label=[[np.nan] * 10, *labels[1:]])
    refused(InputError, r"labels must be \[n, 10\]", soft_label=[row[1:] for row in labels])
    refused(InputError, "numbers of .* must make up", soft_label=[labels[0][1:], *labels[1:]])
    refused(InputError, "numbers of .* must make up", model_image=[[[[1.0]]]] * 20)
    for damaged in (b"", whole[: len(whole) // 2], whole[:-1], b"PAR1" * 9):
        file.write_bytes(damaged)
        refused(DamagedFileError, "no whole Parquet file")
    file.write_bytes(whole)
    monkeypatch.setattr("kernel_distill._archive.LARGEST", 2**11)
    refused(InputError, "a distilled set must be at most")
    # equal numbers in one row, which are packed small
    pq.write_table(pa.table({"model_image": [[0.0] * 2**16], "soft_label": [[0.0]]}), file)
    assert file.stat().st_size < 2**11
    monkeypatch.setattr("pyarrow.parquet.ParquetFile.iter_batches", None)  # none is unpacked
    refused(InputError, "a distilled set must be at most")
    monkeypatch.undo()
    file.write_bytes(whole)
    (path / "metadata.json").unlink()
    for column, match in (
        (["a path.png"] * 20, "must hold PNG or JPEG in bytes"),
        ([{"bytes": None, "path": "a.png"}] * 20, "must hold PNG or JPEG in bytes"),
    ):
        pq.write_table(table.set_column(0, "image", pa.array(column)), file)
        with pytest.raises(InputError, match=match):
            foreign.read(path, digits, preprocessing="standardise")
    pq.write_table(table.rename_columns(["picture", *table.column_names[1:]]), file)
    with pytest.raises(InputError, match=r"columns image and label; .* has picture, label"):
        foreign.read(path, digits, preprocessing="standardise")


@pytest.mark.slow
def test_records_that_are_not_whole(distilled, digits, tmp_path):
    path = tmp_path / "tfds"
    foreign.write(distilled, path, format="tfds")
    (file,) = path.glob("*.tfrecord-*")
    whole = file.read_bytes()
    for damaged in (whole[:100], whole[:-1], b"x" * 100):
        file.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=r"records in .* are not whole"):
            foreign.read(path, digits)
    file.write_bytes(b"")
    with pytest.raises(InputError, match="there must be some"):
        foreign.read(path, digits)
