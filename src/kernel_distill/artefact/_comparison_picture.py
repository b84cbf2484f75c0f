"""Accuracies of several sets side by side: a row a set, a panel a way to learn from it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

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

_Value = tuple[float, float | None, int]


def comparison_picture(
    names: Sequence[str],
    images: Sequence[int],
    doors: Sequence[str],
    values: Sequence[Sequence[_Value | str | None]],
    *,
    title: str = "",
) -> Any:
    """A dot for each accuracy, a line of one standard deviation to either side, and the number.

    All panels have one scale.

    Args:
        names: of the rows, from the top.
        images: how many the set of a row has.
        doors: headings of the panels.
        values: of each row and panel, mean and standard deviation (fractions) and how many images
            they are of; or a word in their place; or None.
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
    drawn = [
        [_drawn(value, count) for value in row] for row, count in zip(values, images, strict=True)
    ]
    least, most = _limits([each for row in drawn for each in row if isinstance(each, _Drawn)])
    for column, (axes, door) in enumerate(zip(panels, doors, strict=True)):
        for row in rows:
            each = drawn[row][column]
            if isinstance(each, _Drawn):
                _draw(axes, row, each)
            elif each is not None:
                white = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
                axes.text(least, row, f" {each}", va="center", size=8, color=SOFT, bbox=white)
        axes.set_xlim(least, most)
        axes.set_xticks([tick for tick in axes.get_xticks() if least <= tick <= min(most, 100.0)])
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


class _Drawn(NamedTuple):
    """A dot, in per cent, and the text at the right of its line."""

    mean: float
    deviation: float
    text: str


def _drawn(value: _Value | str | None, images: int) -> _Drawn | str | None:
    if value is None or isinstance(value, str):
        return value
    mean, deviation, count = value
    of = "" if count == images else f" (of {count:,})"
    return _Drawn(100 * mean, 100 * (deviation or 0.0), f"{100 * mean:.1f}{of}")


def _draw(axes: Any, row: int, each: _Drawn) -> None:
    axes.errorbar(
        *(each.mean, row),
        xerr=each.deviation or None,
        fmt="o",
        color=BLUE,
        markersize=5,
        elinewidth=1.4,
    )
    axes.annotate(
        each.text,
        (each.mean + each.deviation, row),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        size=8,
        color=INK,
    )


def _limits(values: Sequence[_Drawn]) -> tuple[float, float]:
    """In per cent, with room for the texts at the right."""
    if not values:
        return 0.0, 100.0
    least = min(each.mean - each.deviation for each in values)
    span = max(max(each.mean + each.deviation for each in values) - least, 5.0)
    least -= 0.08 * span
    # a text that takes a part p of the panel, from x on, ends at x + p (most - least)
    ends = [
        (each.mean + each.deviation - part * least) / (1 - part)
        for each in values
        if (part := min((text_width(each.text, 8.0) + 0.2) / (0.85 * _PANEL), 0.8))
    ]
    return least, max(ends)
