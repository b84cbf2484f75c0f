"""Gradient matching: distilled images give networks the gradients that natural ones give them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.data import Dataset, augment
from kernel_distill.matching._descent import cross_entropy
from kernel_distill.matching._method import Found, Method, Support
from kernel_distill.matching._products import in_gradients, in_training
from kernel_distill.matching._statistics import with_statistics
from kernel_distill.matching.parameter._distance import gradient_distance
from kernel_distill.matching.parameter._gradient_settings import GradientSettings
from kernel_distill.matching.parameter._student import Lesson, student, trained, turns
from kernel_distill.transfer import Model, State


class Gradient(Method[GradientSettings]):
    """Images of each class are moved so that their gradient in a network's parameters comes near
    that of natural images of the class.

    The network is drawn at random and, where it serves several outer steps, trained on the
    distilled images between them. With `augment`, natural and distilled images of a class are
    changed by one and the same draw (differentiable siamese augmentation), and each of them by its
    own where the network is trained. Batch normalisation, which a batch of one class would mislead,
    goes by the statistics of the natural images of all classes that the step takes.

    Source: Zhao et al. 2021, "Dataset Condensation with Gradient Matching", algorithm 1; Zhao &
    Bilen 2021, "Dataset Condensation with Differentiable Siamese Augmentation", algorithm 1.
    """

    name = "gradient"
    settings_type = GradientSettings

    def __init__(
        self, model: Model, data: Dataset, settings: GradientSettings, key: PRNGKeyArray
    ) -> None:
        super().__init__(model, data, settings, key)
        if settings.batch_size < data.num_classes:
            raise InputError(
                "gradient matching takes natural images of each class: batch_size must be "
                f"{data.num_classes} or more; got {settings.batch_size}"
            )
        self._drawn = jax.jit(model.init)
        # a rest would go to other classes each time, and be compiled for
        size = min(settings.batch_size, len(data.train))
        self._batch_size = size // data.num_classes * data.num_classes

    def memory(self, support: Support, *, key: PRNGKeyArray) -> State:
        """A network."""
        del support
        return self._drawn(key)

    def gradient(self, support: Support, memory: State, *, step: int, key: PRNGKeyArray) -> Found:
        batch_key, augment_key = jax.random.split(key)
        rows = self.batch(batch_key, self._batch_size)
        natural = self.data.train.labels[rows]
        distilled = np.asarray(support["labels"]).argmax(axis=1)
        images = support["images"]
        if jax.tree.leaves(memory.rest):
            memory = with_statistics(self.model, memory, self.images[rows])
        loss, gradient = jnp.float32(0), jnp.zeros_like(images)
        # one program for all classes, again and again: XLA's CPU compiler makes poor ones of
        # convolutions within loops
        for label in np.intersect1d(natural, distilled):
            own = jnp.asarray(np.flatnonzero(distilled == label))
            distance, slope = _of_class(
                self.model,
                memory,
                images[own],
                self.images[rows[natural == label]],
                label=jnp.int32(label),
                key=jax.random.fold_in(augment_key, int(label)),
                names=self.settings.augment,
            )
            loss, gradient = loss + distance, gradient.at[own].set(slope)
        return Found({"images": gradient}, memory, {"loss": loss})

    def after(self, support: Support, memory: State, *, step: int, key: PRNGKeyArray) -> State:
        """Trains the network, or draws the next.

        Raises:
            NumericalError: the training diverged.
        """
        if (step + 1) % self.settings.updates_a_network == 0:
            return self._drawn(key)
        settings = self.settings
        lesson = Lesson(
            images=support["images"],
            labels=support["labels"],
            rate=jnp.float32(settings.network_learning_rate),
        )
        all_turns = turns(
            len(support["images"]),
            steps=settings.network_steps,
            batch_size=settings.network_batch_size,
            key=key,
        )
        steps = student(self.model, settings.augment)
        return trained(
            steps,
            memory,
            lesson,
            all_turns,
            where=f"after outer step {step + 1}",
            setting="network_learning_rate",
        ).final


@functools.partial(jax.jit, static_argnames=("model", "names"))
def _of_class(
    model: Model,
    state: State,
    distilled: Float[Array, "s *shape"],
    natural: Float[Array, "n *shape"],
    *,
    label: Int[Array, ""],
    key: PRNGKeyArray,
    names: tuple[str, ...],
) -> tuple[Float[Array, ""], Float[Array, "s *shape"]]:
    """The distance of the gradients of images of a class, and its derivative in the distilled."""

    def gradient(model: Model, images: Float[Array, "n *shape"]) -> Any:
        if names:
            images = augment(key, images, names=names, siamese=True)
        labels = jnp.tile(jax.nn.one_hot(label, model.num_classes), (len(images), 1))

        def objective(parameters: Any) -> Float[Array, ""]:
            logits, _ = model.apply(State(parameters, state.rest), images, training=False)
            return cross_entropy(logits, labels - 1 / model.num_classes)

        return jax.grad(objective)(state.parameters)

    wanted = gradient(in_gradients(model), natural)
    twice = in_training(model)  # this gradient is differentiated
    return jax.value_and_grad(lambda images: gradient_distance(gradient(twice, images), wanted))(
        distilled
    )
