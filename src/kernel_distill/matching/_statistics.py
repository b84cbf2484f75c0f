"""The running statistics of batch normalisation, as natural images have them."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill.networks import Network
from kernel_distill.transfer import Model, State


@dataclass(frozen=True)
class _Forgetful(Network):
    """A network whose running statistics are those of the last batch."""

    network: Network

    def module(self, image_shape: tuple[int, ...], *, num_classes: int, key: PRNGKeyArray) -> Any:
        from flax import nnx

        module = self.network.module(image_shape, num_classes=num_classes, key=key)
        for _, each in nnx.iter_graph(module):
            if isinstance(each, nnx.BatchNorm):
                each.momentum = 0.0
        return module


@functools.partial(jax.jit, static_argnames="model")
def with_statistics(model: Model, state: State, images: Float[Array, "n *shape"]) -> State:
    """The state with the running statistics that a batch has; a network without any stays as it is.

    Args:
        model: the network.
        state: its weights.
        images: a batch of all classes.
    """
    network = _Forgetful(model.network.name, model.network.width, model.network)
    forgetful = Model(network, model.image_shape, model.num_classes)
    return State(state.parameters, forgetful.apply(state, images, training=True)[1])
