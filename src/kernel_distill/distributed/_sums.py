"""A sum whose bits do not depend on the order in which its terms come in."""

from typing import Any

import numpy as np


class TreeSum:
    """Adds numbered terms along a fixed binary tree: of neighbours, of those sums, and so on.

    A sum is made as soon as both of its terms are there, so that few are kept.

    Args:
        count: how many terms there will be.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: dict[tuple[int, int], np.ndarray] = {}
        self._total: np.ndarray | None = None

    def add(self, number: int, term: np.ndarray) -> None:
        """Takes in the term of a number; each comes once."""
        level, count = 0, self._count
        while count > 1:
            other = number ^ 1
            if other < count:
                if (level, other) not in self._kept:
                    self._kept[level, number] = term
                    return
                term = self._kept.pop((level, other)) + term  # in either order the same
            level, number, count = level + 1, number // 2, -(-count // 2)
        self._total = term

    @property
    def total(self) -> Any:
        """The sum of all terms, once all are in."""
        assert self._total is not None, f"{self._kept.keys()} wait for others"
        return self._total
