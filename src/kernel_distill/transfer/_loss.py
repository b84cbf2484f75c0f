"""What a training minimises."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from kernel_distill._errors import InputError
from kernel_distill.transfer._settings import TrainingSettings


def targets(labels: Float[Array, "n class"], settings: TrainingSettings) -> Float[Array, "n class"]:
    """What the logits are compared with: see `TrainingSettings.loss` and `label_scale`."""
    labels = settings.label_scale[0] * labels
    if settings.loss == "mse":
        return labels
    weights = jnp.maximum(labels + 1 / labels.shape[1], 0)
    return weights / weights.sum(axis=1, keepdims=True)


def check_labels(labels: Float[np.ndarray, "n class"], settings: TrainingSettings) -> None:
    """Raises InputError where the cross-entropy would compare with what is no distribution."""
    scaled = settings.label_scale[0] * labels + 1 / labels.shape[1]
    empty = int((scaled.max(axis=1) <= 0).sum())
    if settings.loss == "cross_entropy" and empty:
        raise InputError(
            f"the cross-entropy needs labels with an entry above -1/C; got {empty} without one, as "
            "learned labels may be: take loss mse"
        )


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
