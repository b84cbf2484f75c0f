"""A network in training on the distilled images, one step after another."""

import functools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from kernel_distill._errors import NumericalError
from kernel_distill.data import augment, numpy_generator
from kernel_distill.matching._unroll import Unroll
from kernel_distill.matching.parameter._descent import descend
from kernel_distill.transfer import Model, State


class Lesson(TypedDict):
    """What all steps of a training learn from; labels are centred."""

    images: Float[Array, "s *shape"]
    labels: Float[Array, "s class"]
    rate: Float[Array, ""]


class Turn(NamedTuple):
    """What tells a step from another: the rows of its images, and how they are augmented."""

    rows: Int[Array, "b"]
    key: Key[Array, ""]


@functools.cache  # compiled once for all trainings of a network
def student(model: Model, names: tuple[str, ...]) -> Unroll:
    """The steps of a training: step(state: State, lesson: Lesson, turn: Turn) -> State."""

    def step(state: State, lesson: Lesson, turn: Turn) -> State:
        images, labels = lesson["images"][turn.rows], lesson["labels"][turn.rows]
        if names:
            images = augment(turn.key, images, names=names)
        return descend(model, state, images, labels, rate=lesson["rate"])

    return Unroll(step)


def turns(count: int, *, steps: int, batch_size: int, key: PRNGKeyArray) -> list[Turn]:
    """Steps over so many images: all of them, where they are no more than a batch; else the next
    of a permutation, drawn anew when less than a batch of it is left."""
    batch_size = min(batch_size, count)
    random = numpy_generator(key)
    batches = count // batch_size
    orders = [random.permutation(count) for _ in range(math.ceil(steps / batches))]
    rows = [
        order[start * batch_size : (start + 1) * batch_size]
        for order in orders
        for start in range(batches)
    ]
    keys = jax.random.split(key, steps)
    return [Turn(jnp.asarray(each, jnp.int32), key) for each, key in zip(rows, keys, strict=False)]


def require_finite(
    final: State, states: Iterable[State], *, steps: int, rate: float, where: str
) -> None:
    """Raises NumericalError where a training ended in weights that are not finite.

    Args:
        final: after the last step.
        states: after each step; they are looked at only where the last is not finite.
        steps: their number.
        rate: the learning rate.
        where: what the training was for.
    """
    if _finite(final):
        return
    number = next(number for number, state in enumerate(states, start=1) if not _finite(state))
    raise NumericalError(
        f"{where}: training a network on the distilled images diverged at its step {number} of "
        f"{steps}, with learning rate {rate:.3g}. Take a lower one, or a lower learning rate of "
        "the images"
    )


def _finite(tree: Any) -> bool:
    return all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(tree))
