"""From a name, a path or arrays to a data set that is split and preprocessed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from kernel_distill._errors import InputError
from kernel_distill.data._csv import read_csv
from kernel_distill.data._digits import read_digits
from kernel_distill.data._folder import read_folder
from kernel_distill.data._holdout import hold_out, most_to_hold_out
from kernel_distill.data._npz import read_npz
from kernel_distill.data._outline import Outline
from kernel_distill.data._preprocessing import Preprocessing
from kernel_distill.data._resize import resize_all
from kernel_distill.data._settings import WHITENINGS, Settings
from kernel_distill.data._source import Raw, Source, checked
from kernel_distill.data._split import Dataset, Split
from kernel_distill.data._tfds import known_names, outline_of_tfds, read_tfds

_FILES = (".npz", ".csv")
_VALIDATION_SHARE, _MOST_VALIDATION = 10, 5000
_TEST_SHARE, _MOST_TEST = 5, 10000


def load(
    dataset: str | Path = "digits",
    *,
    data_dir: str | Path | None = None,
    validation_size: int | None = None,
    test_size: int | None = None,
    split_seed: int = 0,
    image_size: int | None = None,
    preprocessing: str = "standardise",
    zca_regularisation: float = 0.1,
    whitening: str | Path | None = None,
) -> Dataset:
    """Load a data set by name or path, split and preprocessed.

    uint8 images are scaled to [0, 1] first; floating-point ones are taken as they are.

    Args:
        dataset: one of
            "digits" (inside scikit-learn: 8x8, ten classes; needs no download);
            the name of an image classification set of TensorFlow Datasets, downloaded if it is
            not prepared;
            a path to an .npz with `images` [n, height, width, channel], [n, height, width] or
            [n, feature], `labels` [n] (integers from 0, or names), and possibly `test_images`,
            `test_labels`, `class_names`;
            a path to a .csv with a header row, the class in column "label" or else the last one;
            a path to a folder with a folder of PNG or JPEG images a class, or with such folders
            under `train` and `test`.
        data_dir: where TensorFlow Datasets keeps prepared sets; None is $TFDS_DATA_DIR, else
            ~/tensorflow_datasets.
        validation_size: images held out of the training set, each class by its share; None is a
            tenth, at most 5000. The validation images are never trained on, and no preprocessing
            is fitted on them.
        test_size: for data that come without a test set: images held out of the training set, each
            class by its share; None is a fifth, at most 10000. Never changes with `split_seed`.
        split_seed: chooses the validation images.
        image_size: cut images to their central square and resize them to this height and width;
            needed where they differ in size.
        preprocessing: "standardise", "zca", "whiten" or "none"; see `Preprocessing`.
        zca_regularisation: of "zca" and "whiten", times the mean eigenvalue.
        whitening: of those two: a preprocessing.npz of the same data and settings, in place of
            fitting the whitening again.

    Raises:
        UnknownNameError: no such data set or preprocessing; with the nearest known names.
        InputError: a setting, file or data set is not what is required; also where a download
            fails.
        DamagedFileError: a file is truncated or altered.
    """
    settings = Settings(
        dataset=str(dataset),
        data_dir=None if data_dir is None else str(data_dir),
        validation_size=validation_size,
        test_size=test_size,
        split_seed=split_seed,
        image_size=image_size,
        preprocessing=preprocessing,
        zca_regularisation=zca_regularisation,
        whitening=None if whitening is None else str(whitening),
    )
    return _assemble(_read(dataset, settings), settings)


def from_arrays(
    train_images: Any,
    train_labels: Any,
    test_images: Any = None,
    test_labels: Any = None,
    *,
    name: str = "arrays",
    class_names: Sequence[str] | None = None,
    validation_size: int | None = None,
    test_size: int | None = None,
    split_seed: int = 0,
    image_size: int | None = None,
    preprocessing: str = "standardise",
    zca_regularisation: float = 0.1,
    whitening: str | Path | None = None,
) -> Dataset:
    """A data set from arrays; settings, defaults and errors are those of `load`.

    Args:
        train_images: [n, height, width, channel], [n, height, width] or, for tables, [n, feature];
            uint8 (scaled to [0, 1]) or floating point (taken as they are).
        train_labels: [n], integers from 0 to C-1 or class names, at least one of each class.
        test_images: of the same shape; None holds out `test_size` of the training images.
        test_labels: as train_labels.
        name: what artefacts call the data set.
        class_names: in the order of the labels; None takes them from the labels.
    """
    settings = Settings(
        dataset=name,
        validation_size=validation_size,
        test_size=test_size,
        split_seed=split_seed,
        image_size=image_size,
        preprocessing=preprocessing,
        zca_regularisation=zca_regularisation,
        whitening=None if whitening is None else str(whitening),
    )
    raw = Raw(
        name=name,
        version=None,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=class_names,
    )
    return _assemble(raw, settings)


def outline(dataset: str | Path, *, data_dir: str | Path | None = None) -> Outline | None:
    """What is known of a data set before it is downloaded; None of those that never are.

    Args:
        dataset, data_dir: as for `load`.

    Raises:
        UnknownNameError, InputError: it is no image classification set of TensorFlow Datasets.
    """
    folder = None if data_dir is None else str(data_dir)
    if str(dataset) == "digits" or _path_of(dataset, data_dir=folder) is not None:
        return None
    return outline_of_tfds(str(dataset), data_dir=folder)


def _read(dataset: str | Path, settings: Settings) -> Raw:
    name = str(dataset)
    if name == "digits":
        return read_digits()
    path = _path_of(dataset, data_dir=settings.data_dir)
    if path is None:
        return read_tfds(name, data_dir=settings.data_dir, image_size=settings.image_size)
    if path.suffix.lower() in _FILES:
        if not path.is_file():
            raise InputError(f"no such file: {path}. Check the path.")
        return read_npz(path) if path.suffix.lower() == ".npz" else read_csv(path)
    if path.is_file():
        raise InputError(
            f"a file of data must be an .npz or a .csv; got {path}. Save its arrays with "
            "numpy.savez_compressed(path, images=images, labels=labels)."
        )
    if path.is_dir():
        return read_folder(path, image_size=settings.image_size)
    raise InputError(f"no such folder: {path}. Check the path.")


def _path_of(dataset: str | Path, *, data_dir: str | None) -> Path | None:
    """The file or folder that is meant; None: the name of a set of TensorFlow Datasets is."""
    name = str(dataset)
    path = Path(name).expanduser()
    written_as_path = isinstance(dataset, Path) or name.startswith((".", "/", "~"))
    if written_as_path or path.suffix.lower() in _FILES or path.is_file():
        return path
    return path if path.is_dir() and name not in known_names(data_dir=data_dir) else None


def _assemble(raw: Raw, settings: Settings) -> Dataset:
    """Check, split, fit on the training images, apply to all."""
    source = checked(raw)
    _check_images_wanted(source, settings)
    if settings.image_size is not None:
        source = _resized(source, settings.image_size)
    images, labels = source.train_images, source.train_labels
    num_classes = len(source.class_names)

    test_images, test_labels = source.test_images, source.test_labels
    test_size = 0
    if test_images is None or test_labels is None:
        test_size = settings.test_size or max(1, min(_MOST_TEST, len(labels) // _TEST_SHARE))
        test = hold_out(labels, test_size, num_classes=num_classes, seed=0, what="test_size")
        test_images, test_labels = images[test], labels[test]
        images, labels = images[~test], labels[~test]

    validation_size = settings.validation_size
    if validation_size is None:
        validation_size = min(
            _MOST_VALIDATION,
            len(labels) // _VALIDATION_SHARE,
            most_to_hold_out(labels, num_classes=num_classes),
        )
    validation = hold_out(
        labels,
        validation_size,
        num_classes=num_classes,
        seed=settings.split_seed,
        what="validation_size",
    )
    train_images = images[~validation]
    recipe = _recipe(
        source,
        settings,
        train_size=len(train_images),
        validation_size=validation_size,
        test_size=test_size,
    )
    fitted = Preprocessing.fit(train_images, recipe=recipe, whitening=settings.whitening)

    def split(images: np.ndarray, labels: np.ndarray) -> Split:
        return Split(fitted.apply(images), labels, num_classes, fitted.fingerprint)

    return Dataset(
        name=source.name,
        version=source.version,
        class_names=source.class_names,
        train=split(train_images, labels[~validation]),
        validation=split(images[validation], labels[validation]),
        test=split(test_images, test_labels),
        preprocessing=fitted,
        test_held_out=test_size > 0,
        split_seed=settings.split_seed,
    )


def _resized(source: Source, size: int) -> Source:
    def resized(images: Num[np.ndarray, "n *shape"] | None) -> np.ndarray | None:
        return None if images is None else resize_all(images, size)

    return replace(
        source,
        train_images=resize_all(source.train_images, size),
        test_images=resized(source.test_images),
    )


def _check_images_wanted(source: Source, settings: Settings) -> None:
    if source.train_images.ndim == 4:
        return
    shape = source.train_images.shape
    if settings.preprocessing in WHITENINGS:
        raise InputError(
            f"preprocessing {settings.preprocessing!r} needs images [n, height, width, channel]; "
            f"got a table {shape}. Take 'standardise'."
        )
    if settings.image_size is not None:
        raise InputError(
            f"image_size needs images [n, height, width, channel]; got a table {shape}. Leave it "
            "out."
        )


def _recipe(
    source: Source, settings: Settings, *, train_size: int, validation_size: int, test_size: int
) -> dict[str, Any]:
    """What the preprocessing follows from, and hence what its fingerprint is of."""
    recipe: dict[str, Any] = {
        "data": source.identity,
        "class_names": list(source.class_names),
        "train_size": train_size,
        "validation_size": validation_size,
        "test_held_out": test_size,
        "split_seed": settings.split_seed,
        "image_size": settings.image_size,
        "preprocessing": settings.preprocessing,
    }
    if settings.preprocessing in WHITENINGS:
        recipe["zca_regularisation"] = float(settings.zca_regularisation)
    return recipe
