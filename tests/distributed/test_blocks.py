"""Blocks computed tile by tile, or by several devices, equal those computed at once.

And so do their gradients. (tests/conftest.py sets up three devices.)
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import distributed, kernels

pytestmark = pytest.mark.kernels

CONVNET = kernels.ConvNet(depth=1, prepend=False).kernel()
FC = kernels.FullyConnected(depth=1).kernel()
WAYS: dict[str, Callable[[kernels.Kernel], kernels.Kernel]] = {
    "tiles": lambda kernel: distributed.tiled(kernel, block=(3, 4)),
    "one row a tile": lambda kernel: distributed.tiled(kernel, block=(1, 2)),
    "devices": distributed.on_mesh,
    "tiles on devices": lambda kernel: distributed.on_mesh(distributed.tiled(kernel, block=(2, 2))),
}
EPS = {"float32": 1e-6, "float64": 1e-14}


def images(n: int, seed: int, dtype: str) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, 4, 4, 2)), dtype)


def weighted(kernel: kernels.Kernel, *x: Any) -> Any:
    """A block, and the gradients of a sum of its entries with weights that are not symmetric."""
    size = len(x[0]), len(x[-1])
    weights = jnp.asarray(np.random.default_rng(2).normal(size=size), x[0].dtype)

    def total(*x: Any) -> Any:
        block = kernel(*x)
        return (weights * block).sum(), block

    compute = jax.value_and_grad(total, argnums=tuple(range(len(x))), has_aux=True)
    (_, block), gradients = jax.jit(compute)(*x)
    return block, gradients


def check_equal(kernel: kernels.Kernel, other: kernels.Kernel, *x: jax.Array) -> None:
    block, gradients = weighted(kernel, *x)
    expected, expected_gradients = weighted(other, *x)
    eps = EPS[x[0].dtype.name]
    assert block.dtype == x[0].dtype
    np.testing.assert_allclose(block, expected, rtol=eps, atol=eps)
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        scale = float(jnp.abs(wanted).max())
        np.testing.assert_allclose(got, wanted, rtol=0, atol=10 * eps * scale)
        # a sum taken twice over would give a whole number
        assert jnp.linalg.norm(got) / jnp.linalg.norm(wanted) == pytest.approx(1, abs=10 * eps)


def check_set_with_itself(kernel: kernels.Kernel, other: kernels.Kernel, x: jax.Array) -> None:
    check_equal(kernel, other, x)
    block = np.asarray(kernel(x))
    np.testing.assert_array_equal(block, block.T)
    np.testing.assert_allclose(
        block.diagonal(), np.asarray(other(x)).diagonal(), rtol=EPS[x.dtype.name]
    )


# every way with ragged blocks, those that differ with blocks of one row; even ones; both precisions
@pytest.mark.parametrize(
    ("way", "n1", "n2", "dtype"),
    [
        ("tiles", 7, 11, "float64"),
        ("tiles", 1, 5, "float32"),
        ("tiles on devices", 11, 5, "float32"),
        ("tiles on devices", 5, 1, "float64"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("one row a tile", 7, 11, "float32"),
                ("devices", 7, 11, "float64"),
                ("devices", 5, 1, "float32"),
                ("tiles on devices", 6, 8, "float64"),
            )
        ),
    ],
)
def test_two_sets(way: str, n1: int, n2: int, dtype: str) -> None:
    assert jax.device_count() == 3
    with jax.enable_x64(dtype == "float64"):
        check_equal(WAYS[way](FC), FC, images(n1, 0, dtype), images(n2, 1, dtype))


@pytest.mark.parametrize(
    ("way", "n", "dtype"),
    [
        ("tiles", 13, "float64"),
        ("tiles on devices", 1, "float64"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("one row a tile", 13, "float64"),
                ("devices", 13, "float64"),
                ("devices", 1, "float64"),
                ("tiles on devices", 2, "float32"),
            )
        ),
    ],
)
def test_a_set_with_itself(way: str, n: int, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        check_set_with_itself(WAYS[way](FC), FC, images(n, 0, dtype))


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_convolutional_kernel(way: str) -> None:
    with jax.enable_x64(True):
        x1, x2 = images(5, 0, "float64"), images(3, 1, "float64")
        check_equal(WAYS[way](CONVNET), CONVNET, x1, x2)
        check_set_with_itself(WAYS[way](CONVNET), CONVNET, x1)


@pytest.mark.parametrize(
    "way",
    [
        "tiles on devices",
        *(
            pytest.param(way, marks=pytest.mark.slow)
            for way in ("tiles", "one row a tile", "devices")
        ),
    ],
)
def test_duplicated_images_are_not_apart(way: str) -> None:
    """In whatever tiles they are: an angle of rounding errors would be 3e-4."""
    x = jnp.repeat(images(2, 0, "float32"), 3, axis=0)
    block = WAYS[way](CONVNET)(x)
    np.testing.assert_allclose(block[:3, :3], block[0, 0], rtol=1e-6)
