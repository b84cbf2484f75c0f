"""A support as it was at a step of its run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

MOST_STAGES = 24  # as many as the steps of a run of 800 that are kept: eight a decade


@dataclass(frozen=True, eq=False)
class Stage:
    """Images and labels after `step` steps.

    Attributes:
        step: steps done; 0 is the support that a run began with.
        images: [s, height, width, channel], or [s, feature].
        labels: [s, class].
    """

    step: int
    images: Float[np.ndarray, "s *shape"]
    labels: Float[np.ndarray, "s class"]


def spread(steps: Sequence[int], count: int = MOST_STAGES) -> list[int]:
    """At most `count` of the steps: the first, the last, and evenly many of those between."""
    if len(steps) <= count:
        return list(steps)
    places = np.unique(np.linspace(0, len(steps) - 1, count).round().astype(int))
    return [steps[place] for place in places]
