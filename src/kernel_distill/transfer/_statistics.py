"""Mean and standard deviation of accuracies, as numbers and as people read them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def deviation(accuracies: Sequence[float] | Float[np.ndarray, "n"]) -> float | None:
    """The standard deviation (n - 1 in the denominator); None of a single accuracy."""
    values = np.asarray(accuracies)
    if len(values) < 2:
        return None
    # equal ones: their mean may be another number by rounding
    return float(values.std(ddof=1)) if np.ptp(values) else 0.0


def per_cent(accuracies: Sequence[float] | Float[np.ndarray, "n"]) -> str:
    """The mean, with the deviation of several: "85.00 ± 7.07"."""
    text = f"{100 * np.mean(accuracies):.2f}"
    spread = deviation(accuracies)
    return text if spread is None else f"{text} ± {100 * spread:.2f}"
