"""A table in a .csv file."""

import csv
from pathlib import Path

import numpy as np

from kernel_distill._errors import InputError
from kernel_distill.data._labels import in_order
from kernel_distill.data._source import Raw


def read_csv(path: Path) -> Raw:
    """A header row, then an example a row: numbers, and the class in column `label`, else the last.

    Classes are names, in the order of their numbers if all are integers.

    Raises:
        InputError: no header row, no examples, rows of different lengths, or what is no number
            (with its row and column).
    """
    # utf-8-sig: spreadsheets write a byte order mark, which would become part of the first name
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            header = next(csv.reader(file), [])
        except UnicodeDecodeError as error:
            raise InputError(f"{path} must be text in UTF-8; got {error}.") from error
    names = [name.strip() for name in header]
    if len(names) < 2:
        raise InputError(
            f"{path} must have a header row with at least two columns, separated by commas; got "
            f"{header}."
        )
    if all(_is_number(name) for name in names):
        raise InputError(
            f"{path} must begin with a header row that names the columns; got the numbers "
            f"{', '.join(names[:4])}, ... Add one, for example x1,x2,label."
        )
    label = names.index("label") if "label" in names else len(names) - 1
    features = [column for column in range(len(names)) if column != label]
    try:
        images = _column(path, features, np.float64)
        labels = _column(path, [label], np.str_)
    except ValueError as error:
        raise InputError(
            f"{path} must have a number in each column but {names[label]!r}, the class, and as "
            f"many columns in every row as in the header; got: {error} (rows and columns from 1 "
            "or 0 below the header). Correct or leave out the row."
        ) from error
    labels = np.char.strip(labels[:, 0])
    return Raw(
        name=path.stem,
        version=None,
        train_images=images,
        train_labels=labels,
        class_names=in_order(labels.tolist()),
        place=f"{path}: ",
    )


def _column(path: Path, columns: list[int], dtype: type) -> np.ndarray:
    with path.open(encoding="utf-8-sig") as file:
        return np.loadtxt(
            file,
            dtype=dtype,
            delimiter=",",
            skiprows=1,
            usecols=columns,
            comments=None,
            quotechar='"',
            ndmin=2,
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
