"""Which examples are held out of the training set."""

import numpy as np
from jaxtyping import Bool, Int

from kernel_distill._errors import InputError


def most_to_hold_out(labels: Int[np.ndarray, "n"], *, num_classes: int) -> int:
    """How many examples can be held out so that each class keeps one."""
    return int(np.sum(np.maximum(np.bincount(labels, minlength=num_classes) - 1, 0)))


def hold_out(
    labels: Int[np.ndarray, "n"], size: int, *, num_classes: int, seed: int, what: str
) -> Bool[np.ndarray, "n"]:
    """Choose `size` examples, stratified: each class in proportion to its share.

    Every class keeps at least one example. The fractions left by the proportions go to the classes
    with the largest remainders, the first ones on a tie.

    Args:
        labels: of all examples, in [0, num_classes).
        size: how many to hold out.
        num_classes: C.
        seed: chooses the examples of each class.
        what: the setting that asked for it, for messages.

    Returns:
        True for the examples that are held out.

    Raises:
        InputError: `size` leaves too little to train on.
    """
    count = np.bincount(labels, minlength=num_classes)
    most = most_to_hold_out(labels, num_classes=num_classes)
    if size > most:
        raise InputError(
            f"{what} must leave at least one training example of each class; got {what}={size} "
            f"with {len(labels)} examples of {num_classes} classes. Take at most {most}."
        )
    share = count * size / max(len(labels), 1)
    quota = np.minimum(np.floor(share).astype(int), np.maximum(count - 1, 0))
    by_remainder = np.argsort(-(share - np.floor(share)), kind="stable")
    while quota.sum() < size:
        for label in by_remainder:
            if quota.sum() < size and quota[label] < count[label] - 1:
                quota[label] += 1

    # RandomState, not default_rng: NumPy keeps its stream of numbers for ever, and the split is
    # part of what an artefact's fingerprint stands for
    random = np.random.RandomState(seed)
    held_out = np.zeros(len(labels), bool)
    for label in range(num_classes):
        held_out[random.permutation(np.flatnonzero(labels == label))[: quota[label]]] = True
    return held_out
