"""Data set distillation by back-propagation through the training on the distilled images."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.data import Dataset, Split, augment
from kernel_distill.matching._method import Found, Method, Support
from kernel_distill.matching.performance._course import Course, mean_of, positive, raw
from kernel_distill.matching.performance._initial import scales_itself
from kernel_distill.matching.performance._mislead import misled
from kernel_distill.matching.performance._settings import UnrolledSettings
from kernel_distill.matching.performance._starts import Starts
from kernel_distill.networks import named
from kernel_distill.transfer import Model, accuracy

_augmented = jax.jit(augment, static_argnames="names")


class Unrolled(Method[UnrolledSettings]):
    """Networks take a few steps of gradient descent on the distilled images, and the loss of what
    they then say of natural ones is differentiated through all of the steps.

    The learning rate of each step is learned with the images, and the labels where
    `learn_labels` is set. Source: Wang et al. 2018, "Dataset distillation", algorithm 1;
    Sucholutsky and Schonlau 2019 for the labels.

    Raises:
        InputError: the size of the support is no multiple of the distilled steps, or smaller than
            the number of classes with labels that are not learned; the weights are not those of
            the network; another network is named twice; a class to mislead does not exist; an
            initialiser that does not go with the NTK parameterisation.
    """

    name = "unrolled"
    settings_type = UnrolledSettings
    # a few steps take no time, and random weights come out far apart
    validation_networks = 10

    def __init__(
        self, model: Model, data: Dataset, settings: UnrolledSettings, key: PRNGKeyArray
    ) -> None:
        super().__init__(model, data, settings, key)
        if settings.mislead and not all(0 <= each < data.num_classes for each in settings.mislead):
            raise InputError(
                f"mislead takes two of the {data.num_classes} classes, counted from 0; got "
                f"{settings.mislead}"
            )
        if scales_itself(model) and settings.initialiser != "network":
            raise InputError(
                "the weights of the NTK parameterisation are standard normal, and the network "
                f"scales them itself; got initialiser={settings.initialiser!r}: take 'network'"
            )
        names = [model.network.name, *settings.others]
        if len(set(names)) < len(names):
            raise InputError(
                f"others must be further networks, each once; got {settings.others} beside "
                f"{model.network.name}"
            )
        width: dict[str, Any] = (
            {} if model.network.width is None else {"width": model.network.width}
        )
        others = [
            Model(named(name, **width), model.image_shape, model.num_classes)
            for name in settings.others
        ]
        self._courses = [Course(each) for each in (model, *others)]
        self._starts = [Starts(course.model, settings, key) for course in self._courses]
        self._classes = misled(data.train.labels, settings.mislead)

    @property
    def learners(self) -> str:
        return ", ".join(course.model.network.label for course in self._courses)

    def support(self, images: Float[Array, "s *shape"], labels: Float[Array, "s class"]) -> Support:
        settings, size, classes = self.settings, len(images), labels.shape[1]
        if size % settings.distilled_steps:
            raise InputError(
                "each distilled step has as many images as any other: the size of the support must "
                f"be a multiple of distilled_steps; got {size} images, {settings.distilled_steps} "
                "steps"
            )
        if size < classes and not settings.learn_labels:
            raise InputError(
                f"{size} images with labels that stay as they are cannot teach {classes} classes: "
                "set learn_labels, or take an image of each class at least"
            )
        shape = settings.epochs, settings.distilled_steps
        rates = jnp.full(shape, raw(settings.inner_learning_rate), jnp.float32)
        return {"images": images, "labels": labels, "rates": rates}

    def learning_rates(self) -> dict[str, float]:
        return super().learning_rates() | {"rates": self.settings.rate_learning_rate}

    def gradient(self, support: Support, memory: Any, *, step: int, key: PRNGKeyArray) -> Found:
        batch_key, start_key, augment_key = jax.random.split(key, 3)
        batch = self.batch(batch_key)
        images, classes = self.images[batch], jnp.asarray(self._classes[batch])
        if names := self.settings.augment:
            images = _augmented(augment_key, images, names=names)
        found = [
            course.gradient(starts.of_step(start_key), support, images, classes)
            for course, starts in zip(self._courses, self._starts, strict=True)
        ]
        loss, gradient = mean_of(found, count=len(found))
        learned = {name: gradient[name] for name in self.learning_rates()}
        rate = jnp.mean(positive(support["rates"]))
        return Found(learned, memory, {"loss": loss, "inner_learning_rate": rate})

    def accuracies(
        self, support: Support, splits: Sequence[Split], *, networks: int, key: PRNGKeyArray
    ) -> Float[np.ndarray, "split network"]:
        """Of networks after the distilled steps: from the fixed weights, or random ones that no
        step has seen. Where there are others, first those of the network, then those of each.

        Raises:
            NumericalError: a network diverged.
        """
        told = [
            replace(split, labels=misled(split.labels, self.settings.mislead)) for split in splits
        ]
        taught = [
            (course.model, state)
            for course, starts in zip(self._courses, self._starts, strict=True)
            for state in course.finals(starts.of_test(key, networks), support)
        ]
        return np.array([[accuracy(*each, split) for each in taught] for split in told])

    def metadata(self, support: Support) -> dict[str, Any]:
        """How networks are to learn from the images, for `follow`."""
        return {
            "unrolled": {
                "distilled_steps": self.settings.distilled_steps,
                "epochs": self.settings.epochs,
                "rows_of_step": "t, t + distilled_steps, t + 2 distilled_steps, ...",
                "learning_rates": positive(support["rates"]).tolist(),
                "networks": [
                    course.model.network.to_metadata() | starts.to_metadata()
                    for course, starts in zip(self._courses, self._starts, strict=True)
                ],
            }
        }
