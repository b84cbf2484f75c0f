"""What the pictures have in common: type, colours, and how they are written."""

import io
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from kernel_distill._errors import InputError
from kernel_distill._files import PathLike, write_atomically

DPI = 200
INK = "#1f2430"
SOFT = "#6b7280"
LINE = "#d9dce3"
BLUE = "#1f6fb2"
ORANGE = "#d9772b"

# classes as colours; past ten they are taken from around the circle
_CLASS_COLOURS = (
    *("#1f6fb2", "#d9772b", "#3a9d5d", "#c2403f", "#7f5fb0"),
    *("#8a6248", "#d56ba8", "#6b7280", "#a9a52c", "#2aa6b4"),
)


def new_figure(width: float, height: float) -> Any:
    """An empty Figure of `width` x `height` inches that pyplot knows nothing of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_picture(path: PathLike, figure: Any) -> None:
    """Write a Figure of this package to `path`, a PNG of 200 dots an inch, whole or not at all.

    Raises:
        StorageError: it could not be written.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    write_atomically(path, buffer.getvalue())


def class_colours(count: int) -> list[Any]:
    """A colour for each of `count` classes."""
    if count <= len(_CLASS_COLOURS):
        return list(_CLASS_COLOURS[:count])
    from matplotlib import colormaps

    return list(colormaps["turbo"](np.linspace(0.05, 0.95, count)))


def classes_of(
    labels: Int[np.ndarray, "s"] | Float[np.ndarray, "s class"], class_names: tuple[str, ...]
) -> Int[np.ndarray, "s"]:
    """The class of each row, from class numbers or from label vectors, checked against the names.

    Raises:
        InputError: a class has no name.
    """
    classes = labels.argmax(axis=1) if labels.ndim == 2 else labels
    columns = labels.shape[1] if labels.ndim == 2 else int(classes.max(initial=-1)) + 1
    if columns > len(class_names) or classes.min(initial=0) < 0:
        raise InputError(
            f"every class needs a name; got {columns} classes and {len(class_names)} names"
        )
    return classes.astype(np.int64)


def displayed(class_names: Sequence[str]) -> tuple[str, ...]:
    """The names as matplotlib must get them: a dollar sign would begin a formula."""
    return tuple(name.replace("$", r"\$") for name in class_names)


@cache
def text_width(text: str, size: float) -> float:
    """The width of `text` in inches when set in `size` points."""
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 0.0
    return float(TextPath((0, 0), text, size=size).get_extents().x1) / 72


def shortened(text: str, size: float, width: float) -> str:
    """`text`, cut short with an ellipsis where it is wider than `width` inches."""
    whole = text_width(text, size)
    if whole <= width:
        return text
    # begin near the end: measuring is slow
    text = text[: math.ceil(len(text) * width / whole)]
    while len(text) > 1 and text_width(text + "…", size) > width:
        text = text[:-1].rstrip()
    return text + "…"


def tidy(axes: Any, *, grid: bool = False) -> None:
    """Leave of an axes' frame what helps to read it."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LINE)
    axes.tick_params(colors=SOFT, labelsize=9, length=3, width=0.8)
    axes.tick_params(which="minor", length=0)
    if grid:
        axes.grid(axis="y", color=LINE, linewidth=0.7)
        axes.set_axisbelow(True)
