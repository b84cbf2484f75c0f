"""neural-tangents at work on a JAX that it does not know, beyond the kernels.

That its import leaves JAX as it was is among the tests of packaging.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from kernel_distill import kernels

pytestmark = pytest.mark.kernels


def network() -> tuple[Any, Any, np.ndarray, np.ndarray]:
    nt = kernels.neural_tangents()
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(2, 4, 6)).astype(np.float32)
    stax_network = nt.stax.serial(
        nt.stax.Dense(20, W_std=1.3, b_std=0.2), nt.stax.Erf(), nt.stax.Dense(2, W_std=1.3)
    )
    return nt, stax_network, x1, x2


def test_batch(distance: Callable[[Any, Any], float]) -> None:
    nt, (_, _, kernel_fn), x1, x2 = network()
    batched = nt.batch(kernel_fn, device_count=0, batch_size=2)
    assert distance(batched(x1, x2, "ntk"), kernel_fn(x1, x2, "ntk")) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS"])
def test_empirical_ntk(implementation: str) -> None:
    nt, (init_fn, apply_fn, _), x1, x2 = network()
    _, parameters = init_fn(jax.random.key(0), x1.shape)
    ntk_fn = nt.empirical_ntk_fn(
        apply_fn, trace_axes=(), implementation=nt.NtkImplementation[implementation]
    )
    got = ntk_fn(x1, x2, parameters)

    def jacobian(x: np.ndarray) -> np.ndarray:
        leaves = jax.tree.leaves(jax.jacobian(apply_fn)(parameters, x))
        return np.concatenate([np.reshape(leaf, (*leaf.shape[:2], -1)) for leaf in leaves], axis=2)

    expected = np.einsum("aip,bjp->abij", jacobian(x1), jacobian(x2))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
