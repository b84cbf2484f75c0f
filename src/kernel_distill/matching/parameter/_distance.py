"""How far apart two gradients are in the parameters of a network, and two trainings of it."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# added to the product of the norms, as the authors do: what hardly has a gradient hardly counts
_EPSILON = 1e-6


def gradient_distance(a: Any, b: Any) -> Float[Array, ""]:
    """The sum, over all output nodes of all layers, of 1 less the cosine of their gradients.

    An output node is a unit of a dense layer or a channel of a convolution, with the weights that
    lead to it. Biases, and the scales and shifts of normalisations, are left out, as in the
    authors' code. Symmetric; 0 for gradients that are the same (but for 1e-6 beside the product of
    their norms), and 2 for each node where they are opposite.

    Args:
        a: a gradient: a tree of arrays like the parameters, [*filter, input, output] each.
        b: another, of the same network.

    Source: Zhao et al. 2021, "Dataset Condensation with Gradient Matching", equation 9 and
    appendix A; their code: `distance_wb`.
    """
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    distances = [_of_layer(*pair) for pair in pairs if pair[0].ndim > 1]
    return sum(distances, jnp.float32(0))


def _of_layer(
    a: Float[Array, "*inputs output"], b: Float[Array, "*inputs output"]
) -> Float[Array, ""]:
    inputs = tuple(range(a.ndim - 1))
    products = jnp.sum(a * b, axis=inputs)
    norms = [_root(jnp.sum(each**2, axis=inputs)) for each in (a, b)]
    return jnp.sum(1 - products / (norms[0] * norms[1] + _EPSILON))


def _root(x: Float[Array, "output"]) -> Float[Array, "output"]:
    """The square root, whose derivative is 0 at 0: a ReLU that is off for all images has none."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def trajectory_distance(end: Any, start: Any, goal: Any) -> Float[Array, ""]:
    """The squared distance of weights from a goal, in units of that of the start from it.

    Args:
        end: where a student has arrived: a tree of arrays.
        start: where it came from.
        goal: where the expert arrived, from the same start.

    Source: Cazenavette et al. 2022, "Dataset Distillation by Matching Training Trajectories",
    equation 2.
    """
    return _squared_distance(end, goal) / _squared_distance(start, goal)


def _squared_distance(a: Any, b: Any) -> Float[Array, ""]:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return sum((jnp.sum((x - y) ** 2) for x, y in pairs), jnp.float32(0))
