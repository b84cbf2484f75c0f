"""Images and labels at the saved steps of a run, packed for a page.

The images of a step lie side by side in one PNG, a sprite, and the labels are whole numbers of 16
bits: a page holds them as base64.
"""

import base64
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from kernel_distill.artefact import Stage, eight_bits, selected, spread

MOST_BYTES = 16 * 2**20
"""What all frames of a run may take in its page. Mail servers take 25 MB, which are 18 MiB before
the encoding of mail: a page can be sent."""


@dataclass(frozen=True)
class Frame:
    """A step.

    Attributes:
        step: the step; None where it is not known, of a set alone.
        picture: the sprite, a PNG in base64: the images in rows of `Sprites.columns`.
        labels: [s, class] int16, little-endian, in base64; times `scale` they are the labels.
        scale: of one unit.
    """

    step: int | None
    picture: str
    labels: str
    scale: float


@dataclass(frozen=True)
class Sprites:
    """The images that are shown of a support, at every step that is.

    Attributes:
        width, height: of an image, in pixels; of a row of a table, its features and 1.
        columns: images side by side in a sprite.
        rows: the number of each image in its set.
        classes: the class of each at the start, ascending.
        note: what is not shown, or not as it is; empty where there is nothing to say.
        frames: the steps, ascending.
    """

    width: int
    height: int
    columns: int
    rows: tuple[int, ...]
    classes: tuple[int, ...]
    note: str
    frames: tuple[Frame, ...]


def pack_stages(
    stages: Iterable[Stage],
    *,
    classes: Int[np.ndarray, "s"],
    result: int,
    most_bytes: int = MOST_BYTES,
) -> Sprites:
    """The stages of a run as sprites.

    Of large supports the same images are shown as on `images.png`; images are averaged over squares
    of pixels until four steps have room, and steps between are left out until all have. Rows of a
    table are shown in full, fewer of them where they are very long: the average of features that
    happen to be neighbours would be a colour of none.

    Args:
        stages: by step, ascending, images in natural colours, 0 to 1; or tables, whose rows become
            strips of colours, a pixel a feature. Read one at a time.
        classes: of each image, at the start.
        result: the step that is the result; it and the first and last are always there.
        most_bytes: of all frames.
    """
    room = int(most_bytes / 4 * 3 / 4)  # of a step, as base64 takes four bytes for three
    rows, note = np.arange(0), ""
    shape: tuple[int, int] = (0, 0)
    shrink = 1
    colours: _Colours | None = None
    frames: list[Frame] = []
    for stage in stages:
        is_table = stage.images.ndim == 2
        if not frames:
            of_row = 3 * stage.images.shape[-1] + 2 * stage.labels.shape[-1]
            groups, note = selected(classes, most=room // of_row) if is_table else selected(classes)
            rows = np.concatenate(list(groups.values()))
        images, labels = stage.images[rows], stage.labels[rows]
        if is_table:
            colours = colours or _Colours(images)
            images = colours.strips(images)
        elif not frames:
            pixels = 3 * len(images) * images.shape[1] * images.shape[2]
            shrink = math.ceil(math.sqrt(max(pixels / max(room - 2 * labels.size, 1), 1)))
            shrink = min(shrink, *images.shape[1:3])
        drawn = eight_bits(images, shrink=shrink)
        shape = drawn.shape[1], drawn.shape[2]
        frames.append(_frame(stage.step, drawn, labels))
    notes = [note] if note else []
    if shrink > 1:
        notes += [f"each averaged over squares of {shrink} pixels"]
    if colours:
        at_start = " at the start" if len(frames) > 1 else ""
        notes += [
            f"a row of the table is a strip, its features from the left: red above their mean"
            f"{at_start}, blue below it, by up to 2.5 standard deviations"
        ]
    return Sprites(
        width=shape[1],
        height=shape[0],
        columns=_columns(len(rows), *shape),
        rows=tuple(rows.tolist()),
        classes=tuple(classes[rows].tolist()),
        note="; ".join(notes),
        frames=tuple(_fitting(frames, result, most_bytes)),
    )


def _columns(count: int, height: int, width: int) -> int:
    """That make a sheet about as wide as high: browsers draw none of some 16,000 pixels exactly."""
    return min(max(math.ceil(math.sqrt(count * height / width)), 1), count)


def _frame(step: int, images: UInt8[np.ndarray, "s h w 3"], labels: np.ndarray) -> Frame:
    scale = max(float(np.abs(labels).max()), 1e-9) / (2**15 - 1)
    whole = np.rint(labels / scale).astype("<i2")
    return Frame(
        step=step,
        picture=base64.b64encode(_png(images)).decode(),
        labels=base64.b64encode(whole.tobytes()).decode(),
        scale=scale,
    )


def _png(images: UInt8[np.ndarray, "s h w 3"]) -> bytes:
    from PIL import Image

    count, height, width, _ = images.shape
    columns = _columns(count, height, width)
    lines = math.ceil(count / columns)
    sheet = np.zeros((lines * columns, height, width, 3), np.uint8)
    sheet[:count] = images
    sheet = sheet.reshape(lines, columns, height, width, 3).swapaxes(1, 2)
    sheet = sheet.reshape(lines * height, columns * width, 3)
    grey = bool((sheet == sheet[..., :1]).all())
    file = io.BytesIO()
    Image.fromarray(sheet[..., 0] if grey else sheet).save(file, format="PNG")
    return file.getvalue()


def _fitting(frames: Sequence[Frame], result: int, most_bytes: int) -> list[Frame]:
    """As many of the frames, evenly spread, as have room."""
    chosen = [place for place, frame in enumerate(frames) if frame.step == result]
    kept = list(frames)
    for count in range(len(frames) - 1, 1, -1):
        if sum(len(frame.picture) + len(frame.labels) for frame in kept) <= most_bytes:
            break
        places = {*spread(range(len(frames)), count), *chosen}
        kept = [frames[place] for place in sorted(places)]
    return kept


class _Colours:
    """A table's numbers as colours, on the scale of the table at the start."""

    def __init__(self, table: Float[np.ndarray, "s feature"]) -> None:
        deviation = table.std(axis=0, dtype=np.float64)
        self._mean = table.mean(axis=0, dtype=np.float64)
        self._deviation = np.where(deviation > 0, deviation, 1.0)

    def strips(self, table: Float[np.ndarray, "s feature"]) -> Float[np.ndarray, "s 1 feature 3"]:
        """Each row as an image one pixel high, which a page draws higher."""
        from matplotlib import colormaps

        values = (table - self._mean) / self._deviation
        coloured = colormaps["RdBu_r"](values / 5 + 0.5)[..., :3]
        return coloured[:, None]
