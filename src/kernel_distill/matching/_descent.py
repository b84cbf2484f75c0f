"""What networks are trained by, here as in the papers: gradient descent on the cross-entropy."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kernel_distill.transfer import Model, State


def cross_entropy(
    logits: Float[Array, "n class"], labels: Float[Array, "n class"]
) -> Float[Array, ""]:
    """-sum over classes of (label + 1/C) log softmax, the mean over images.

    Learned labels are taken as they are, be they distributions or not: Sucholutsky and Schonlau
    2019.

    Args:
        logits: of a network.
        labels: one-hot minus 1/C, or learned ones.
    """
    weights = labels + 1 / labels.shape[1]
    return -jnp.mean(jnp.sum(weights * jax.nn.log_softmax(logits), axis=1))


def descend(
    model: Model,
    state: State,
    images: Float[Array, "n *shape"],
    labels: Float[Array, "n class"],
    *,
    rate: Float[Array, ""] | float,
) -> State:
    """A step of plain gradient descent; it can be differentiated.

    Args:
        model: the network.
        state: before the step.
        images: as the model takes them.
        labels: centred.
        rate: the parameters move by it times the gradient.
    """

    def objective(parameters: Any) -> tuple[Float[Array, ""], Any]:
        logits, rest = model.apply(State(parameters, state.rest), images, training=True)
        return cross_entropy(logits, labels), rest

    gradient, rest = jax.grad(objective, has_aux=True)(state.parameters)
    return State(
        jax.tree.map(lambda value, slope: value - rate * slope, state.parameters, gradient), rest
    )
