"""A function of many rows, computed of a few of them at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def in_blocks(function: Callable[[Array], Any], x: Float[Array, "n *shape"], rows: int) -> Any:
    """`function` of `rows` rows at a time, one block after the other.

    Args:
        function: what it returns, an array or a tree of them, has as many rows as it takes.
        x: all rows.
        rows: of a block.
    """
    padding = -len(x) % rows
    # a real row again: rows of zeros could make the gradient NaN
    padded = jnp.concatenate([x, jnp.repeat(x[-1:], padding, axis=0)])
    blocks = jax.lax.map(function, padded.reshape(-1, rows, *x.shape[1:]))
    return jax.tree.map(lambda each: each.reshape(-1, *each.shape[2:])[: len(x)], blocks)
