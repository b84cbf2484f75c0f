"""A table in a .csv file."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from kernel_distill._errors import InputError
from kernel_distill.data._labels import in_order
from kernel_distill.data._source import Raw


def read_csv(path: Path) -> Raw:
    """A header row, then an example a row: numbers, and the class in column `label`, else the last.

    Classes are names, in the order of their numbers if all are integers.

    Raises:
        InputError: the file cannot be read as text; no header row, no examples, rows of different
            lengths, a row without a class, or what is no number (with its row and column).
    """
    try:
        # utf-8-sig: spreadsheets write a byte order mark, which would be part of the first name
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read(path, csv.reader(file))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} must be text in UTF-8; got {error}.") from error
    except (csv.Error, OSError) as error:
        raise InputError(f"{path} must be a table with commas; got {error}.") from error


def _read(path: Path, reader: Any) -> Raw:
    header: list[str] = next(reader, [])
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
    rows, labels = [], []
    for row in reader:
        if not row:  # a blank line
            continue
        if len(row) != len(names):
            raise InputError(
                f"every row of {path} must have {len(names)} columns, as the header has; got "
                f"{len(row)} in line {reader.line_num}. Correct or leave out the row."
            )
        name = row.pop(label).strip()
        if not name:
            raise InputError(
                f"every row of {path} must have a class in column {names[label]!r}; line "
                f"{reader.line_num} has none. Correct or leave out the row."
            )
        labels.append(name)
        rows.append(_numbers(row, path, reader.line_num))
    if not rows:
        raise InputError(f"{path} must hold examples; got a header row only.")
    return Raw(
        name=path.stem,
        version=None,
        train_images=np.stack(rows),
        train_labels=np.array(labels),
        class_names=in_order(labels),
        place=f"{path}: ",
    )


def _numbers(row: list[str], path: Path, line: int) -> np.ndarray:
    try:
        return np.array([float(cell) for cell in row])
    except ValueError:
        wrong = next(cell for cell in row if not _is_number(cell))
        raise InputError(
            f"{path} must have a number in each column but the class; got {wrong!r} in line "
            f"{line}. Correct or leave out the row; name the class's column 'label' if it is not "
            "the last."
        ) from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
