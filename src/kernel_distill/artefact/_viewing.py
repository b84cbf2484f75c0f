"""Which images of a support are shown, and in which colours."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

_MOST_CLASSES = 100  # more names than that cannot be read
_MOST_IMAGES = 500
_MOST_A_CLASS = 50
_BLOCK = 1000  # images; a training set is not copied whole

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


@dataclass(frozen=True, eq=False)
class Contrast:
    """What learned images are given to be looked at: a mean over pixels and channels, and a norm.

    Learned labels set the scale of what an image teaches, so its own contrast means little, and may
    be too faint to see.

    Attributes:
        means: of an image each, or one for all.
        norms: the same, of what is left without the mean.
    """

    means: Float[np.ndarray, "n 1"]
    norms: Float[np.ndarray, "n 1"]

    @classmethod
    def of(cls, images: Float[np.ndarray, "n *shape"]) -> "Contrast":
        """That of natural images, as the model takes them: image `i` is given that of image `i`."""
        blocks = [
            _parts(images[start : start + _BLOCK])[1:] for start in range(0, len(images), _BLOCK)
        ]
        means, norms = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return cls(means, norms)

    def average(self) -> "Contrast":
        """That of all of them, for images that have no natural one of their own."""
        means, norms = (
            part.mean(axis=0, keepdims=True, dtype=np.float64) for part in (self.means, self.norms)
        )
        return Contrast(means, norms)

    def give(self, images: Float[np.ndarray, "s *shape"]) -> Float[np.ndarray, "s *shape"]:
        """The images with this mean and norm; tables as they are, since their numbers have units.

        An image that has its mean and norm already, natural itself, stays as it is.
        """
        if images.ndim == 2:
            return images
        centred, means, norms = _parts(images)
        own = (means == self.means) & (norms == self.norms)
        scaled = centred * (self.norms / np.where(norms > 0, norms, 1)) + self.means
        given = np.where(own, _rows(images), scaled).reshape(images.shape)
        return given.astype(images.dtype, copy=False)


def _rows(images: Float[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n d"]:
    return images.reshape(len(images), -1)


def _parts(
    images: Float[np.ndarray, "n *shape"],
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n 1"], Float[np.ndarray, "n 1"]]:
    """The images less their means, the means, and the norms of what is left."""
    rows = _rows(images)
    means = rows.mean(axis=1, keepdims=True)
    return rows - means, means, np.linalg.norm(rows - means, axis=1, keepdims=True)
