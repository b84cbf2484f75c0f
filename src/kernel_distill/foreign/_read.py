"""From a file of others to a distilled set that says what it is."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from kernel_distill import data
from kernel_distill._errors import InputError
from kernel_distill.artefact import Distilled, package_versions
from kernel_distill.data import LABEL_CONVENTION, Dataset
from kernel_distill.foreign._description import main_of
from kernel_distill.foreign._exported import check_told, restored
from kernel_distill.foreign._folder import numbered
from kernel_distill.foreign._held import Held
from kernel_distill.foreign._labels import OTHER, as_targets
from kernel_distill.foreign._names import Told, told_by_name
from kernel_distill.foreign._preprocessing import setting_of, to_model, which
from kernel_distill.foreign._readers import held_in, metadata_in
from kernel_distill.foreign._recognise import kind_of
from kernel_distill.kernels import named

_KIP_RIDGE = 1e-6


def load_data(
    path: str | Path,
    *,
    dataset: str | Path | None = None,
    preprocessing: str | None = None,
    data_dir: str | Path | None = None,
) -> Dataset:
    """The data set that a distilled set of others belongs to, preprocessed as its images are.

    Args:
        path: the file or folder.
        dataset: as for `data.load`; by default what the file tells, or its name.
        preprocessing: how the images of the file are preprocessed, one of `PREPROCESSINGS`; by
            default what the file tells, or its name.
        data_dir: as for `data.load`.

    Raises:
        InputError: the file's name does not tell, or tells otherwise; there is no such file; it
            does not fit a data set that would be downloaded; or as `data.load`.
        UnknownNameError: no such data set or preprocessing.
        DamagedFileError, MissingExtraError: as `read`.
    """
    path = main_of(Path(path))
    kind = kind_of(path)
    metadata = metadata_in(path, kind)
    if metadata is not None:
        check_told(path, metadata, preprocessing)
        return data.load_again(metadata, dataset=dataset, data_dir=data_dir)
    told = told_by_name(path)
    name = which(path, told, preprocessing)
    where = dataset or told.dataset
    if where is None:
        raise InputError(
            f"{path} does not tell which data set it was distilled from. Say it as dataset (on the "
            "command line --dataset): cifar10, mnist, ..."
        )
    known = data.outline(where, data_dir=data_dir)
    if known is not None:  # what does not fit is refused before it is downloaded
        _check_name(path, told, known.name)
        if (shape := known.image_shape) is not None:
            held = _fitted(path, kind, shape, known.class_names, index=0, own=False)
            as_targets(held.labels, num_classes=known.num_classes, path=path)
    return data.load(where, data_dir=data_dir, preprocessing=setting_of(name))


def read(
    path: str | Path, dataset: Dataset, *, preprocessing: str | None = None, index: int = 0
) -> Distilled:
    """A distilled set of others, with metadata for `evaluate` and for training networks on it.

    Read are: an .npz with `images` (channels last, as in KIP's release, or first, as RFAD's) and
    `labels`; a `.pt` of DC, DSA or DM, `{"data": [[images, labels], ...]}`, and a folder of
    DD-Ranking (images.pt, labels.pt), through torch; a folder with a folder of PNG or JPEG images a
    class; a folder of TensorFlow Datasets, or of Parquet files, with `image` and `label`. Nothing
    in them is executed.

    What `write` has written becomes what it was, as far as the format holds that, its metadata
    among it. Of others, images of floats are taken as preprocessed, those of 8 bits as natural:
    they are preprocessed as the data set is. Labels become one-hot minus 1/C where they are numbers
    of classes or probabilities; `metadata["origin"]["labels"]` says what they were.

    Args:
        path: the file or folder. The names of KIP's release and of DC, DSA and DM tell of the
            preprocessing, the architecture and the size, and are held to that.
        dataset: what was distilled, loaded with the same preprocessing, as `load_data` does.
        preprocessing: how the images are preprocessed, one of `PREPROCESSINGS`; by default what the
            file's name tells.
        index: of several sets in a `.pt`, which one.

    Raises:
        InputError: the file does not tell how its images are preprocessed; the data set is
            preprocessed otherwise; images of another size, or classes, than the data set has; the
            layout is not known; what is pickled is no tensor; or it is too large.
        DamagedFileError: a file is truncated or altered.
        MissingExtraError: a `.pt` needs torch, which is not installed.
    """
    path = main_of(Path(path))
    kind = kind_of(path)
    metadata = metadata_in(path, kind)
    if metadata is None:
        name = which(path, told_by_name(path), preprocessing)
        _check_dataset(path, told_by_name(path), dataset, name)
    else:
        check_told(path, metadata, preprocessing)
    shape, names, own = dataset.image_shape, dataset.class_names, metadata is not None
    held = _fitted(path, kind, shape, names, index=index, own=own)
    if metadata is None:
        return _of_others(path, held, dataset, name=name, index=index)
    return restored(path, held, metadata, dataset)


def describe(distilled: Distilled) -> str:
    """What was found in a file of others, in a line for people."""
    metadata = distilled.metadata
    origin = metadata["origin"]
    several = f" (set {origin['index']} of {origin['sets']})" if origin["sets"] > 1 else ""
    return (
        f"{origin['file']}{several}, {origin['layout']}: {len(distilled)} images of "
        f"{metadata['dataset']['name']}, preprocessing {origin['preprocessing']}, labels written "
        f"as {origin['labels']}"
    )


def _fitted(
    path: Path,
    kind: str,
    shape: tuple[int, ...],
    class_names: Sequence[str],
    *,
    index: int,
    own: bool,
) -> Held:
    """What a file holds, images of the data set's shape, and its classes by number."""
    held = held_in(path, kind, image_shape=shape, index=index, own=own)
    held = replace(held, images=_channels_last(held.images, shape, path))
    if kind == "folder" and held.labels.dtype.kind == "U":  # the names of its folders
        labels = numbered(held.labels.tolist(), class_names, path)
        held = replace(held, labels=labels)
    return held


