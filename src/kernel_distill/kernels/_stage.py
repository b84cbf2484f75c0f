"""Stages that XLA is kept from fusing with what stands around them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def stage(compute: Callable[..., Any], *arrays: Any, never_negative: Float[Array, ""]) -> Any:
    """`compute(*arrays)`, with its results written to memory before anything else reads them.

    On CPU, XLA fuses elementwise work into the sums and products that use it, where each of them
    computes it again, element by element, and it ignores `optimization_barrier` there. What stands
    in a branch it leaves alone.

    Args:
        compute: a traceable function; one that `jax.jit(..., inline=True)` made is traced once for
            all of its places here.
        arrays: its arguments; where they hold NaN, so may all of the result.
        never_negative: a number of the computation that is only known when it runs, and is 0 or
            more or NaN: the condition, which XLA cannot see through, of a branch that is always
            taken.
    """

    def nothing(*arrays: Any) -> Any:
        shapes = jax.eval_shape(compute, *arrays)
        return jax.tree.map(lambda like: jnp.full(like.shape, jnp.nan, like.dtype), shapes)

    def branch(number: Float[Array, ""], *arrays: Any) -> Any:
        return jax.lax.cond(number >= 0, compute, nothing, *arrays)

    def plain(number: Float[Array, ""], *arrays: Any) -> Any:
        del number
        return compute(*arrays)

    return jax.lax.platform_dependent(never_negative, *arrays, cpu=branch, default=plain)
