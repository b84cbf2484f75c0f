"""Which images of a support are shown, and in which colours."""

import numpy as np
from jaxtyping import Float, Int, UInt8

_MOST_CLASSES = 100  # more names than that cannot be read
_MOST_IMAGES = 500
_MOST_A_CLASS = 50

Groups = dict[int, np.ndarray]  # the rows of each class


def selected(classes: Int[np.ndarray, "s"], *, most: int = _MOST_IMAGES) -> tuple[Groups, str]:
    """The rows to show of each class, at most so many, and what to say of those left out.

    One of each class is always there.
    """
    present = np.unique(classes)
    shown = present[:_MOST_CLASSES]
    most = min(_MOST_A_CLASS, max(1, min(most, _MOST_IMAGES) // len(shown)))
    groups = {int(label): np.flatnonzero(classes == label)[:most] for label in shown}
    count = sum(map(len, groups.values()))
    if count == len(classes):
        return groups, ""
    note = f"{count} of {len(classes)} images: the first {most} of each class"
    if len(shown) < len(present):
        note += f", for the first {len(shown)} of {len(present)} classes"
    return groups, note


def eight_bits(
    images: Float[np.ndarray, "k h w c"], *, shrink: int = 1
) -> UInt8[np.ndarray, "k height width 3"]:
    """Images in natural colours, 0 to 1, as a screen takes them; what is outside is clipped.

    Args:
        images: of three channels; of any other number, their mean is shown in grey.
        shrink: each is averaged over squares of so many pixels.
    """
    if images.shape[-1] != 3:
        images = np.repeat(images.mean(axis=-1, keepdims=True), 3, axis=-1)
    images = np.clip(images, 0, 1)
    if shrink > 1:
        k, h, w, c = images.shape
        images = np.pad(images, ((0, 0), (0, -h % shrink), (0, -w % shrink), (0, 0)), mode="edge")
        images = images.reshape(k, -(-h // shrink), shrink, -(-w // shrink), shrink, c)
        images = images.mean(axis=(2, 4))
    return np.rint(255 * images).astype(np.uint8)
