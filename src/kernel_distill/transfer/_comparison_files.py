"""A comparison as files that people and programs read."""

import csv
import io
from pathlib import Path

from kernel_distill._files import PathLike, write_atomically
from kernel_distill.artefact import comparison_picture, save_picture
from kernel_distill.transfer._comparison import Comparison, Failed, Measured, Row
from kernel_distill.transfer._statistics import per_cent

FILES = ("table.md", "table.csv", "table.png")

_CSV_COLUMNS = ("", " deviation", " images", " failed")  # of each door


def save_comparison(folder: PathLike, comparison: Comparison, *, title: str = "") -> None:
    """Writes `table.md`, `table.csv` (accuracies as fractions, and why one is missing) and
    `table.png` into a folder.

    Raises:
        StorageError: a file could not be written.
    """
    folder = Path(folder)
    write_atomically(folder / "table.md", _markdown(comparison).encode())
    write_atomically(folder / "table.csv", _csv(comparison).encode())
    values = [
        [
            (cell.mean, cell.deviation, cell.images)
            if isinstance(cell, Measured)
            else ("failed" if cell else None)
            for cell in row.cells
        ]
        for row in comparison.rows
    ]
    several = _several_data(comparison)
    names = [f"{row.name} · {row.data}" if several else row.name for row in comparison.rows]
    picture = comparison_picture(
        names, [row.images for row in comparison.rows], comparison.doors, values, title=title
    )
    save_picture(folder / "table.png", picture)


def text_table(comparison: Comparison) -> list[tuple[str, ...]]:
    """The table as people read it, its header first; accuracies in per cent."""
    several = _several_data(comparison)
    data = ("data",) if several else ()
    header = ("learned from", *data, "images", *(f"{door} (%)" for door in comparison.doors))
    rows = [
        (
            row.name,
            *((row.data,) if several else ()),
            f"{row.images:,}",
            *(_text(cell, row) for cell in row.cells),
        )
        for row in comparison.rows
    ]
    return [header, *rows]


def legend(comparison: Comparison) -> str:
    """What its numbers are."""
    return f"Mean ± standard deviation of {comparison.seeds} trainings, or draws of a random set."


def _text(cell: Measured | Failed | None, row: Row) -> str:
    """The mean with its deviation, and of how many images if not of all of the row."""
    if cell is None:
        return ""
    if isinstance(cell, Failed):
        return "failed"
    text = per_cent(cell.accuracies)
    return text if cell.images == row.images else f"{text} (of {cell.images:,} images)"


def _several_data(comparison: Comparison) -> bool:
    return len({row.data for row in comparison.rows}) > 1


def _markdown(comparison: Comparison) -> str:
    header, *rows = text_table(comparison)
    rule = ("---", *("---:" for _ in header[1:]))
    lines = (
        " | ".join(text.replace("|", r"\|") for text in line) for line in (header, rule, *rows)
    )
    return "".join(f"| {line} |\n" for line in lines) + f"\n{legend(comparison)}\n"


def _csv(comparison: Comparison) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    doors = [f"{door}{what}" for door in comparison.doors for what in _CSV_COLUMNS]
    writer.writerow(["learned from", "data", "images", *doors])
    for row in comparison.rows:
        cells: list[float | int | str | None] = []
        for cell in row.cells:
            if isinstance(cell, Measured):
                cells += [cell.mean, cell.deviation, cell.images, None]
            else:
                cells += [None, None, None, cell.reason if cell else None]
        writer.writerow([row.name, row.data, row.images, *cells])
    return file.getvalue()
