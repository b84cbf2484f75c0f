"""How large the groups of pairs are that a worker computes at a time."""

import math
from collections.abc import Callable

from kernel_distill._errors import DamagedFileError
from kernel_distill.kernels import Settled

SECONDS = 1.0  # that a group is to take: what a pool adds to it are milliseconds
_ENOUGH = 0.03  # seconds that can be measured
_FIRST, _GROWTH = 8, 4  # of the tiles that are measured: rows, and how many times more than before


class Groups:
    """Pairs of images a group, by the name of what is computed.

    They decide on how sums are divided, and so on the bits of a result: they are found once, and
    stay throughout a run.

    Args:
        fixed: the same for all; None: as measured.
        settled: where they are kept.
    """

    def __init__(self, fixed: int | None, settled: Settled | None = None) -> None:
        self._fixed, self._settled = fixed, settled
        self._found: dict[str, int] = {}

    def kept_in(self, settled: Settled) -> "Groups":
        """The same for a run."""
        return Groups(self._fixed, settled)

    def pairs(self, name: str, measure: Callable[[], int]) -> int:
        """How many pairs; `measure` finds it, where it is not known.

        Raises:
            DamagedFileError: what was kept is no number of pairs.
        """
        if self._fixed is not None:
            return self._fixed
        if name not in self._found:
            found = measure() if self._settled is None else self._settled(name, measure)
            if type(found) is not int or found < 1:
                raise DamagedFileError(
                    f"the run has kept {found!r} for {name!r} (settled.json), which is no number "
                    "of pairs of images: 1 or more. Restore the file from a copy, or remove it."
                )
            self._found[name] = found
        return self._found[name]


def measured_pairs(seconds: Callable[[int, int], float], n1: int, n2: int) -> int:
    """How many pairs take `SECONDS`.

    Args:
        seconds: the time of a tile of so many rows and columns.
        n1: rows that there are.
        n2: columns that there are.
    """
    rows, columns = min(_FIRST, n1), min(_FIRST, n2)
    while (taken := seconds(rows, columns)) < _ENOUGH and (rows, columns) != (n1, n2):
        rows, columns = min(_GROWTH * rows, n1), min(_GROWTH * columns, n2)
    return max(1, round(rows * columns * SECONDS / taken))


def group_shape(pairs: int, n1: int, n2: int) -> tuple[int, int]:
    """Rows and columns of a group: as near to a square as the block allows.

    What a kernel needs of each image by itself is then computed least often.
    """
    columns = min(n2, max(1, math.isqrt(pairs)))
    rows = min(n1, max(1, pairs // columns))
    return rows, min(n2, max(1, pairs // rows))
