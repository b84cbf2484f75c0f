"""A folder with a folder of PNG or JPEG images a class."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kernel_distill._archive import refuse_large
from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill.artefact import contact_sheet
from kernel_distill.foreign._content import Content
from kernel_distill.foreign._held import Held
from kernel_distill.foreign._pictures import CHANNELS, pixels, png, require_image_shape

_SUFFIXES = (".png", ".jpg", ".jpeg")
_LABELS = "labels.csv"
_SHEET = "contact_sheet.png"
_NAME = re.compile(r"\w[\w .+-]{0,60}")  # that any file system takes for a folder
_EIGHT_BITS = "Pictures have 8 bits: the images that the model takes are rounded and clipped in it."


def classes_of(path: Path) -> list[Path]:
    """The folders in `path` that hold images."""
    return [
        folder
        for folder in sorted(path.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and _files(folder)
    ]


def read_folder(path: Path, *, image_shape: tuple[int, ...], own: bool) -> Held:
    """The images, as uint8, with the names of their folders as labels.

    Args:
        path: the folder.
        image_shape: (height, width, channel) that they must have.
        own: take the labels, and the order, of the labels.csv that an export wrote.

    Raises:
        InputError: as `pixels`; or labels.csv has other images than there are.
        DamagedFileError: a file is no whole image, or labels.csv is not whole.
    """
    require_image_shape(image_shape, path)
    files = [file for folder in classes_of(path) for file in _files(folder)]
    refuse_large(len(files) * int(np.prod(image_shape)), path)
    labels = np.array([file.parent.name for file in files])
    if own:
        files, labels = _labelled(path, files)
    images = np.stack([pixels(file, image_shape, place=str(file)) for file in files])
    return Held(images, labels, "a folder of images")


def numbered(labels: Sequence[str], class_names: Sequence[str], path: Path) -> np.ndarray:
    """The names of folders as integers: class names, or the numbers of the classes.

    Raises:
        InputError: a folder is named otherwise.
    """
    names = set(labels)
    if names <= set(class_names):
        number = {name: index for index, name in enumerate(class_names)}
    elif names <= {str(index) for index in range(len(class_names))}:
        number = {str(index): index for index in range(len(class_names))}
    else:
        strange = sorted(names - set(class_names))
        raise InputError(
            f"the folders in {path} must be named after the classes ({', '.join(class_names[:10])}"
            f"{', ...' if len(class_names) > 10 else ''}), or all by their numbers from 0; got "
            f"{', '.join(strange[:5])}. Rename them, or give the data set that they belong to."
        )
    return np.array([number[label] for label in labels], np.int32)


def write_folder(content: Content, folder: Path) -> tuple[str, tuple[str, ...]]:
    """A folder a class with a PNG an image, on natural scale; labels.csv; a contact sheet.

    Folders are named after the classes where a file system takes all their names, else by their
    numbers. labels.csv has a row an image: its file, its class, and its label, a column a class.

    Raises:
        InputError: the set is a table, or its images are neither grey nor RGB.
    """
    content.require_images("png", channels=CHANNELS)
    names = content.class_names
    if len({name.lower() for name in names}) < len(names) or not all(map(_NAME.fullmatch, names)):
        names = [str(index) for index in range(len(names))]
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["file", "class", *content.class_names])
    for index, (image, label, class_) in enumerate(
        zip(content.natural, content.distilled.labels, content.classes.tolist(), strict=True)
    ):
        file = folder / names[class_] / f"{index:05}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(png(image))
        # NumPy's shortest text of a float32 gives the same number back
        numbers = [str(number) for number in label]
        rows.writerow([f"{names[class_]}/{file.name}", content.class_names[class_], *numbers])
    (folder / _LABELS).write_text(table.getvalue(), encoding="utf-8")
    (folder / _SHEET).write_bytes(png(contact_sheet(content.natural, content.classes)))
    return ".", (_EIGHT_BITS, f"{_LABELS} has the labels in full.")


def _labelled(path: Path, files: Sequence[Path]) -> tuple[list[Path], np.ndarray]:
    """The files in the order of labels.csv, and their labels [n, class]."""
    known = {file.relative_to(path).as_posix(): file for file in files}
    try:
        text = (path / _LABELS).read_text(encoding="utf-8")
        _, *rows = csv.reader(io.StringIO(text))
        names = [row[0] for row in rows]
        labels = np.array([[np.float32(number) for number in row[2:]] for row in rows])
        if labels.ndim != 2 or labels.size == 0:
            raise ValueError("rows of different lengths")
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise DamagedFileError(
            f"{path / _LABELS} is not whole ({error}). Take another copy of the folder; or remove "
            "metadata.json there, to have the images by their folders."
        ) from error
    if sorted(names) != sorted(known):
        strange = sorted(set(names) ^ set(known))[:3]
        raise InputError(
            f"{path / _LABELS} must have a row for each image there; these differ: "
            f"{', '.join(strange) or 'some are there twice'}. Take another copy of the folder."
        )
    return [known[name] for name in names], labels


def _files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
    )
