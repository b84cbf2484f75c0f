"""Numbers of others as float32."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped

from kernel_distill._errors import InputError


def finite(
    array: Shaped[np.ndarray, "*shape"], *, name: str, path: Path
) -> Float32[np.ndarray, "*shape"]:
    """The same numbers as float32.

    Args:
        array: the numbers.
        name: what they are, for messages.
        path: where they come from, for messages.

    Raises:
        InputError: they are no floats; or some are not numbers, or infinite in float32.
    """
    if array.dtype.kind != "f":
        raise InputError(
            f"{name} must be floats; {path} has {array.dtype}. Take another copy of it."
        )
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    strange = np.argwhere(~np.isfinite(numbers))
    if len(strange):
        place = tuple(strange[0].tolist())
        raise InputError(
            f"{name} must be finite in float32; {path} has {array[place]} at {list(place)}, and "
            f"{len(strange)} such in all. Take another copy of it."
        )
    return numbers
