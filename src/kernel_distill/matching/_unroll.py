"""Back-propagation through the steps of a training, at the memory of the square root of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any

import jax
import jax.numpy as jnp

Step = Callable[[Any, Any, Any], Any]
"""step(state, shared, turn) -> state, a pure function of trees of arrays.

`state` is what the steps hand on (weights), float; `shared` what all of them learn from (distilled
images, learning rates), float; `turn` what tells one from another and has no gradient (its number,
the rows of its images, a key).
"""


@dataclass(frozen=True)
class Tape:
    """Steps that were taken, with as many states as it takes to go back through them.

    Attributes:
        final: the state after the last step.
        kept: the states before steps 0, segment, 2 segment, ...
        segment: steps from one kept state to the next.
        shared: what the steps learnt from.
        turns: of each step.
    """

    final: Any
    kept: tuple[Any, ...]
    segment: int
    shared: Any
    turns: tuple[Any, ...]


def finite(tree: Any) -> bool:
    """Whether all numbers of a tree are."""
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))


class Unroll:
    """A step, and its derivative, compiled once each; the loop over them runs on the host.

    Forward, every ceil(sqrt(T))-th of T states is kept; backward, those of a segment are computed
    anew from the state at its beginning, and what a step computes on its way is computed anew in
    its derivative. Memory is 2 sqrt(T) states and what one step takes, time two or three times
    that of T derivatives at most, and compiling takes as long for a thousand steps as for one.
    Source: Chen et al. 2016, "Training deep nets with sublinear memory cost".

    The loop is not `jax.lax.scan`, and rematerialisation not `jax.checkpoint`: on CPUs XLA compiles
    gradients of convolutions within a loop to programs 14 to 40 times slower, and, where steps are
    written out, finds the recomputed values equal to the first ones and keeps those (measured on
    JAX 0.10.2).
    """

    def __init__(self, step: Step) -> None:
        def back(
            state: Any, shared: Any, turn: Any, cotangent: Any, so_far: Any
        ) -> tuple[Any, Any]:
            _, pull = jax.vjp(lambda state, shared: step(state, shared, turn), state, shared)
            of_state, of_shared = pull(cotangent)
            return of_state, jax.tree.map(jnp.add, so_far, of_shared)

        self._step, self._back = jax.jit(step), jax.jit(back)

    def states(self, initial: Any, shared: Any, turns: Sequence[Any]) -> Iterator[Any]:
        """The state after each step."""
        for turn in turns:
            initial = self._step(initial, shared, turn)
            yield initial

    def first_not_finite(self, initial: Any, shared: Any, turns: Sequence[Any]) -> int | None:
        """The place in `turns` of the first step that does not end in finite numbers; None: all
        do. The steps are taken again."""
        states = enumerate(self.states(initial, shared, turns))
        return next((number for number, state in states if not finite(state)), None)

    def forward(
        self, initial: Any, shared: Any, turns: Sequence[Any], *, segment: int | None = None
    ) -> Tape:
        """Takes the steps.

        Args:
            initial: the state before the first one.
            shared: what all steps learn from.
            turns: what tells them from each other; as many steps are taken.
            segment: of so many states one is kept; ceil(sqrt(T)) by default. 1: all of them, which
                saves a step in each derivative of one.
        """
        if segment is None:
            segment = isqrt(max(len(turns), 1) - 1) + 1
        kept, state = [], initial
        for number, turn in enumerate(turns):
            if number % segment == 0:
                kept.append(state)
            state = self._step(state, shared, turn)
        return Tape(state, tuple(kept), segment, shared, tuple(turns))

    def backward(self, tape: Tape, cotangent: Any) -> tuple[Any, Any]:
        """From the derivative of a loss in the final state to those in what led there.

        Args:
            tape: from `forward`.
            cotangent: a tree like the state.

        Returns:
            The derivatives in the initial state and in `shared`, the latter summed over the steps.
        """
        of_shared = jax.tree.map(jnp.zeros_like, tape.shared)
        turns, segment = tape.turns, tape.segment
        for number, state in reversed(list(enumerate(tape.kept))):
            within = turns[number * segment : (number + 1) * segment]
            before = [state, *self.states(state, tape.shared, within[:-1])]
            while before:  # a state is let go as soon as it has served
                cotangent, of_shared = self._back(
                    before.pop(), tape.shared, within[len(before)], cotangent, of_shared
                )
        return cotangent, of_shared
