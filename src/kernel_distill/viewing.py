"""How a support is looked at, by whoever looks at a run."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, UInt8

from kernel_distill.artefact import Contrast, Stage, contact_sheet, eight_bits, selected
from kernel_distill.data import Dataset

_LARGEST = 128  # pixels of an image on a sheet, which may have hundreds


@dataclass(frozen=True, eq=False)
class View:
    """Images of a run in natural colours; the picture of a step goes over into the next one's.

    Attributes:
        initial: the images that it began with, as the model takes them.
        labels: their labels, which tell each image's class.
        data: what is distilled.
        natural: whether the images that it began with are.
    """

    initial: Float[np.ndarray, "s *shape"]
    labels: Float[np.ndarray, "s class"]
    data: Dataset
    natural: bool

    @cached_property
    def contrast(self) -> Contrast:
        """That of all steps: each natural image keeps its own, and is itself drawn as it is; where
        none is, all are given the average one of the training images."""
        if self.natural or self.initial.ndim == 2:
            return Contrast.of(self.initial)
        return Contrast.of(self.data.train.images).average()

    def images(self, images: Float[np.ndarray, "s *shape"]) -> Float[np.ndarray, "s *shape"]:
        """The images of a later support, 0 to 1; tables in their own units.

        Raises:
            InputError: another shape, or the whitening matrix is not known.
        """
        return self.data.preprocessing.invert_for_viewing(self.contrast.give(images))

    def sheet(self, stage: Stage) -> UInt8[np.ndarray, "height width 3"] | None:
        """The images of a stage on one sheet, by class; None of tables, which are no images.

        Of large supports the same are shown as on `images.png`.

        Raises:
            InputError: as `images`.
        """
        if self.initial.ndim == 2:
            return None
        classes = self.labels.argmax(axis=1)
        rows = np.concatenate(list(selected(classes)[0].values()))
        shrink = math.ceil(max(self.initial.shape[1:3]) / _LARGEST)
        drawn = eight_bits(self.images(stage.images)[rows], shrink=shrink)
        return contact_sheet(drawn, classes[rows])
