"""A network in training on the distilled images, one step after another."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypedDict

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from kernel_distill._errors import NumericalError
from kernel_distill.data import augment, numpy_generator
from kernel_distill.matching._descent import descend
from kernel_distill.matching._unroll import Tape, Unroll, finite
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


def student_step(model: Model, names: tuple[str, ...]) -> Callable[[State, Lesson, Turn], State]:
    """A step of a training, with augmentations of these names."""

    def step(state: State, lesson: Lesson, turn: Turn) -> State:
        images, labels = lesson["images"][turn.rows], lesson["labels"][turn.rows]
        if names:
            images = augment(turn.key, images, names=names)
        return descend(model, state, images, labels, rate=lesson["rate"])

    return step


@functools.cache  # compiled once for all trainings of a network
def student(model: Model, names: tuple[str, ...]) -> Unroll:
    """The steps of a training, on the host."""
    return Unroll(student_step(model, names))


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


def trained(
    steps: Unroll,
    initial: State,
    lesson: Lesson,
    all_turns: Sequence[Turn],
    *,
    where: str,
    setting: str,
) -> Tape:
    """A training, as far as it goes.

    Args:
        steps: from `student`.
        initial: before the first step.
        lesson: what is learned from.
        all_turns: of each step.
        where: what the training is for, in a message.
        setting: that which the learning rate comes from, in a message.

    Raises:
        NumericalError: it ended in weights that are not finite.
    """
    found = steps.forward(initial, lesson, all_turns)
    if finite(found.final):
        return found
    number = steps.first_not_finite(initial, lesson, all_turns)
    assert number is not None  # the last one at the latest
    raise NumericalError(
        f"{where}: training a network on the distilled images diverged at its step {number + 1} of "
        f"{len(all_turns)}, with learning rate {float(lesson['rate']):.3g}. Take a lower "
        f"{setting}, or a lower learning_rate of the images."
    )
