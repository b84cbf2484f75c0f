"""One step of KIP: the loss, its gradient, the update."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from kernel_distill.data import augment
from kernel_distill.kernels import Kernel, fit

Support = dict[str, Float[Array, "s ..."]]


@dataclass(frozen=True)
class Update:
    """All of a step that stays the same throughout a run, and hashes as one static argument.

    Attributes:
        optimizer: an optax transformation (compared by identity).
        learned: which of "images" and "labels" the optimiser moves.
        ridge: see `kernels.ridge_regression`.
        augment: what is done at random to a batch that is to be augmented.
        num_classes: number of classes.
    """

    optimizer: Any
    learned: tuple[str, ...]
    ridge: float
    augment: tuple[str, ...]
    num_classes: int


def loss(
    kernel: Kernel,
    support: Support,
    images: Float[Array, "t *shape"],
    labels: Float[Array, "t class"],
    *,
    ridge: float,
) -> tuple[Float[Array, ""], Float[Array, "t class"]]:
    """0.5 times the mean squared error of the prediction of a target batch, and the prediction.

    Source: Nguyen et al. 2021 (KIP), equation 5. The solve is done in the dtype of the labels.
    """
    regression = fit(kernel(support["images"]), support["labels"], ridge=ridge)
    prediction = regression.predict(kernel(images, support["images"]))
    return 0.5 * jnp.mean((prediction - labels) ** 2), prediction


def step(
    kernel: Kernel,
    update: Update,
    support: Support,
    optimizer_state: Any,
    *,
    images: Float[Array, "n *shape"],
    labels: Int[Array, "n"],
    batch: Int[Array, "t"],
    noise: Bool[Array, "s *shape"] | None,
    augment_key: PRNGKeyArray | None,
) -> tuple[Support, Any, dict[str, Array]]:
    """One step of the optimiser.

    Args:
        kernel: the kernel of this step.
        update: what stays the same throughout the run.
        support: "images" [s, *shape] and "labels" [s, class].
        optimizer_state: of the learned part of the support.
        images: all natural images.
        labels: their classes.
        batch: which of them are the target of this step.
        noise: the pixels that are never moved.
        augment_key: the randomness of the augmentation; None leaves the batch as it is.

    Returns:
        The new support, the new optimiser state, and of the batch: "loss" and "batch_accuracy"
        before the update, and whether all is "finite" after it.
    """
    import optax

    target = images[batch]
    if augment_key is not None:
        target = augment(augment_key, target, names=update.augment)
    # the kernel's precision is that of the support's images
    target = target.astype(support["images"].dtype)
    classes = labels[batch]
    target_labels = jax.nn.one_hot(classes, update.num_classes, dtype=support["labels"].dtype)
    target_labels -= 1 / update.num_classes

    def objective(learned: Support) -> tuple[Array, Array]:
        return loss(kernel, support | learned, target, target_labels, ridge=update.ridge)

    learned = {name: support[name] for name in update.learned}
    (value, prediction), gradient = jax.value_and_grad(objective, has_aux=True)(learned)
    changes, optimizer_state = update.optimizer.update(gradient, optimizer_state, learned)
    moved = optax.apply_updates(learned, changes)
    if noise is not None and "images" in moved:
        moved["images"] = jnp.where(noise, support["images"], moved["images"])
    accuracy = jnp.mean(prediction.argmax(axis=1) == classes)
    finite = jnp.isfinite(value)
    for values in moved.values():
        finite &= jnp.isfinite(values).all()
    metrics = {"loss": value, "batch_accuracy": accuracy, "finite": finite}
    return support | moved, optimizer_state, metrics


jitted_step = functools.partial(jax.jit, static_argnames=("kernel", "update"))(step)
