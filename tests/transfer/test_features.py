"""The features of networks: what goes into their layers with weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import networks
from kernel_distill._errors import InputError
from kernel_distill.networks import Network
from kernel_distill.transfer import Model

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("convnet3-in", [(2, 64), (2, 16), (2, 4)]),
        ("convnet", [(2, 256), (2, 64), (2, 16), (2, 4)]),
        ("mlp", [(2, 4), (2, 4)]),
        ("fc1", [(2, 4)]),
        # its first convolution, and blocks of two from there on
        ("resnet18-bn", [(2, 4096)] * 3 + [(2, 2048)] * 2 + [(2, 1024)] * 2 + [(2, 512)] * 2),
    ],
)
def test_shapes(name: str, shapes: list[tuple[int, ...]]) -> None:
    model = Model(networks.named(name, width=4), (8, 8, 3), 10)
    images = jax.ShapeDtypeStruct((2, 8, 8, 3), "float32")
    state = jax.eval_shape(model.init, KEY)
    features = jax.eval_shape(
        lambda state, images: model.features(state, images, training=True), state, images
    )
    assert [each.shape for each in features] == shapes


@pytest.mark.parametrize("name", ["convnet1-in", "fc3"])
def test_readout_of_the_last_is_what_the_network_says(name: str) -> None:
    model = Model(networks.named(name, width=4), (8, 8, 3), 10)
    images = jax.random.normal(jax.random.key(1), (3, 8, 8, 3))
    state = model.init(KEY)
    last = model.features(state, images, training=False)[-1]
    readout = model._at(state, training=False).layers[-1]
    np.testing.assert_allclose(readout(last), model.logits(state, images), rtol=1e-5)


def test_those_of_ones_own_network() -> None:
    class Alone(Network):
        def module(self, image_shape, *, num_classes, key):
            from flax import nnx

            return nnx.Linear(image_shape[0], num_classes, rngs=nnx.Rngs(key))

    model = Model(Alone("alone", None), (4,), 3)
    with pytest.raises(InputError, match="needs a method features"):
        model.features(model.init(KEY), jnp.zeros((2, 4)), training=True)
