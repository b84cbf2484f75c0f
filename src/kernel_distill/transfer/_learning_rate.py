"""The largest stable learning rate, from the tangent kernel, which is never formed."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from kernel_distill._trees import spread_rows
from kernel_distill.transfer._model import Model, State

_MOST_IMAGES = 50
_MOST_ITERATIONS = 100
_TOLERANCE = 1e-3  # of the eigenvalue, relative


def largest_stable_rate(model: Model, state: State, images: Float[Array, "n *shape"]) -> float:
    """The learning rate beyond which gradient descent leaves the linearised network's minimum.

    With J [n C, parameter] the Jacobian of the logits of n images and C classes, a step of size
    rate on 1/(2 n C) ||f - y||^2 multiplies the error by I - rate/(n C) J J^T, which shrinks
    nothing of it unless rate < 2 n C / lambda_max(J J^T). J J^T is the empirical tangent kernel;
    its largest eigenvalue is found by power iteration with products J v and J^T u only, on at most
    50 of the images, spread evenly. Momentum 0.9 would allow 1.9 times as much, which is left as a
    margin. The cross-entropy of probabilities 1/C, where a small network starts, has the same rate.

    The authors' notebook (google-research/kip: nn_training.ipynb) takes the kernel of 50 validation
    images, summed over the classes; here it is that of the images trained on, since learned ones
    may have another scale.

    Args:
        model: the network.
        state: its weights, as initialised.
        images: those that it will be trained on.

    Returns:
        2 n C / lambda_max; 0 or not finite where the network is not.
    """
    images = images[spread_rows(len(images), _MOST_IMAGES)]
    outputs = jnp.ones((len(images), model.num_classes), jnp.float32)
    # alternating signs: no class, and no image, is left out or drowned by the others
    vector = outputs * (1 + 0.5 * jnp.cos(jnp.arange(outputs.size, dtype=jnp.float32))).reshape(
        outputs.shape
    )
    vector /= jnp.linalg.norm(vector)
    before = 0.0
    # a loop on the host: XLA's CPU compiler makes poor programs of convolutions within loops
    for _ in range(_MOST_ITERATIONS):
        vector, norm = _iterate(model, state, images, vector)
        eigenvalue = float(norm)
        if not abs(eigenvalue - before) > _TOLERANCE * eigenvalue:
            break
        before = eigenvalue
    return 2 * outputs.size / eigenvalue if eigenvalue else float("inf")


def with_l2(rates: Float[np.ndarray, "seed"], l2: float) -> Float[np.ndarray, "seed"]:
    """What of largest stable rates is left with half of l2 times the squared weights in the loss,
    which is curved by l2 more in every direction."""
    return 2 / (2 / rates + l2)


@functools.partial(jax.jit, static_argnames="model")
def _iterate(
    model: Model,
    state: State,
    images: Float[Array, "n *shape"],
    vector: Float[Array, "n class"],
) -> tuple[Float[Array, "n class"], Float[Array, ""]]:
    """J J^T vector, normalised, and its norm."""

    def outputs(parameters: Any) -> Float[Array, "n class"]:
        return model.apply(State(parameters, state.rest), images, training=True)[0]

    _, pull = jax.vjp(outputs, state.parameters)
    _, image = jax.jvp(outputs, (state.parameters,), pull(vector))
    norm = jnp.linalg.norm(image)
    return image / norm, norm
