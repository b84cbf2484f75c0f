"""The running statistics of batch normalisation, as natural images have them."""

import functools
from typing import Any

import jax
from jaxtyping import Array, Float

from kernel_distill.matching._altered import altered
from kernel_distill.transfer import Model, State


@functools.partial(jax.jit, static_argnames="model")
def with_statistics(model: Model, state: State, images: Float[Array, "n *shape"]) -> State:
    """The state with the running statistics that a batch has; a network without any stays as it is.

    Args:
        model: the network.
        state: its weights.
        images: a batch of all classes.
    """
    forgetful = altered(model, _forget)
    return State(state.parameters, forgetful.apply(state, images, training=True)[1])


def _forget(part: Any) -> None:
    """The statistics after a batch are those of this batch."""
    from flax import nnx

    if isinstance(part, nnx.BatchNorm):
        part.momentum = 0.0
