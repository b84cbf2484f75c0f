"""What networks are trained by, here as in the papers: gradient descent on the cross-entropy."""

from typing import Any

import jax
from jaxtyping import Array, Float

from kernel_distill.transfer import Model, State, TrainingSettings
from kernel_distill.transfer._loss import loss, targets

_CROSS_ENTROPY = TrainingSettings(loss="cross_entropy")


def cross_entropy(
    logits: Float[Array, "n class"], labels: Float[Array, "n class"]
) -> Float[Array, ""]:
    """The mean over images, to the distributions that centred labels stand for."""
    return loss(logits, targets(labels, _CROSS_ENTROPY), _CROSS_ENTROPY)


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
