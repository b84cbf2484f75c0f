"""Convolutions as products, against those of XLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from kernel_distill.matching._products import as_products, convolution, in_gradients
from kernel_distill.networks import named
from kernel_distill.transfer import Model


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((5, 5), {"padding": 2}),
        ((3, 2), {"padding": "SAME", "strides": (2, 1)}),
        ((1, 1), {"padding": 0, "strides": 2}),
        ((3, 3), {"padding": "VALID"}),
        ((2, 5), {"padding": "SAME"}),
        ((5, 6), {"padding": "VALID"}),
        ((3, 3), {"kernel_dilation": 2}),
        ((3, 3), {"feature_group_count": 3}),
    ],
)
def test_is_the_convolution_of_xla(size, options):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 7, 9, 3)), jnp.float32)
    layers = [
        nnx.Conv(3, 6, size, rngs=nnx.Rngs(0), **options, **how)
        for how in ({}, {"conv_general_dilated": convolution})
    ]
    np.testing.assert_allclose(layers[1](x), layers[0](x), atol=1e-5)


@pytest.mark.parametrize("name", ["lenet", "convnet2-in"])
def test_states_are_those_of_the_network(name):
    network, shape = named(name, width=4), (28, 28, 1)
    model = Model(network, shape, 10)
    other = as_products(model)
    state = model.init(jax.random.key(0))
    assert jax.tree.structure(state) == jax.tree.structure(other.init(jax.random.key(0)))
    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, *shape)), jnp.float32)
    np.testing.assert_allclose(other.logits(state, x), model.logits(state, x), atol=1e-5)
    assert "conv_general_dilated" not in str(jax.make_jaxpr(other.logits)(state, x))
    assert other.network.to_metadata() == network.to_metadata()


def test_a_gradient_takes_products_for_few_large_filters_alone():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 28, 28, 1)), jnp.float32)
    products = {}
    for name in ("lenet", "convnet1-in"):
        model = Model(named(name, width=4), (28, 28, 1), 10)
        other, state = in_gradients(model), model.init(jax.random.key(0))
        gradients = [
            jax.grad(lambda state, of=of: jnp.sum(jnp.sin(of.logits(state, x))))(state)
            for of in (model, other)
        ]
        jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, atol=1e-4), *gradients)
        program = str(jax.make_jaxpr(other.logits)(state, x))
        products[name] = "conv_general_dilated" not in program
    on_cpu = jax.default_backend() == "cpu"
    assert products == {"lenet": on_cpu, "convnet1-in": False}
