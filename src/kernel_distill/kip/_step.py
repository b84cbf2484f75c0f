"""One step of KIP: the batch, the loss, its gradient, the update."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from kernel_distill.data import augment
from kernel_distill.kernels import Kernel, Rows, fit

Support = dict[str, Float[Array, "s ..."]]


@dataclass(frozen=True)
class Update:
    """All of a step that stays the same throughout a run, and hashes as one static argument.

    Attributes:
        optimizer: an optax transformation (compared by identity).
        learned: which of "images" and "labels" the optimiser moves.
        ridge: see `kernels.ridge_regression`.
        num_classes: number of classes.
    """

    optimizer: Any
    learned: tuple[str, ...]
    ridge: float
    num_classes: int


@functools.partial(jax.jit, static_argnames="names")
def natural_batch(
    images: Float[Array, "n *shape"],
    batch: Int[Array, "t"],
    *,
    augment_key: PRNGKeyArray | None,
    names: tuple[str, ...],
) -> Float[Array, "t *shape"]:
    """The natural images of a step.

    Apart from the step, where XLA would gather and augment them again for each of their uses.

    Args:
        images: all natural images.
        batch: which of them.
        augment_key: the randomness of the augmentation; None leaves the batch as it is.
        names: what is done at random, see `data.augment`.
    """
    target = images[batch]
    return target if augment_key is None else augment(augment_key, target, names=names)


@dataclass(frozen=True)
class Augmentation:
    """What `natural_batch` does to images at random, for `Rows`: to a part of a batch, anywhere.

    Attributes:
        key: the data of the random key.
        implementation: its implementation.
        names: see `data.augment`.
    """

    key: tuple[int, ...]
    implementation: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, key: PRNGKeyArray, names: tuple[str, ...]) -> "Augmentation":
        data = np.asarray(jax.random.key_data(key)).tolist()
        return cls(tuple(data), str(jax.random.key_impl(key)), names)

    def __call__(
        self, images: Float[Array, "n *shape"], *, first: int, total: int
    ) -> Float[Array, "n *shape"]:
        data = jnp.asarray(self.key, jnp.uint32)
        key = jax.random.wrap_key_data(data, impl=self.implementation)
        return _augmented(key, images, names=self.names, first=first, total=total)


_augmented = functools.partial(jax.jit, static_argnames=("names", "total"))(augment)


def loss(
    kernel: Kernel,
    support: Support,
    images: Float[Array, "t *shape"] | Rows,
    labels: Float[Array, "t class"],
    *,
    ridge: float,
    label_solve_rate: Float[Array, ""] | None = None,
) -> tuple[Float[Array, ""], tuple[Float[Array, "t class"], Float[Array, "s class"]]]:
    """0.5 times the mean squared error of the prediction of a target batch.

    Source: Nguyen et al. 2021 (KIP), equation 5. The solve is done in the dtype of the labels.

    Args:
        kernel: the kernel.
        support: "images" [s, *shape] and "labels" [s, class].
        images: the target batch.
        labels: its labels, centred.
        ridge: see `kernels.ridge_regression`.
        label_solve_rate: what part of the way the labels of the support first move to those that
            are the best for this batch. The gradient takes them as constants. Where they move all
            of the way that changes nothing, since the loss is stationary in them: it is the
            gradient of the loss with the labels solved for (variable projection, Golub & Pereyra
            1973).

    Returns:
        The loss; and the prediction with the labels of the support that it was made with.
    """
    kernel_ts = kernel(images, support["images"])
    support_labels = support["labels"]
    regression = fit(kernel(support["images"]), support_labels, ridge=ridge)
    if label_solve_rate is not None:
        # constants from here on, lest a derivative be taken that is then dropped
        still, still_ts = jax.lax.stop_gradient((regression, kernel_ts))
        best = still.best_labels(still_ts, labels)
        support_labels = jax.lax.stop_gradient(support_labels)
        support_labels += label_solve_rate * (best - support_labels)
        regression = regression.with_labels(support_labels)
    prediction = regression.predict(kernel_ts)
    return 0.5 * jnp.mean((prediction - labels) ** 2), (prediction, support_labels)


def step(
    kernel: Kernel,
    update: Update,
    support: Support,
    optimizer_state: Any,
    *,
    images: Float[Array, "t *shape"] | Rows,
    classes: Int[Array, "t"],
    noise: Bool[Array, "s *shape"] | None,
    label_solve_rate: Float[Array, ""] | None,
) -> tuple[Support, Any, dict[str, Array]]:
    """One step of the optimiser.

    Args:
        kernel: the kernel of this step.
        update: what stays the same throughout the run.
        support: "images" [s, *shape] and "labels" [s, class].
        optimizer_state: of the learned part of the support.
        images: the target batch of this step.
        classes: of the target batch.
        noise: the pixels that are never moved.
        label_solve_rate: see `loss`.

    Returns:
        The new support, the new optimiser state, and of the batch: "loss" and "batch_accuracy"
        before the update (but with the labels moved, where they are solved for: then both flatter,
        since the labels know this batch), and whether all is "finite" after it.
    """
    import optax

    # the kernel's precision is that of the support's images
    images = images.astype(support["images"].dtype)
    labels = jax.nn.one_hot(classes, update.num_classes, dtype=support["labels"].dtype)
    labels -= 1 / update.num_classes

    def objective(learned: Support) -> tuple[Array, tuple[Array, Array]]:
        return loss(
            kernel,
            support | learned,
            images,
            labels,
            ridge=update.ridge,
            label_solve_rate=label_solve_rate,
        )

    learned = {name: support[name] for name in update.learned}
    (value, aside), gradient = jax.value_and_grad(objective, has_aux=True)(learned)
    prediction, support_labels = aside
    changes, optimizer_state = update.optimizer.update(gradient, optimizer_state, learned)
    moved = {"labels": support_labels} | optax.apply_updates(learned, changes)
    if noise is not None and "images" in moved:
        moved["images"] = jnp.where(noise, support["images"], moved["images"])
    accuracy = jnp.mean(prediction.argmax(axis=1) == classes)
    finite = jnp.isfinite(value)
    for values in moved.values():
        finite &= jnp.isfinite(values).all()
    metrics = {"loss": value, "batch_accuracy": accuracy, "finite": finite}
    return kernel.whole((support | moved, optimizer_state, metrics))


jitted_step = functools.partial(jax.jit, static_argnames="update")(step)
