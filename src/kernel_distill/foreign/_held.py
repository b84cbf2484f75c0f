"""What a reader of a layout hands on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped


@dataclass(frozen=True, eq=False)
class Held:
    """What a file holds, not yet fitted to a data set.

    Attributes:
        images: any order of axes; uint8 are natural ones.
        labels: [n] integers, [n] class names, or [n, class] floats.
        layout: what kind of file it is, for people.
        number: how many sets the file holds, of which this is one.
        method, architecture, kernel, ridge: what the layout itself tells.
    """

    images: Shaped[np.ndarray, "..."]
    labels: Shaped[np.ndarray, "..."]
    layout: str
    number: int = 1
    method: str | None = None
    architecture: str | None = None
    kernel: str | None = None
    ridge: float | None = None
