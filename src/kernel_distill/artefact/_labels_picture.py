"""The learned labels as a heat map, class by class."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from kernel_distill._errors import InputError
from kernel_distill.artefact._style import (
    INK,
    SOFT,
    classes_of,
    displayed,
    new_figure,
    shortened,
    text_width,
    tidy,
)

_MOST_ROWS = 600  # more cannot be told apart


def labels_picture(
    before: Float[np.ndarray, "s class"],
    after: Float[np.ndarray, "s class"],
    class_names: Sequence[str],
    *,
    title: str = "",
) -> Any:
    """The labels `after` distilling: a row an image, sorted by class, a column a class.

    Where a class has several images, a second panel has their mean by class; over 600 images,
    neighbours in a class are averaged. Red is above zero, blue below, white is zero, on one scale.

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
    names = displayed(class_names)
    classes = classes_of(before, names)
    present, counts = np.unique(classes, return_counts=True)
    panels = [_every_image(after, classes)]
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
    left, right, bottom = room + 0.65, 1.0, room + 0.6
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
        axes.set_xlabel("label", color=SOFT, size=9)
        if place == 0:
            axes.set_ylabel("image, by its class at the start", color=SOFT, size=9)
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


def _every_image(
    after: Float[np.ndarray, "s class"], classes: Int[np.ndarray, "s"]
) -> tuple[str, Float[np.ndarray, "row class"], Int[np.ndarray, "k"]]:
    """Heading, rows by class, and how many rows each class has."""
    together = math.ceil(len(after) / _MOST_ROWS)
    blocks = []
    for label in np.unique(classes):
        members = after[classes == label]
        # the surest first: rows then change smoothly
        members = members[np.argsort(-members[:, label], kind="stable")]
        chunks = np.array_split(members, math.ceil(len(members) / together))
        blocks.append(np.stack([chunk.mean(axis=0) for chunk in chunks]))
    heading = "Every image" if together == 1 else f"Every image, averaged by {together}"
    return heading, np.concatenate(blocks), np.array([len(block) for block in blocks])


def _heat(axes: Any, values: Float[np.ndarray, "row class"], limit: float) -> Any:
    image = axes.imshow(
        values,
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        aspect="auto",
        interpolation="nearest",  # "auto" would blur the few columns together with the many rows
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
            f"{round(float(value), 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}"),  # no minus zero
            size=7,
            ha="center",
            va="center",
            color="white" if abs(value) > 0.55 * limit else INK,
        )
