"""All images of a support on one sheet of pixels, without any writing."""

import math

import numpy as np
from jaxtyping import Int, UInt8

_CELL = 64  # dots that an image takes, at least


def contact_sheet(
    images: UInt8[np.ndarray, "s h w c"], classes: Int[np.ndarray, "s"]
) -> UInt8[np.ndarray, "height width c"]:
    """All images on one sheet, a row of each class, or more rows where there are many.

    Where no class has two, they follow each other in rows.

    Args:
        images: as a screen takes them.
        classes: the class of each.
    """
    height, width, channel = images.shape[1:]
    grow = -(-_CELL // max(height, width))
    gap = max(2, grow * width // 16)
    groups = [np.flatnonzero(classes == class_) for class_ in np.unique(classes)]
    across = min(max(map(len, groups)), max(10, round(len(images) ** 0.5)))
    if across == 1:
        groups = [np.concatenate(groups)]
        across = math.ceil((2 * len(images)) ** 0.5)
    rows = [row[start : start + across] for row in groups for start in range(0, len(row), across)]
    pitch = grow * height + gap, grow * width + gap
    sheet = np.full((len(rows) * pitch[0] + gap, across * pitch[1] + gap, channel), 255, np.uint8)
    for row, members in enumerate(rows):
        for column, member in enumerate(members):
            top, left = gap + row * pitch[0], gap + column * pitch[1]
            large = images[member].repeat(grow, axis=0).repeat(grow, axis=1)
            sheet[top : top + grow * height, left : left + grow * width] = large
    return sheet
