"""Choosing an architecture by training each on a few images in place of all."""

import itertools
from collections.abc import Sequence

from kernel_distill._errors import InputError
from kernel_distill.transfer._comparison import Comparison, Measured, Row


def rank_correlations(comparison: Comparison) -> list[tuple[Row, float | None]]:
    """How well the accuracies of networks on each set rank them as those on all images do.

    Spearman's rank correlation of the mean test accuracies, over the columns of the table that the
    ceiling has: 1 where the set puts all networks in the order that training on all images does,
    about 0 where it says nothing of it. Ties have the mean of their ranks.

    Args:
        comparison: of sets of one data set that went through several networks, the baseline "full"
            among them.

    Returns:
        Each row but the ceiling with its correlation: None where a training failed, or where all
        accuracies of the row, or of the ceiling, are equal.

    Raises:
        InputError: "full" is missing, or is there for several data sets; or there are fewer than
            three columns that it went through: two have but one order and its opposite.
    """
    from scipy.stats import spearmanr

    ceilings = [row for row in comparison.rows if row.baseline and row.name == "full"]
    if not ceilings:
        raise InputError("training on all images is what others are compared with: add 'full'")
    if len(ceilings) > 1:
        raise InputError(
            "networks are ranked on one data set; got "
            f"{', '.join(row.data for row in ceilings)}: compare the sets of each by themselves"
        )
    columns = ranked_columns(ceilings[0])
    if len(columns) < 3:
        raise InputError(
            "a ranking needs three networks or more that were trained on all images; got "
            f"{len(columns)}: lower the factor where trainings failed"
        )
    true = _means(ceilings[0], columns)

    def correlation(row: Row) -> float | None:
        means = _means(row, columns)
        if len(means) < len(columns) or len(set(means)) == 1 or len(set(true)) == 1:
            return None
        return float(spearmanr(means, true).statistic)

    return [(row, correlation(row)) for row in comparison.rows if row is not ceilings[0]]


def doubts(comparison: Comparison) -> list[str]:
    """Why the ranking by all images may not be the true one, in sentences for people.

    Args:
        comparison: as for `rank_correlations`.
    """
    (ceiling,) = (row for row in comparison.rows if row.baseline and row.name == "full")
    found = []
    columns = ranked_columns(ceiling)
    for column in columns:
        name, own = comparison.doors[column], _measured(ceiling, column)
        better = [
            row.name
            for row in comparison.rows
            if isinstance(cell := row.cells[column], Measured) and cell.mean > own.mean
        ]
        if better:
            found.append(
                f"{name} reaches less on all images than on those of {', '.join(better)}: it is "
                "not trained to its end. Give more steps or other factors."
            )
    for first, second in itertools.combinations(columns, 2):
        one, other = _measured(ceiling, first), _measured(ceiling, second)
        if abs(one.mean - other.mean) < max(one.deviation or 0.0, other.deviation or 0.0):
            found.append(
                f"All images do not tell {comparison.doors[first]} and {comparison.doors[second]} "
                "apart: their accuracies differ by less than a deviation. Give more seeds."
            )
    return found


def ranked_columns(ceiling: Row) -> list[int]:
    """Those that the ceiling went through."""
    return [number for number, cell in enumerate(ceiling.cells) if isinstance(cell, Measured)]


def _measured(row: Row, column: int) -> Measured:
    cell = row.cells[column]
    assert isinstance(cell, Measured)
    return cell


def _means(row: Row, columns: Sequence[int]) -> list[float]:
    """Rounded, so that equal accuracies are equal in whatever order they were added."""
    cells = [row.cells[column] for column in columns]
    return [round(cell.mean, 10) for cell in cells if isinstance(cell, Measured)]
