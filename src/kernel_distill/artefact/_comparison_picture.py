"""Accuracies of several sets side by side: a row a set, a panel a way to learn from it."""

from collections.abc import Sequence
from typing import Any

from kernel_distill.artefact._style import (
    BLUE,
    INK,
    LINE,
    SOFT,
    displayed,
    new_figure,
    shortened,
    text_width,
    tidy,
)

_ROW, _PANEL = 0.32, 2.7  # inches
_MOST_NAME = 3.5


def comparison_picture(
    names: Sequence[str],
    images: Sequence[int],
    doors: Sequence[str],
    values: Sequence[Sequence[tuple[float, float | None, int] | None]],
    *,
    title: str = "",
) -> Any:
    """A dot for each accuracy, a line of one standard deviation to either side, and the number.

    Args:
        names: of the rows, from the top.
        images: how many the set of a row has.
        doors: headings of the panels.
        values: of each row and panel, mean and standard deviation (fractions) and how many images
            they are of; or None.
        title: above the whole.

    Returns:
        A matplotlib Figure, for `save_picture`.
    """
    labels = displayed(
        [
            f"{shortened(name, 9.0, _MOST_NAME)}  ({count:,})"
            for name, count in zip(names, images, strict=True)
        ]
    )
    left = 0.4 + max(text_width(label, 9.0) for label in labels)
    width = left + _PANEL * len(doors) + 0.3
    height = _ROW * len(names) + 1.5
    figure = new_figure(width, height)
    panels = figure.subplots(1, len(doors), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(
        left=left / width,
        right=1 - 0.3 / width,
        top=1 - 0.9 / height,
        bottom=0.55 / height,
        wspace=0.15,
    )
    if title:
        figure.suptitle(title, x=0.2 / width, y=1 - 0.2 / height, ha="left", size=13, color=INK)
    rows = range(len(names))
    for column, (axes, door) in enumerate(zip(panels, doors, strict=True)):
        present = [(row, values[row][column]) for row in rows]
        for row, value in present:
            if value is not None:
                mean, deviation, count = value
                of = "" if count == images[row] else f" (of {count:,})"
                _draw(axes, row, 100 * mean, 100 * (deviation or 0.0), of)
        axes.set_xlim(*_limits([value[:2] for _, value in present if value is not None]))
        axes.set_title(
            displayed([shortened(door, 10.0, _PANEL - 0.3)])[0], loc="left", size=10, weight="bold"
        )
        axes.set_xlabel("test accuracy (%)", color=SOFT, size=9)
        axes.grid(axis="y", color=LINE, linewidth=0.7)
        axes.set_axisbelow(True)
        tidy(axes)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    panels[0].set_yticks(rows, labels)
    panels[0].tick_params(axis="y", labelcolor=INK)
    return figure


def _draw(axes: Any, row: int, mean: float, deviation: float, of: str) -> None:
    axes.errorbar(
        mean, row, xerr=deviation or None, fmt="o", color=BLUE, markersize=5, elinewidth=1.4
    )
    axes.annotate(
        f"{mean:.1f}{of}",
        (mean + deviation, row),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        size=8,
        color=INK,
    )


def _limits(values: Sequence[tuple[float, float | None]]) -> tuple[float, float]:
    """In per cent, with room for the numbers at the right."""
    if not values:
        return 0.0, 100.0
    least = min(100 * (mean - (deviation or 0.0)) for mean, deviation in values)
    most = max(100 * (mean + (deviation or 0.0)) for mean, deviation in values)
    span = max(most - least, 5.0)
    return least - 0.08 * span, most + 0.28 * span
