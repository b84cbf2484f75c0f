"""Trees of arrays, and rows of them."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int


def stacked(trees: Sequence[Any]) -> Any:
    """Trees of arrays as one, with an axis more."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def unstacked(tree: Any, count: int) -> list[Any]:
    """What was stacked of so many."""
    return [jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in range(count)]


def spread_rows(count: int, most: int) -> Int[np.ndarray, "row"]:
    """So many of as many rows, spread evenly: sorted by class, the first ones would be alike."""
    return np.linspace(0, count - 1, min(count, most)).astype(int)
