"""Labels as others write them, brought to the convention here: one-hot minus 1/C."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped

from kernel_distill._errors import InputError
from kernel_distill.data import one_hot
from kernel_distill.foreign._finite import finite

CLASSES = "numbers of classes"
PROBABILITIES = "rows that sum to 1"
CENTRED = "rows that sum to 0"
OTHER = "rows that sum to neither 0 nor 1"

_NEAR = 1e-3  # what float32 leaves of a sum, and text of a probability


def as_targets(
    labels: Shaped[np.ndarray, "..."], *, num_classes: int, path: Path
) -> tuple[Float32[np.ndarray, "n class"], str]:
    """The labels to learn from, and how they were written.

    Numbers of classes become one-hot minus 1/C, probabilities (rows that sum to 1, one-hot ones
    among them) lose 1/C; rows that sum to 0 are of the convention already. Any others are learned
    ones, and stay as they are.

    Args:
        labels: integers [n], or floats [n, class].
        num_classes: of the data set.
        path: the file, for messages.

    Returns:
        The labels, and one of `CLASSES`, `PROBABILITIES`, `CENTRED`, `OTHER`.

    Raises:
        InputError: another shape or type; not finite; classes that the data set does not have, or
            that have no image.
    """
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        _check_classes(labels, num_classes, path)
        return one_hot(labels.astype(np.int32), num_classes), CLASSES
    if labels.ndim != 2 or labels.dtype.kind != "f":
        raise InputError(
            f"labels must be integers [n] or floats [n, class]; {path} has {labels.dtype} "
            f"{list(labels.shape)}. Save them again as such."
        )
    if labels.shape[1] != num_classes:
        raise InputError(
            f"labels must have a column for each of the {num_classes} classes of the data set; "
            f"{path} has {labels.shape[1]}. Give the data set that it was distilled from."
        )
    targets = finite(labels, name="labels", path=path)
    sums = targets.sum(axis=1, dtype=np.float64)
    if (abs(sums - 1) < _NEAR).all():
        return targets - np.float32(1 / num_classes), PROBABILITIES
    return targets, CENTRED if (abs(sums) < _NEAR).all() else OTHER


def _check_classes(labels: Shaped[np.ndarray, "n"], num_classes: int, path: Path) -> None:
    strange = np.setdiff1d(labels, np.arange(num_classes))
    if len(strange):
        raise InputError(
            f"labels must be from 0 to {num_classes - 1}, the {num_classes} classes of the data "
            f"set; {path} has {strange[0]}. Give the data set that it was distilled from."
        )
    missing = np.setdiff1d(np.arange(num_classes), labels)
    if len(missing):
        raise InputError(
            f"each of the {num_classes} classes of the data set must have an image; {path} has "
            f"none of class {missing[0]}. Give the data set that it was distilled from."
        )
