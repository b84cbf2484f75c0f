"""Choosing an architecture by training each on a few images in place of all."""

from collections.abc import Sequence

from kernel_distill._errors import InputError
from kernel_distill.transfer._comparison import Comparison, Measured, Row


def rank_correlations(comparison: Comparison) -> dict[str, float | None]:
    """How well the accuracies of networks on each set rank them as those on all images do.

    Spearman's rank correlation of the mean test accuracies, over the columns of the table: 1 where
    the set puts all networks in the order that training on all images does, about 0 where it says
    nothing of it.

    Args:
        comparison: of sets that went through several networks, the baseline "full" among them.

    Returns:
        By the name of each row but the ceiling's; None where a training failed, or all are equal.

    Raises:
        InputError: "full" is missing or failed, or there are fewer than three columns that it went
            through: two have but one order and its opposite.
    """
    from scipy.stats import spearmanr

    ceiling = next((row for row in comparison.rows if row.name == "full"), None)
    if ceiling is None:
        raise InputError("training on all images is what others are compared with: add 'full'")
    columns = [number for number, cell in enumerate(ceiling.cells) if isinstance(cell, Measured)]
    if len(columns) < 3:
        raise InputError(
            "a ranking needs three networks or more that were trained on all images; got "
            f"{len(columns)}: lower the factor where trainings diverged"
        )

    def correlation(row: Row) -> float | None:
        means = _means(row, columns)
        if means is None:
            return None
        if len(set(means)) == 1:
            return None
        return float(spearmanr(means, _means(ceiling, columns)).statistic)

    return {row.name: correlation(row) for row in comparison.rows if row is not ceiling}


def _means(row: Row, columns: Sequence[int]) -> list[float] | None:
    cells = [row.cells[column] for column in columns]
    means = [cell.mean for cell in cells if isinstance(cell, Measured)]
    return means if len(means) == len(columns) else None
