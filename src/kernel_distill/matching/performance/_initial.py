"""Untrained weights: as a network draws its own, or as the paper does."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill.transfer import Model, State

INITIALISERS = ("xavier", "network")


@functools.partial(jax.jit, static_argnames=("model", "initialiser"))
def initial(model: Model, key: PRNGKeyArray, *, initialiser: str) -> State:
    """A network before training.

    Args:
        model: the architecture.
        key: the randomness of the weights.
        initialiser: "network": as the network draws its own. "xavier": weights normal with variance
            2 / (fan-in + fan-out), biases zero, whatever the network does; parameters of
            normalisation stay as they are. Source: Glorot and Bengio 2010; Wang et al. 2018 begin
            so.
    """
    state = model.init(key)
    if initialiser == "network":
        return state
    paths, structure = jax.tree_util.tree_flatten_with_path(state.parameters)
    leaves = [
        _xavier(jax.random.fold_in(key, number), path, leaf)
        for number, (path, leaf) in enumerate(paths)
    ]
    return State(jax.tree_util.tree_unflatten(structure, leaves), state.rest)


def scales_itself(model: Model) -> bool:
    """Whether the network is in NTK parameterisation: it scales standard normal weights itself."""
    return getattr(model.network, "parameterization", "standard") == "ntk"


def _xavier(key: PRNGKeyArray, path: Any, leaf: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    if leaf.ndim > 1:
        *window, inputs, outputs = leaf.shape
        deviation = math.sqrt(2 / (math.prod(window) * (inputs + outputs)))
        return deviation * jax.random.normal(key, leaf.shape, leaf.dtype)
    return jnp.zeros_like(leaf) if "bias" in jax.tree_util.keystr(path) else leaf
