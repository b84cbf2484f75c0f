"""An outer step of distribution matching."""

import functools
from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from kernel_distill.data import augment
from kernel_distill.matching._evaluation import CROSS_ENTROPY
from kernel_distill.matching._method import Found, Method, Support
from kernel_distill.matching.distribution._settings import DistributionSettings
from kernel_distill.transfer import Model


class Distribution(Method[DistributionSettings]):
    """The mean embedding of each class is to be that of natural images, whatever the network.

    A step draws a network at random, which nobody trains, and a batch of natural images. The loss
    is the squared distance between the mean embeddings of the distilled and of the natural images
    of a class, summed over classes. Source: Zhao & Bilen 2023 (arXiv 2110.04181), equation 5 and
    algorithm 1, which draws an augmentation a class, where all classes share that of a step here.
    """

    name = "distribution"
    settings_type = DistributionSettings
    likely_cause = "the images, or the embeddings of a network at random, are too large"
    # faster than others: augmented images are not learned by heart in so few steps
    training = replace(CROSS_ENTROPY, factor=(0.5, *CROSS_ENTROPY.factor))

    def gradient(self, support: Support, memory: Any, *, step: int, key: PRNGKeyArray) -> Found:
        del step
        batch_key, augment_key, network_key = jax.random.split(key, 3)
        batch = self.batch(batch_key)
        loss, gradient = _loss_and_gradient(
            self.model,
            support["images"],
            support["labels"],
            self.images[batch],
            jnp.asarray(self.data.train.labels[batch]),
            network_key=network_key,
            augment_key=augment_key,
            names=self.settings.augment,
            layers=self.settings.layers,
        )
        return Found({"images": gradient}, memory, {"loss": loss})


@functools.partial(jax.jit, static_argnames=("model", "names", "layers"))
def _loss_and_gradient(
    model: Model,
    images: Float[Array, "s *shape"],
    labels: Float[Array, "s class"],
    natural: Float[Array, "t *shape"],
    natural_classes: Int[Array, "t"],
    *,
    network_key: PRNGKeyArray,
    augment_key: PRNGKeyArray,
    names: tuple[str, ...],
    layers: Literal["last", "all"],
) -> tuple[Float[Array, ""], Float[Array, "s *shape"]]:
    """Of the distance at a network that the key draws, both sides changed alike."""
    num_classes = labels.shape[1]
    state = model.init(network_key)
    classes = labels.argmax(axis=1)

    def embedded(images: Float[Array, "n *shape"]) -> list[Float[Array, "n feature"]]:
        if names:
            images = augment(augment_key, images, names=names, siamese=True)
        found = model.features(state, images, training=True)
        return found if layers == "all" else found[-1:]

    natural_embedded = embedded(natural)

    def loss(images: Float[Array, "s *shape"]) -> Float[Array, ""]:
        distances = [
            distance(ours, classes, theirs, natural_classes, num_classes=num_classes)
            for ours, theirs in zip(embedded(images), natural_embedded, strict=True)
        ]
        return functools.reduce(jnp.add, distances)

    return jax.value_and_grad(loss)(images)


def distance(
    embedded: Float[Array, "s feature"],
    classes: Int[Array, "s"],
    natural_embedded: Float[Array, "t feature"],
    natural_classes: Int[Array, "t"],
    *,
    num_classes: int,
) -> Float[Array, ""]:
    """The squared distance of the means of a class, summed over the classes that both sides have.

    Source: Zhao & Bilen 2023, equation 5.
    """
    ours, theirs = (
        jax.nn.one_hot(each, num_classes, axis=0) for each in (classes, natural_classes)
    )
    both = (ours.sum(axis=1) > 0) & (theirs.sum(axis=1) > 0)
    difference = _means(ours, embedded) - _means(theirs, natural_embedded)
    return jnp.sum(jnp.where(both, jnp.sum(difference**2, axis=1), 0.0))


def _means(
    members: Float[Array, "class n"], embedded: Float[Array, "n feature"]
) -> Float[Array, "class feature"]:
    """Of each class; zero where it has no member."""
    sums = jnp.matmul(members, embedded, precision=jax.lax.Precision.HIGHEST)
    return sums / jnp.maximum(members.sum(axis=1, keepdims=True), 1)
