"""The support before and after distilling, on one sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from kernel_distill._errors import InputError
from kernel_distill.artefact._style import (
    DPI,
    INK,
    SOFT,
    classes_of,
    displayed,
    new_figure,
    shortened,
    text_width,
)
from kernel_distill.artefact._table_picture import table_picture
from kernel_distill.artefact._viewing import Groups, eight_bits, selected

_WIDTH = 2700  # dots that the images of both panels may take
_MARGIN = 64  # dots, like all lengths here: images then fall on whole ones


def images_picture(
    before: Float[np.ndarray, "s *shape"],
    after: Float[np.ndarray, "s *shape"],
    labels: Int[np.ndarray, "s"] | Float[np.ndarray, "s class"],
    class_names: Sequence[str],
    *,
    title: str = "",
    captions: tuple[str, str] = ("Before", "After"),
) -> Any:
    """A sheet with the support before and after, by class.

    Where there are more images than can be looked at (over 50 a class, over 500 in all, over 100
    classes), the first of each class are shown, and a line says so.

    Args:
        before: [s, height, width, channel] in natural colours, 0 to 1 (what is outside is clipped):
            `Preprocessing.invert_for_viewing` gives them. Tables, [s, feature], are drawn as
            points where they have two features, as a heat map otherwise, in their own units.
        after: the same of the distilled support.
        labels: the class of each image, or label vectors, whose largest entry is the class.
        class_names: a name for each class.
        title: above the whole.
        captions: above the two panels; accuracies could stand here.

    Returns:
        A matplotlib Figure, for `save_picture`.

    Raises:
        InputError: shapes differ, or a class has no name.
    """
    if (
        before.shape != after.shape
        or before.ndim not in (2, 4)
        or len(before) != len(labels)
        or before.size == 0
    ):
        raise InputError(
            "before and after must be images [s, height, width, channel] or tables [s, feature] "
            f"of one shape, with a label each; got before.shape={before.shape}, "
            f"after.shape={after.shape}, labels.shape={labels.shape}"
        )
    names = displayed(class_names)
    classes = classes_of(labels, names)
    if before.ndim == 2:
        return table_picture(before, after, classes, names, title=title, captions=captions)
    groups, note = selected(classes)
    layout = _layout(groups, before.shape[1:3])
    return _draw(layout, (before, after), groups, names, (title, *captions, note))


@dataclass(frozen=True)
class _Layout:
    """How the images are arranged; lengths in dots.

    A panel (before, after) is a grid of classes, a class a grid of images.

    Attributes:
        across, down: images of one class.
        class_columns, class_rows: classes of one panel.
        stacked: the panels one above the other, not side by side.
        names_left: names at the left of a class's images, not above them.
        shrink, grow: each image is averaged over squares of `shrink` pixels, and each pixel drawn
            as a square of `grow` dots: whole numbers keep it sharp and even.
        image: width and height of an image then.
    """

    across: int
    down: int
    class_columns: int
    class_rows: int
    stacked: bool
    names_left: bool
    shrink: int = 1
    grow: int = 1
    image: tuple[int, int] = (0, 0)

    @property
    def gap(self) -> int:
        return max(3, round(0.05 * self.image[0]))

    @property
    def class_gap(self) -> int:
        one_row_each = self.names_left and self.down == 1
        if one_row_each:
            return self.gap
        return max(3 * self.gap, 12, self.image[0] // 3 if self.across > 1 else 0)

    @property
    def group(self) -> tuple[int, int]:
        """Width and height of the images of one class."""
        return (
            self.across * (self.image[0] + self.gap) - self.gap,
            self.down * (self.image[1] + self.gap) - self.gap,
        )

    @property
    def name_size(self) -> float:
        """In points; beside a class there is more room than above it."""
        if self.names_left:
            return float(np.clip(0.16 * self.group[1], 6.5, 11))
        return float(np.clip(0.055 * self.group[0], 5, min(10, 5 + 0.05 * self.image[1])))

    @property
    def above(self) -> int:
        """Room for a name above the images."""
        return 0 if self.names_left else _dots(1.75 * self.name_size)

    @property
    def pitch(self) -> tuple[int, int]:
        """From one class to the next."""
        return self.group[0] + self.class_gap, self.group[1] + self.class_gap + self.above

    @property
    def panel(self) -> tuple[int, int]:
        return (
            self.class_columns * self.pitch[0] - self.class_gap,
            self.class_rows * self.pitch[1] - self.class_gap,
        )


def _layout(groups: Groups, image_size: tuple[int, ...]) -> _Layout:
    count, most = len(groups), max(map(len, groups.values()))
    height, width = image_size
    if count <= 12 and most <= 2:
        # few images: a column a class, before above after
        chosen = _Layout(1, most, count, 1, stacked=True, names_left=False)
        images_wide = max(count, 8)
    else:
        names_left = count <= 20
        candidates = [
            _Layout(
                across=math.ceil(most / down),
                down=down,
                class_columns=columns,
                class_rows=math.ceil(count / columns),
                stacked=False,
                names_left=names_left,
            )
            for down, columns in product(
                range(1, most + 1), (1,) if names_left else range(1, count + 1)
            )
        ]
        chosen = min(candidates, key=lambda layout: _unease(layout, count, most, height / width))
        images_wide = 2 * chosen.class_columns * chosen.across
    target = float(np.clip(_WIDTH / images_wide, 40, 220))
    shrink = math.ceil(width / target)
    grow = max(1, round(target / width))
    return _Layout(
        chosen.across,
        chosen.down,
        chosen.class_columns,
        chosen.class_rows,
        stacked=chosen.stacked,
        names_left=chosen.names_left,
        shrink=shrink,
        grow=grow,
        image=(math.ceil(width / shrink) * grow, math.ceil(height / shrink) * grow),
    )


def _unease(layout: _Layout, count: int, most: int, ratio: float) -> float:
    """How far `count` classes of `most` images are from a sheet that is good to look at.

    That is one 1.6 times as wide as high, with a class in one row and no holes.
    """
    name = 0 if layout.names_left else 0.7
    wide = 2 * layout.class_columns * layout.across
    high = layout.class_rows * (layout.down * ratio + name)
    holes = (
        layout.across * layout.down / most + layout.class_columns * layout.class_rows / count - 2
    )
    return abs(math.log(wide / high / 1.6)) + 0.1 * (layout.down - 1) + 2 * holes


def _draw(
    layout: _Layout,
    panels: tuple[np.ndarray, np.ndarray],
    groups: Groups,
    names: tuple[str, ...],
    texts: tuple[str, str, str, str],
) -> Any:
    title, *captions, note = texts
    size = layout.name_size
    left = _MARGIN
    if layout.names_left:
        widest = max(text_width(shortened(names[label], size, 1.6), size) for label in groups)
        left += round(widest * DPI) + 24
    head = _MARGIN + (_dots(32.0) if title else 0)
    caption = _dots(24.0 if layout.names_left else 22.0)
    between = (0, 48) if layout.stacked else (72, 0)
    offsets = [(left, head + caption)]
    offsets.append(
        (left, head + layout.panel[1] + between[1] + 2 * caption)
        if layout.stacked
        else (left + layout.panel[0] + between[0], head + caption)
    )
    right = offsets[1][0] + layout.panel[0] + _MARGIN
    words = [*captions, title, note]
    sizes = [12.0, 12.0, 15.0, 9.0]
    needed = max(text_width(word, size) for word, size in zip(words, sizes, strict=True))
    right = max(right, left + round(needed * DPI) + _MARGIN)
    bottom = offsets[1][1] + layout.panel[1] + _MARGIN + (_dots(16.0) if note else 0)

    canvas = np.full((bottom, right, 3), 255, np.uint8)
    figure = new_figure(right / DPI, bottom / DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    for images, (x, y), text in zip(panels, offsets, captions, strict=True):
        axes.text(x, y - 0.45 * caption, text, size=12, weight="bold", color=INK)
        for place, (label, members) in enumerate(groups.items()):
            row, column = divmod(place, layout.class_columns)
            corner = (x + column * layout.pitch[0], y + row * layout.pitch[1] + layout.above)
            _paste(canvas, images[members], corner, layout)
            if not layout.names_left:
                name = shortened(names[label], size, layout.group[0] / DPI)
                axes.text(
                    corner[0] + layout.group[0] / 2,
                    corner[1] - 0.25 * layout.above,
                    name,
                    size=size,
                    color=SOFT,
                    ha="center",
                )
            elif images is panels[0]:
                name = shortened(names[label], size, 1.6)
                middle = corner[1] + layout.group[1] / 2
                axes.text(x - 24, middle, name, size=size, color=INK, ha="right", va="center")
    if title:
        axes.text(left, _MARGIN + _dots(12.0), title, size=15, color=INK)
    if note:
        axes.text(left, bottom - 0.7 * _MARGIN, note, size=9, color=SOFT)
    axes.imshow(canvas, aspect="auto", extent=(0, right, bottom, 0))
    axes.set_axis_off()
    return figure


def _paste(
    canvas: UInt8[np.ndarray, "height width 3"],
    images: Float[np.ndarray, "k h w c"],
    corner: tuple[int, int],
    layout: _Layout,
) -> None:
    drawn = eight_bits(images, shrink=layout.shrink)
    drawn = drawn.repeat(layout.grow, axis=1).repeat(layout.grow, axis=2)
    for place, image in enumerate(drawn):
        row, column = divmod(place, layout.across)
        x = corner[0] + column * (layout.image[0] + layout.gap)
        y = corner[1] + row * (layout.image[1] + layout.gap)
        canvas[y : y + layout.image[1], x : x + layout.image[0]] = image


def _dots(points: float) -> int:
    return round(points * DPI / 72)
