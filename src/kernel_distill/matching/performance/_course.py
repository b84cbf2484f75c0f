"""The distilled steps: what each does to a network, and the way back through all of them."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from kernel_distill._errors import NumericalError
from kernel_distill._trees import stacked, unstacked
from kernel_distill.matching._descent import descend
from kernel_distill.matching._method import Support
from kernel_distill.matching._products import in_gradients, in_training
from kernel_distill.matching._unroll import Unroll, finite
from kernel_distill.transfer import Model, State

_Turn = tuple[Any, Any]  # the numbers of the epoch and of the distilled step


def positive(raw: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """log(1 + e^r): the learning rate that a learned number r stands for."""
    return jax.nn.softplus(raw)


def raw(rate: Any) -> Any:
    """The number, or the array of numbers, whose `positive` is a rate."""
    return rate + np.log(-np.expm1(-rate))


def classification_loss(
    model: Model, state: State, images: Float[Array, "n *shape"], classes: Int[Array, "n"]
) -> Float[Array, ""]:
    """The mean cross-entropy of a network's predictions."""
    logits = jax.nn.log_softmax(model.logits(state, images))
    return -jnp.mean(jnp.take_along_axis(logits, classes[:, None], axis=1))


def learn(model: Model, state: State, support: Support, turn: _Turn) -> State:
    """A step of gradient descent on the images of a distilled step.

    Source: Wang et al. 2018, algorithm 1, with the labels of Sucholutsky and Schonlau 2019.

    Args:
        model: of the network.
        state: before the step.
        support: of all steps.
        turn: which epoch and which distilled step; it takes every S-th row from there.
    """
    epoch, number = turn
    steps = support["rates"].shape[1]

    def of_step(rows: Float[Array, "s *rest"]) -> Float[Array, "n *rest"]:
        return rows.reshape(-1, steps, *rows.shape[1:])[:, number]

    images, labels = of_step(support["images"]), of_step(support["labels"])

    rate = positive(support["rates"][epoch, number])
    return descend(model, state, images, labels, rate=rate)


class Course:
    """All distilled steps, for networks of one architecture.

    Several networks go through them together (`jax.vmap`), on CPUs one after the other, where
    convolutions of several networks together are slower than of each alone.

    Attributes:
        model: the architecture.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._together = jax.default_backend() != "cpu"
        step = functools.partial(learn, in_training(model))
        loss = jax.value_and_grad(functools.partial(classification_loss, in_gradients(model)))
        if self._together:
            step = jax.vmap(step, in_axes=(0, None, None))
            loss = jax.vmap(loss, in_axes=(0, None, None))
        self._unroll, self._loss = Unroll(step), jax.jit(loss)

    def finals(self, states: Sequence[State], support: Support) -> list[State]:
        """Networks after the steps.

        Raises:
            NumericalError: a network diverged.
        """
        turns, ends = _turns(support), []
        for group in self._groups(states):
            end = self._unroll.forward(group, support, turns).final
            self._require_finite(group, support, end)
            ends.append(end)
        if not self._together:
            return ends
        return unstacked(ends[0], len(states))

    def gradient(
        self,
        states: Sequence[State],
        support: Support,
        images: Float[Array, "n *shape"],
        classes: Int[Array, "n"],
    ) -> tuple[Float[Array, ""], Support]:
        """The loss on natural images after the steps, and its derivatives in the support.

        Args:
            states: of the networks before the steps; the means of theirs are returned.
            support: what they learn from.
            images: natural ones.
            classes: theirs, as the networks should tell them.

        Raises:
            NumericalError: a network diverged.
        """
        found = []
        for group in self._groups(states):
            tape = self._unroll.forward(group, support, _turns(support))
            losses, cotangent = self._loss(tape.final, images, classes)
            if not np.isfinite(losses).all():
                self._require_finite(group, support, (tape.final, losses))
            found.append((jnp.sum(losses), self._unroll.backward(tape, cotangent)[1]))
        return mean_of(found, count=len(states))

    def _groups(self, states: Sequence[State]) -> Sequence[State]:
        if not self._together:
            return states
        return [stacked(states)]

    def _require_finite(self, group: State, support: Support, end: Any) -> None:
        """Raises NumericalError, which says from which step on, unless all of `end` is finite."""
        if finite(end):
            return
        turns = _turns(support)
        number = self._unroll.first_not_finite(group, support, turns)
        # where only the loss is not finite, the last step has gone too far
        epoch, step = turns[-1 if number is None else number]
        rate = float(positive(support["rates"])[epoch, step])
        raise NumericalError(
            f"{self.model.network.name} diverges on the distilled images: it is not finite after "
            f"step {step + 1} of {support['rates'].shape[1]} in epoch {epoch + 1}, whose learning "
            f"rate is {rate:.3g}. Take a smaller inner_learning_rate, a smaller rate_learning_rate "
            "(the rates are learned), or a smaller learning_rate of the images."
        )


def mean_of(trees: Sequence[Any], *, count: int) -> Any:
    """The sum of trees over a count."""
    return jax.tree.map(lambda *leaves: functools.reduce(jnp.add, leaves) / count, *trees)


def _turns(support: Support) -> list[_Turn]:
    epochs, steps = support["rates"].shape
    return [
        (np.int32(epoch), np.int32(number)) for epoch in range(epochs) for number in range(steps)
    ]
