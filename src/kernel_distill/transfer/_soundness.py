"""Whether a training is one: neither diverged nor dead."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from kernel_distill._errors import NumericalError
from kernel_distill.networks import Network
from kernel_distill.transfer._model import Model, State

_FAR = 10  # times the first loss: that is no training any more, whatever comes after it
_DEAD = 1e-5  # of what the logits should differ by: they do not differ at all


class Rates(NamedTuple):
    """Learning rates, of each seed.

    Attributes:
        used: the peak of the schedule.
        stable: the largest stable ones; None where a rate was given.
    """

    used: Float[np.ndarray, "seed"]
    stable: Float[np.ndarray, "seed"] | None

    def told(self, seed: int) -> str:
        known = (
            "leave the learning rate out, and the largest stable one is estimated"
            if self.stable is None
            else f"the largest stable rate is about {self.stable[seed]:.3g}"
        )
        return f"learning rate {self.used[seed]:.3g}; {known}"

    def of(self, seeds: slice) -> "Rates":
        return Rates(self.used[seeds], None if self.stable is None else self.stable[seeds])


def require_sound(
    losses: Float[np.ndarray, "seed point"],
    network: Network,
    rates: Rates,
    *,
    step: int,
    last_step: bool,
) -> None:
    """Raises NumericalError where a loss is not finite, or far above where it began; at the end
    where it is above that at all: such a network would be tested to no better than chance.

    Args:
        losses: up to now.
        network: that is trained.
        rates: of each seed.
        step: of the last losses.
        last_step: whether the training ends there.
    """
    first, last = losses[:, 0], losses[:, -1]
    if not np.isfinite(first).all():
        raise NumericalError(
            f"the loss of {network.name} is not finite before the first step: check the scale of "
            "the images and labels"
        )
    sound = np.isfinite(last) & (last <= (1 if last_step else _FAR) * first)
    if sound.all():
        return
    seed = int(np.argmin(sound))
    raise NumericalError(
        f"training {network.name} diverged: its loss was {first[seed]:.3g}, and at step {step} is "
        f"{last[seed]:.3g}, with {rates.told(seed)}. Take a lower rate or factor."
    )


def require_alive(
    model: Model,
    states: State,
    images: Float[Array, "n *shape"],
    wanted: Float[Array, "n class"],
    rates: Rates,
) -> None:
    """Raises NumericalError where a trained network is dead.

    Args:
        model: the network.
        states: of each seed, stacked.
        images: some that it was trained on.
        wanted: what the logits are to be.
        rates: of each seed.
    """
    found = dead(model, states, images, wanted)
    if found.any():
        raise NumericalError(
            f"training {model.network.name} ended with the same prediction for all images, with "
            f"{rates.told(int(np.argmax(found)))}. Take a lower rate or factor, or a "
            "smaller l2."
        )


def dead(
    model: Model, states: State, images: Float[Array, "n *shape"], wanted: Float[Array, "n class"]
) -> Bool[np.ndarray, "seed"]:
    """Whether networks predict the same for all images, though not the same is wanted.

    ReLUs that a large step has turned off for all images stay off. The loss is then that of a
    constant prediction, and does not tell.

    Args:
        model: the network.
        states: of each seed, stacked.
        images: some that it was trained on.
        wanted: what the logits are to be.
    """
    spreads = np.asarray(_spreads(model, states, images, wanted))
    return spreads < _DEAD  # not where all is wanted alike, which gives infinity or NaN


@functools.partial(jax.jit, static_argnames="model")
def _spreads(
    model: Model, states: State, images: Float[Array, "n *shape"], wanted: Float[Array, "n class"]
) -> Float[Array, "seed"]:
    """How far apart the logits are, of the class where it is farthest, over the wanted ones."""
    ranges = jax.lax.map(lambda state: jnp.ptp(model.logits(state, images), axis=0).max(), states)
    return ranges / jnp.ptp(wanted, axis=0).max()
