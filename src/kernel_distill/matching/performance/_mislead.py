"""A robustness test: distilled images that make a network take one class for another.

Wang et al. 2018, section 4.3, show that one step on a few images, which do not look like the class
that they attack, is enough to have a trained network forget it while it still knows the others.
How strongly a network gives way to this says whom it should take training data from.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from kernel_distill._errors import InputError
from kernel_distill.data import Split
from kernel_distill.transfer import Model, State, accuracy


class Harm(NamedTuple):
    """What a network says of a split, as fractions.

    Attributes:
        others: of the images of all other classes, those that it tells rightly.
        attacked: of the images of the attacked class, those that it still tells rightly.
        misled: of these, those that it takes for the class that it was to take them for.
    """

    others: float
    attacked: float
    misled: float


def harm(model: Model, state: State, split: Split, *, mislead: tuple[int, int]) -> Harm:
    """How well a network knows the classes, the attacked one apart.

    Args:
        model: the network.
        state: its weights, before or after the distilled steps.
        split: natural images; of the attacked class and of others.
        mislead: the attacked class, and that which it is to be taken for.

    Raises:
        InputError: the split has no image of the attacked class, or none of others.
    """
    attacked = split.labels == mislead[0]
    if attacked.all() or not attacked.any():
        raise InputError(
            f"harm tells class {mislead[0]} from the others: the split must have images of both; "
            f"got {attacked.sum()} of it among {len(split)}"
        )
    others, target = _part(split, ~attacked), _part(split, attacked)
    return Harm(
        accuracy(model, state, others),
        accuracy(model, state, target),
        accuracy(model, state, replace(target, labels=misled(target.labels, mislead))),
    )


def misled(labels: Int[np.ndarray, "n"], mislead: tuple[int, int] | None) -> Int[np.ndarray, "n"]:
    """What a misled network is to say of images of these classes; None: what they are."""
    if mislead is None:
        return labels
    return np.where(labels == mislead[0], mislead[1], labels).astype(labels.dtype)


def _part(split: Split, rows: np.ndarray) -> Split:
    return replace(split, images=split.images[rows], labels=split.labels[rows])
