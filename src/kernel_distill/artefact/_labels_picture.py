"""The learned labels as a heat map, class by class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from kernel_distill._errors import InputError
from kernel_distill.artefact._style import (
    INK,
    SOFT,
    classes_of,
    new_figure,
    shortened,
    text_width,
    tidy,
)


def labels_picture(
    before: Float[np.ndarray, "s class"],
    after: Float[np.ndarray, "s class"],
    class_names: Sequence[str],
    *,
    title: str = "",
) -> Any:
    """The labels `after` distilling: a row an image, sorted by class, a column a class.

    Where a class has several images, a second panel has their mean by class. Red is above zero,
    blue below, white is zero, on one scale.

    Args:
        before: the labels at the start; an image's class is the largest of its row.
        after: the labels learned.
        class_names: a name for each class.
        title: above the whole.

    Returns:
        A matplotlib Figure, for `save_picture`.

    Raises:
        InputError: shapes differ, or a class has no name.
    """
    if before.shape != after.shape or after.ndim != 2 or after.size == 0:
        raise InputError(
            "before and after must be labels [s, class] of one shape; got "
            f"before.shape={before.shape}, after.shape={after.shape}"
        )
    names = tuple(class_names)
    classes = classes_of(before, names)
    present, counts = np.unique(classes, return_counts=True)
    # within a class, the surest first: rows then change smoothly
    own = after[np.arange(len(after)), classes]
    rows = after[np.lexsort((-own, classes))]
    panels = [("Every image", rows, counts)]
    if counts.max() > 1:
        means = np.stack([after[classes == label].mean(axis=0) for label in present])
        panels.append(("Mean of each class", means, np.ones_like(counts)))
    # one outlier should not pale all the rest
    limit = max(float(np.quantile(np.abs(after), 0.998)), 1e-6)
    clipped = bool((np.abs(after) > limit).any())

    columns = after.shape[1]
    side = float(np.clip(0.5 * columns, 3.2, 7.5))  # inches, of a panel
    size = float(np.clip(0.55 * 72 * side / max(columns, len(present)), 4.0, 9.5))
    room = max(text_width(shortened(name, size, 1.5), size) for name in names)
    left, right, bottom = room + 0.4, 1.0, room + 0.35
    top = 1.15 if title else 0.7
    width = left + len(panels) * side + 0.35 * (len(panels) - 1) + right
    height = top + side + bottom
    figure = new_figure(width, height)
    for place, (heading, values, sizes) in enumerate(panels):
        x = left + place * (side + 0.35)
        axes = figure.add_axes((x / width, bottom / height, side / width, side / height))
        image = _heat(axes, values, limit)
        axes.set_title(heading, loc="left", size=11, weight="bold", color=INK, pad=9)
        shown = [shortened(name, size, 1.5) for name in names[:columns]]
        # room for a name across, or turned where there is not
        upright = max(text_width(name, size) for name in shown) < 0.92 * side / columns
        axes.set_xticks(range(columns), shown, rotation=0 if upright else 90)
        _mark_classes(axes, sizes, [shortened(names[label], size, 1.5) for label in present])
        axes.tick_params(length=0, labelsize=size, labelcolor=INK, pad=3)
        axes.tick_params(axis="y", labelleft=place == 0)
        if len(values) <= 12 and columns <= 12:
            _write_numbers(axes, values, limit)
    bar_axes = figure.add_axes(
        ((width - right + 0.15) / width, bottom / height, 0.14 / width, side / height)
    )
    bar = figure.colorbar(image, cax=bar_axes, extend="both" if clipped else "neither")
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=SOFT, labelsize=8, length=2)
    if title:
        figure.text(left / width, 1 - 0.32 / height, title, size=14, color=INK, ha="left", va="top")
    return figure


def _heat(axes: Any, values: Float[np.ndarray, "row class"], limit: float) -> Any:
    image = axes.imshow(
        values,
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        aspect="auto",
        interpolation="antialiased",  # averages where there are more rows than dots
    )
    tidy(axes)
    for edge in ("left", "bottom"):
        axes.spines[edge].set_visible(False)
    return image


def _mark_classes(axes: Any, sizes: Int[np.ndarray, "k"], names: list[str]) -> None:
    starts = np.cumsum(sizes) - sizes
    axes.set_yticks(starts + (sizes - 1) / 2, names)
    if sizes.max() > 1:
        for start in starts[1:]:
            axes.axhline(start - 0.5, color="#9aa1ad", linewidth=0.5)


def _write_numbers(axes: Any, values: Float[np.ndarray, "row class"], limit: float) -> None:
    for (row, column), value in np.ndenumerate(values):
        axes.text(
            column,
            row,
            f"{value:.2f}".replace("-", "\N{MINUS SIGN}"),
            size=7,
            ha="center",
            va="center",
            color="white" if abs(value) > 0.62 * limit else INK,
        )
