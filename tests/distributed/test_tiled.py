"""What tiles are computed, and of what kernels."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import distributed, kernels, networks
from kernel_distill._errors import InputError
from kernel_distill.distributed._budget import largest_tile, tile_memory
from kernel_distill.distributed._chunks import Chunks

pytestmark = pytest.mark.kernels

CONVNET = kernels.ConvNet(depth=1, prepend=False).kernel()
FC = kernels.FullyConnected(depth=2).kernel()


def test_only_half_of_a_set_with_itself_is_computed() -> None:
    rows = []

    class Counting(type(FC)):  # type: ignore[misc]
        def cross(self, x1: Any, x2: Any) -> Any:
            jax.debug.callback(lambda: rows.append((len(x1), len(x2))))
            return super().cross(x1, x2)

    kernel = Counting(FC.architecture, FC.kind)
    distributed.tiled(kernel, block=(2, 2))(jnp.eye(8))
    jax.effects_barrier()
    assert rows == [(2, 2)] * 6


def test_a_mixture_stays_one() -> None:
    mixture = distributed.tiled(kernels.mixture(FC, CONVNET), block=(2, 2))
    drawn = {mixture.at(key) for key in jax.random.split(jax.random.key(0), 10)}
    assert drawn == set(mixture.members)
    assert {member.architecture for member in drawn} == {FC.architecture, CONVNET.architecture}


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match=r"a row and a column at least; got block=\(0, 3\)"):
        distributed.tiled(FC, block=(0, 3))
    random = networks.random_features(FC.architecture, width=4, key=jax.random.key(0))
    with pytest.raises(InputError, match=r"depend on no random key.*got RandomFeatureKernel"):
        distributed.tiled(random, block=(2, 2))


@pytest.mark.parametrize("rows", [1, 2, 5, 12, 13])
@pytest.mark.parametrize("size", [1, 3, 12, 40])
def test_every_row_is_new_in_one_chunk(rows: int, size: int) -> None:
    for chunks in (Chunks.at_most(size, rows), Chunks.into(size, rows)):
        assert chunks.size <= rows
        x = jnp.arange(rows, dtype=jnp.float32)
        new = np.concatenate(
            [np.asarray(chunks.take(x, k))[np.asarray(chunks.new(k))] for k in range(chunks.count)]
        )
        np.testing.assert_array_equal(new, np.arange(rows))
    assert Chunks.at_most(size, rows).size <= size
    assert Chunks.into(size, rows).count == size


@pytest.mark.slow
def test_a_tile_as_large_as_memory_allows() -> None:
    whole = tile_memory(FC, (64, 1000), (30,), "float32")
    rows, columns = largest_tile(FC, (64, 30), (1000, 30), "float32", whole // 5)
    assert tile_memory(FC, (rows, columns), (30,), "float32") <= whole // 5
    assert rows * columns >= 64 * 1000 // 20
    assert largest_tile(FC, (64, 30), (1000, 30), "float32", whole) == (64, 1000)
    tiled = distributed.tiled(FC, memory=whole // 5)
    x1, x2 = (jnp.asarray(np.random.default_rng(n).normal(size=(n, 30))) for n in (64, 1000))
    np.testing.assert_allclose(tiled(x1, x2), FC(x1, x2), rtol=1e-5, atol=1e-5)
    # the default, a quarter of the machine's, takes all at once
    np.testing.assert_allclose(distributed.tiled(FC)(x1, x2), FC(x1, x2), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_memory_for_less_than_a_pair() -> None:
    tiled = distributed.tiled(CONVNET, memory=100)
    message = r"one pair of images of shape \[4, 4, 2\] takes .* and 100 bytes are allowed"
    with pytest.raises(InputError, match=message):
        tiled(jnp.ones((2, 4, 4, 2)), jnp.ones((3, 4, 4, 2)))
    with pytest.raises(InputError, match="a tile needs memory, in bytes; got memory=0"):
        distributed.tiled(FC, memory=0)


@pytest.mark.slow
def test_memory_of_a_gradient_does_not_grow_with_the_block() -> None:
    """What XLA lays out: the arguments, their cotangents and the block, and one tile."""
    tiled = distributed.tiled(FC, block=(50, 100))

    def excess(n2: int) -> int:
        gradients_and_block = 4 * ((50 + n2) * 32 + 50 * n2)
        return tile_memory(tiled, (50, n2), (32,), "float32") - gradients_and_block

    assert abs(excess(8000) - excess(1000)) < 0.1 * excess(1000) + 4 * 8000
