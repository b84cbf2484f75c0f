"""Whether a training is one: neither diverged nor dead."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from kernel_distill._errors import NumericalError
from kernel_distill.networks import Network
from kernel_distill.transfer._model import Model, State

_FAR = 10  # times the first loss: that is no training any more
_DEAD = 1e-5  # of what the logits should differ by: they do not differ at all


def require_sound(
    losses: Float[np.ndarray, "seed point"],
    network: Network,
    *,
    rate: float,
    stable: float | None,
    step: int,
) -> None:
    """Raises NumericalError where a loss is not finite, or far above where it began."""
    first, last = losses[:, 0], losses[:, -1]
    sound = np.isfinite(last) & (last <= _FAR * first)
    if sound.all():
        return
    worst = last[~sound][0]
    raise NumericalError(
        f"training {network.name} diverged: its loss was {first[~sound][0]:.3g}, and at step "
        f"{step} is {worst:.3g}, with learning rate {rate:.3g}; {_known(stable)}. Take a lower "
        "rate or factor."
    )


def require_alive(
    model: Model,
    states: State,
    images: Float[Array, "n *shape"],
    wanted: Float[Array, "n class"],
    *,
    rate: float,
    stable: float | None,
) -> None:
    """Raises NumericalError where a trained network predicts the same for all images.

    ReLUs that a large step has turned off for all images stay off. The loss is then that of a
    constant prediction, and does not tell.

    Args:
        model: the network.
        states: of each seed, stacked.
        images: some that it was trained on.
        wanted: what the logits are to be.
        rate: the learning rate.
        stable: the largest stable one, if known.
    """
    spreads = np.asarray(_spreads(model, states, images, wanted))
    if (spreads < _DEAD).any():  # not where all is wanted alike, which gives infinity or NaN
        raise NumericalError(
            f"training {model.network.name} ended with the same prediction for all images, with "
            f"learning rate {rate:.3g}; {_known(stable)}. Take a lower rate or factor, or a "
            "smaller l2."
        )


@functools.partial(jax.jit, static_argnames="model")
def _spreads(
    model: Model, states: State, images: Float[Array, "n *shape"], wanted: Float[Array, "n class"]
) -> Float[Array, "seed"]:
    """How far apart the logits are, of the class where it is farthest, over the wanted ones."""
    ranges = jax.lax.map(lambda state: jnp.ptp(model.logits(state, images), axis=0).max(), states)
    return ranges / jnp.ptp(wanted, axis=0).max()


def _known(stable: float | None) -> str:
    if stable:
        return f"the largest stable rate is about {stable:.3g}"
    return "leave learning_rate out, and the largest stable one is estimated"
