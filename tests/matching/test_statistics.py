"""Running statistics, as a batch has them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PRNGKeyArray

from kernel_distill.matching._statistics import with_statistics
from kernel_distill.networks import Network
from kernel_distill.transfer import Model


class Normalising(Network):
    """A dense layer, batch normalisation, a dense layer."""

    def module(self, image_shape: tuple[int, ...], *, num_classes: int, key: PRNGKeyArray) -> Any:
        rngs = nnx.Rngs(key)
        return nnx.Sequential(
            nnx.Linear(image_shape[0], 6, rngs=rngs),
            nnx.BatchNorm(6, momentum=0.9, rngs=rngs),
            nnx.relu,
            nnx.Linear(6, num_classes, rngs=rngs),
        )


def test_evaluation_normalises_as_training_does() -> None:
    """The logits of a batch in evaluation, with its statistics, are those in training."""
    rows = 3 + 2 * jax.random.normal(jax.random.key(1), (12, 5))
    model = Model(Normalising("normalising", None), (5,), 3)
    fresh = model.init(jax.random.key(0))
    state = with_statistics(model, fresh, rows)
    trained, _ = model.apply(state, rows, training=True)
    np.testing.assert_allclose(model.logits(state, rows), trained, rtol=1e-4, atol=1e-5)
    assert float(jnp.abs(model.logits(fresh, rows) - trained).max()) > 0.1
    jax.tree.map(np.testing.assert_array_equal, state.parameters, fresh.parameters)
