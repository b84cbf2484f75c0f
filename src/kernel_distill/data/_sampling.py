"""Class-balanced draws: supports, and the target batch of every step."""

import jax
import numpy as np
from jaxtyping import Int, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.data._split import Split


class ClassBalanced:
    """Draws examples without replacement, as many of each class as of any other.

    Where the number is no multiple of the classes, the classes that get one more are drawn;
    where a class runs out, the others fill its place.
    """

    def __init__(self, split: Split) -> None:
        order = np.argsort(split.labels, kind="stable")
        self._counts = np.bincount(split.labels, minlength=split.num_classes)
        self._by_class = np.split(order, np.cumsum(self._counts)[:-1])

    def draw(self, key: PRNGKeyArray, size: int) -> Int[np.ndarray, "size"]:
        """Indices of `size` examples, class by class.

        Raises:
            InputError: there are fewer examples than `size`.
        """
        random = numpy_generator(key)
        drawn = [
            random.choice(members, quota, replace=False, shuffle=False)
            for members, quota in zip(self._by_class, self._quotas(random, size), strict=True)
        ]
        return np.concatenate(drawn)

    def _quotas(self, random: np.random.Generator, size: int) -> Int[np.ndarray, "class"]:
        total = int(self._counts.sum())
        if size > total:
            raise InputError(
                f"cannot draw {size} examples without replacement: there are {total}. "
                "Ask for fewer."
            )
        quotas = np.zeros_like(self._counts)
        while remaining := size - int(quotas.sum()):
            (open_classes,) = np.nonzero(quotas < self._counts)
            share = remaining // len(open_classes)
            if share == 0:
                quotas[random.permutation(open_classes)[:remaining]] += 1
            else:
                quotas[open_classes] = np.minimum(
                    quotas[open_classes] + share, self._counts[open_classes]
                )
        return quotas


def numpy_generator(key: PRNGKeyArray) -> np.random.Generator:
    """NumPy's generator, seeded by a JAX key: for draws that belong on the host."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
