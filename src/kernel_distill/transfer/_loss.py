"""What a training minimises."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kernel_distill.transfer._settings import TrainingSettings


def targets(labels: Float[Array, "n class"], settings: TrainingSettings) -> Float[Array, "n class"]:
    """What the logits are compared with: see `TrainingSettings.loss` and `label_scale`."""
    labels = settings.label_scale[0] * labels
    if settings.loss == "mse":
        return labels
    weights = jnp.maximum(labels + 1 / labels.shape[1], 0)
    return weights / weights.sum(axis=1, keepdims=True)


def loss(
    logits: Float[Array, "n class"],
    wanted: Float[Array, "n class"],
    settings: TrainingSettings,
) -> Float[Array, ""]:
    """Half the mean, over images and classes, of the squared error; or the cross-entropy, the mean
    over images."""
    if settings.loss == "mse":
        return 0.5 * jnp.mean((logits - wanted) ** 2)
    return -jnp.mean(jnp.sum(wanted * jax.nn.log_softmax(logits), axis=1))