def _of_others(path: Path, held: Held, dataset: Dataset, *, name: str, index: int) -> Distilled:
    """What a file tells, and what its name does: `name` is that of the preprocessing."""
    told, images = told_by_name(path), held.images
    targets, written = as_targets(held.labels, num_classes=dataset.num_classes, path=path)
    if not len(images) == len(targets) > 0:
        raise InputError(
            f"images and labels must have the same number of rows, at least one; {path} has "
            f"{len(images)} and {len(targets)}. Take another copy of it."
        )
    _check_number(path, told, len(images), dataset.num_classes)
    known = held.method == "rfad" or told.method is not None
    origin = {
        "file": path.resolve().name,
        "layout": held.layout,
        "preprocessing": name,
        "labels": written,
        "sets": held.number,
        "index": index,
        "told_by_name": {key: value for key, value in asdict(told).items() if value is not None},
    }
    metadata = {
        "method": held.method or told.method or "foreign",
        "dataset": dataset.to_metadata(),
        "label_convention": LABEL_CONVENTION if known or written != OTHER else OTHER,
        "preprocessing": dataset.preprocessing.to_metadata(),
        "origin": origin,
        "packages": package_versions(),
        **_kernel(held, told),
    }
    model_images = to_model(images, name=name, dataset=dataset, path=path)
    return Distilled(np.ascontiguousarray(model_images), targets, metadata)


def _check_dataset(path: Path, told: Told, dataset: Dataset, name: str) -> None:
    if dataset.preprocessing.name != setting_of(name):
        raise InputError(
            f"the images of {path} are preprocessed by {name!r}, and go with a data set loaded "
            f"with preprocessing={setting_of(name)!r}; this one has "
            f"{dataset.preprocessing.name!r}."
        )
    if not dataset.version.startswith("sha256:"):  # a user's own copy has any name
        _check_name(path, told, dataset.name)


def _check_name(path: Path, told: Told, dataset: str) -> None:
    if told.dataset not in (None, dataset):
        raise InputError(
            f"the name of {path.name} tells of the data set {told.dataset}; got {dataset}. "
            "Give that one; or rename the file, if its name is wrong."
        )


def _check_number(path: Path, told: Told, number: int, num_classes: int) -> None:
    expected = told.support_size
    if told.images_per_class is not None:
        expected = told.images_per_class * num_classes
    if expected not in (None, number):
        raise InputError(
            f"the name of {path.name} tells of {expected} images; it holds {number}. Rename it, or "
            "take another copy of it."
        )


def _channels_last(
    images: Shaped[np.ndarray, "..."], image_shape: tuple[int, ...], path: Path
) -> Shaped[np.ndarray, "n *shape"]:
    if images.ndim and images.shape[1:] == image_shape:
        return images
    orders = [image_shape]
    if len(image_shape) == 3:
        height, width, channel = image_shape
        orders += [(channel, height, width)]
        if images.shape[1:] == orders[1]:
            return images.transpose(0, 2, 3, 1)
        if channel == 1 and images.shape[1:] == (height, width):
            return images[..., None]
    required = " or ".join(f"[n, {', '.join(map(str, order))}]" for order in orders)
    raise InputError(
        f"images must be {required}, as those of the data set are; {path} has "
        f"{list(images.shape)}. Give the data set that it was distilled from."
    )


def _kernel(held: Held, told: Told) -> dict[str, Any]:
    """The kernel that the set was distilled with, as artefacts name it; empty where unknown."""
    architecture = held.architecture or told.architecture
    if architecture is None:
        return {}
    metadata, kind = named(architecture).to_metadata(), held.kernel or "ntk"
    return {
        "architecture": metadata,
        "architectures": [metadata | {"kernel": kind}],
        "kernel": kind,
        "ridge": _KIP_RIDGE if held.ridge is None else held.ridge,
    }
