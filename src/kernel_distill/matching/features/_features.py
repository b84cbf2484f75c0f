"""An outer step of neural feature regression."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill.data import augment, one_hot
from kernel_distill.kernels import fit
from kernel_distill.matching._evaluation import SQUARED_ERROR
from kernel_distill.matching._method import Found, Method, Support
from kernel_distill.matching.features._pool import Member, fresh, trained
from kernel_distill.matching.features._settings import FeaturesSettings
from kernel_distill.transfer import Model, State

Pool = tuple[Member, ...]


class Features(Method[FeaturesSettings]):
    """Ridge regression on the features of networks that are in training on the support.

    A step draws one of a pool of networks. The loss is that of KIP (0.5 times the mean squared
    error on a batch of natural images), with the kernel of what goes into the network's readout,
    and its gradient takes the network as it is. Then that network is trained for a step on the
    support; where it has had its steps, a fresh one takes its place, so that the pool has networks
    of all ages. Source: Zhou et al. 2022 (arXiv 2206.00719), algorithm 1.
    """

    name = "features"
    settings_type = FeaturesSettings
    training = SQUARED_ERROR
    likely_cause = (
        "the ridge is too small for features that are alike (ridge), or networks of the pool "
        "diverged (pool_learning_rate)"
    )

    def memory(self, support: Support, *, key: PRNGKeyArray) -> Pool:
        """Fresh networks of the pool, whose steps are numbered as if they had begun one after the
        other: they are renewed at different times, as in the authors' code."""
        del support
        size, last = self.settings.pool, self.settings.pool_steps
        return tuple(
            fresh(self.model, each)._replace(steps=jnp.int32(number * last // size))
            for number, each in enumerate(jax.random.split(key, size))
        )

    def gradient(self, support: Support, memory: Pool, *, step: int, key: PRNGKeyArray) -> Found:
        batch_key, augment_key = jax.random.split(key)
        batch = self.batch(batch_key)
        with jax.enable_x64(True):
            loss, gradient = _loss_and_gradient(
                self.model,
                memory[self._drawn(step)].state,
                support,
                self.images[batch],
                jnp.asarray(one_hot(self.data.train.labels[batch], self.data.num_classes)),
                learned=tuple(self.learning_rates()),
                ridge=self.settings.ridge,
                augment_key=augment_key,
                names=self.settings.augment,
            )
        return Found(gradient, memory, {"loss": loss})

    def after(self, support: Support, memory: Pool, *, step: int, key: PRNGKeyArray) -> Pool:
        drawn = self._drawn(step)
        member = memory[drawn]
        if int(member.steps) < self.settings.pool_steps:
            member = trained(
                self.model, member, support, learning_rate=self.settings.pool_learning_rate
            )
        else:
            member = fresh(self.model, key)
        return (*memory[:drawn], member, *memory[drawn + 1 :])

    def _drawn(self, step: int) -> int:
        """The member of the pool that a step takes, before the update and after."""
        key = jax.random.fold_in(self.key, step)
        return int(jax.random.randint(key, (), 0, self.settings.pool, jnp.int32))


@functools.partial(jax.jit, static_argnames=("model", "learned", "names"))
def _loss_and_gradient(
    model: Model,
    state: State,
    support: Support,
    natural: Float[Array, "t *shape"],
    natural_labels: Float[Array, "t class"],
    *,
    learned: tuple[str, ...],
    ridge: float | Float[Array, ""],
    augment_key: PRNGKeyArray,
    names: tuple[str, ...],
) -> tuple[Float[Array, ""], Support]:
    """Of the regression from the support to natural images, both changed alike."""

    def features(images: Float[Array, "n *shape"]) -> Float[Array, "n feature"]:
        if names:
            images = augment(augment_key, images, names=names, siamese=True)
        return model.features(state, images, training=False)[-1]

    natural_features = features(natural)

    def loss(moved: Support) -> Float[Array, ""]:
        now = support | moved
        return regression_loss(
            features(now["images"]), now["labels"], natural_features, natural_labels, ridge=ridge
        )

    return jax.value_and_grad(loss)({name: support[name] for name in learned})


def regression_loss(
    features: Float[Array, "s feature"],
    labels: Float[Array, "s class"],
    natural_features: Float[Array, "t feature"],
    natural_labels: Float[Array, "t class"],
    *,
    ridge: float | Float[Array, ""],
) -> Float[Array, ""]:
    """0.5 times the mean squared error of ridge regression from one set of features to another.

    Source: Zhou et al. 2022, section 3.2. In float64, from the kernel on; call it where JAX has 64
    bits.
    """
    ours, theirs = (each.astype(jnp.float64) for each in (features, natural_features))
    regression = fit(ours @ ours.T, labels.astype(jnp.float64), ridge=ridge)
    error = regression.predict(theirs @ ours.T) - natural_labels
    return 0.5 * jnp.mean(error**2)
