"""Blocks shared out over devices equal those of one device. (conftest.py sets up three.)"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kernel_distill import distributed, kernels

pytestmark = pytest.mark.kernels

CONVNET = kernels.ConvNet(depth=1, prepend=False).kernel()
FC = kernels.FullyConnected(depth=2).kernel()


def images(n: int, seed: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, 4, 4, 2)), jnp.float32)


def value_and_gradients(kernel: kernels.Kernel, x1: Any, x2: Any) -> Any:
    weights = jnp.asarray(np.random.default_rng(2).normal(size=(len(x1), len(x2))), jnp.float32)

    def weighted(x1: Any, x2: Any) -> Any:
        block = kernel(x1, x2)
        return (weights * block).sum(), block

    return jax.jit(jax.value_and_grad(weighted, argnums=(0, 1), has_aux=True))(x1, x2)


def test_every_device_works() -> None:
    compiled = jax.jit(distributed.on_mesh(FC).cross).lower(images(6, 0), images(2, 1)).compile()
    assert len(compiled.output_shardings.device_set) == 3


def test_arrays_that_lie_on_the_mesh_already() -> None:
    """In one piece on one of its devices, or spread over them."""
    shared = distributed.on_mesh(FC)
    x1, x2 = images(6, 0), images(4, 1)
    rows = NamedSharding(shared.mesh, PartitionSpec("rows"))
    spread = jax.device_put(x1, rows)
    np.testing.assert_allclose(shared(spread, x2), FC(x1, x2), rtol=1e-6, atol=1e-6)
    everywhere = jax.device_put(x2, NamedSharding(shared.mesh, PartitionSpec()))
    np.testing.assert_allclose(shared(spread, everywhere), FC(x1, x2), rtol=1e-6, atol=1e-6)


def test_all_axes_of_a_mesh_share_the_rows() -> None:
    plane = Mesh(np.asarray(jax.devices()[:2]).reshape(2, 1), ("a", "b"))
    shared = distributed.on_mesh(FC, plane)
    x1, x2 = images(5, 0), images(3, 1)
    (_, block), gradients = value_and_gradients(shared, x1, x2)
    (_, expected), expected_gradients = value_and_gradients(FC, x1, x2)
    np.testing.assert_allclose(block, expected, rtol=1e-6, atol=1e-6)
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_what_it_says_of_itself() -> None:
    shared = distributed.on_mesh(CONVNET)
    assert (shared.architecture, shared.kind) == (CONVNET.architecture, CONVNET.kind)
    assert shared.traceable
    assert hash(shared) == hash(distributed.on_mesh(CONVNET))
    assert shared == distributed.on_mesh(CONVNET)
    pair = Mesh(np.asarray(jax.devices()[:2]), ("pair",))
    assert shared != distributed.on_mesh(CONVNET, pair)
    np.testing.assert_allclose(
        distributed.on_mesh(CONVNET, pair)(images(3, 0), images(2, 1)),
        CONVNET(images(3, 0), images(2, 1)),
        rtol=1e-6,
    )


def test_a_mixture_stays_one() -> None:
    shared = distributed.on_mesh(kernels.mixture(FC, CONVNET))
    assert [member.architecture for member in shared.members] == [
        FC.architecture, CONVNET.architecture
    ]  # fmt: skip
    drawn = {shared.at(jax.random.key(i)) for i in range(10)}
    assert drawn == set(shared.members)
