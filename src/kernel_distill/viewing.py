"""How a support is looked at, by whoever looks at a run."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from kernel_distill.artefact import Stage, contact_sheet, eight_bits, selected
from kernel_distill.data import Preprocessing

_LARGEST = 128  # pixels of an image on a sheet, which may have hundreds


@dataclass(frozen=True, eq=False)
class View:
    """Images in natural colours, and learned ones with the contrast of those that a run began with.

    Attributes:
        natural: the images that it began with, as the model takes them.
        labels: their labels, which tell each image's class.
        preprocessing: what is undone.
    """

    natural: Float[np.ndarray, "s *shape"]
    labels: Float[np.ndarray, "s class"]
    preprocessing: Preprocessing

    def images(self, images: Float[np.ndarray, "s *shape"]) -> Float[np.ndarray, "s *shape"]:
        """The images of a later support, 0 to 1; tables in their own units.

        Raises:
            InputError: another shape, or the whitening matrix is not known.
        """
        if not np.array_equal(images, self.natural):
            images = _with_contrast_of(self.natural, images)
        return self.preprocessing.invert_for_viewing(images)

    def sheet(self, stage: Stage) -> UInt8[np.ndarray, "height width 3"] | None:
        """The images of a stage on one sheet, by class; None of tables, which are no images.

        Of large supports the same are shown as on `images.png`.

        Raises:
            InputError: as `images`.
        """
        if self.natural.ndim == 2:
            return None
        classes = self.labels.argmax(axis=1)
        rows = np.concatenate(list(selected(classes)[0].values()))
        shrink = math.ceil(max(self.natural.shape[1:3]) / _LARGEST)
        drawn = eight_bits(self.images(stage.images)[rows], shrink=shrink)
        return contact_sheet(drawn, classes[rows])


def _with_contrast_of(
    natural: Float[np.ndarray, "s *shape"], images: Float[np.ndarray, "s *shape"]
) -> Float[np.ndarray, "s *shape"]:
    """Every image with the average mean and norm of the natural ones, for viewing.

    Learned labels set the scale of what an image teaches, so its own contrast means little, and
    may be too faint to see. Tables stay as they are: their numbers have units.
    """
    if natural.ndim == 2:
        return images

    def parts(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = images.reshape(len(images), -1)
        mean = rows.mean(axis=1, keepdims=True)
        return rows - mean, mean, np.linalg.norm(rows - mean, axis=1, keepdims=True)

    centred, _, norms = parts(images)
    _, means, natural_norms = parts(natural)
    scaled = centred * natural_norms.mean() / np.where(norms > 0, norms, 1)
    return (scaled + means.mean()).reshape(images.shape)
