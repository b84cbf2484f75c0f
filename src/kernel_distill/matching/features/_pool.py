"""The networks that are trained on the support while it is learned."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from kernel_distill.matching._method import Support
from kernel_distill.transfer import Model, State


class Member(NamedTuple):
    """A network in training.

    Attributes:
        state: what it knows.
        optimizer: the state of Adam.
        steps: done, from the number that the pool gave it to begin with.
    """

    state: State
    optimizer: Any
    steps: Int[Array, ""]


@functools.partial(jax.jit, static_argnames="model")
def fresh(model: Model, key: PRNGKeyArray) -> Member:
    """A network that has seen nothing yet."""
    state = model.init(key)
    return Member(state, _adam(0.0).init(state.parameters), jnp.zeros((), jnp.int32))


@functools.partial(jax.jit, static_argnames="model")
def trained(
    model: Model, member: Member, support: Support, *, learning_rate: float | Float[Array, ""]
) -> Member:
    """The network after a step more, on all of the support: 0.5 times the mean squared error."""
    import optax

    def loss(parameters: Any) -> tuple[Float[Array, ""], Any]:
        state = State(parameters, member.state.rest)
        logits, rest = model.apply(state, support["images"], training=True)
        return 0.5 * jnp.mean((logits - support["labels"]) ** 2), rest

    gradient, rest = jax.grad(loss, has_aux=True)(member.state.parameters)
    changes, optimizer = _adam(learning_rate).update(gradient, member.optimizer)
    parameters = optax.apply_updates(member.state.parameters, changes)
    return Member(State(parameters, rest), optimizer, member.steps + 1)


def _adam(learning_rate: float | Float[Array, ""]) -> Any:
    import optax

    return optax.adam(learning_rate)
