"""The estimate of the nngp kernel by random networks: how far off, and what KIP makes of it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kernel_distill as kd
from kernel_distill import kernels, networks
from kernel_distill._errors import InputError

KEY = jax.random.key(0)
FC2 = kernels.FullyConnected(depth=2, b_std=0.3)
ROWS = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)


@jax.jit
def block(kernel: kernels.Kernel, key: Any, x: Any) -> Any:
    return kernel.at(key)(x)


def draws(count: int, **sizes: int) -> np.ndarray:
    """Estimates of the kernel of ROWS with itself, each from networks of its own."""
    kernel = networks.random_features(FC2, **sizes, key=KEY)
    keys = jax.random.split(jax.random.key(1), count)
    return np.stack([block(kernel, key, ROWS) for key in keys])


@pytest.mark.slow
def test_deviation_falls_as_one_over_the_root_of_width_times_networks() -> None:
    exact = np.asarray(FC2.kernel("nngp")(ROWS))

    def deviation(**sizes: int) -> float:
        return float(np.sqrt(np.mean((draws(60, **sizes) - exact) ** 2)))

    reference = deviation(width=64, networks=1)
    assert deviation(width=1024, networks=1) == pytest.approx(reference / 4, rel=0.2)
    assert deviation(width=64, networks=16) == pytest.approx(reference / 4, rel=0.2)


@pytest.mark.slow
def test_bias_falls_as_one_over_width() -> None:
    # of the second hidden layer: that of the first has none. A convex function of what the first
    # layer gives, so all entries err to one side on the whole
    exact = np.asarray(FC2.kernel("nngp")(ROWS))

    def bias(width: int) -> float:
        return float(np.mean(draws(8, width=width, networks=20_000) - exact))

    narrow, wide = bias(8), bias(32)
    assert abs(narrow) > 0.01
    assert wide == pytest.approx(narrow / 4, rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture",
    [
        kernels.ConvNet(depth=2, prepend=True),
        kernels.ConvNet(depth=2, prepend=False, strided=True),
        kernels.ConvNet(depth=1, prepend=False, activation="gelu", w_std=1.1, b_std=0.5),
        kernels.FullyConnected(depth=1, activation="erf"),
    ],
    ids=str,
)
def test_estimates_the_exact_kernel(architecture: kernels.Architecture) -> None:
    x1, x2 = (np.random.default_rng(n).normal(size=(n, 5, 6, 2)).astype("f") for n in (2, 3))
    estimate = networks.random_features(architecture, width=128, networks=80, key=KEY)
    exact = architecture.kernel("nngp")
    np.testing.assert_allclose(estimate(x1, x2), exact(x1, x2), rtol=0.1, atol=0.05)
    np.testing.assert_allclose(estimate(x1), exact(x1), rtol=0.1, atol=0.05)
    assert (estimate.kind, estimate.architecture) == ("nngp", architecture)


def test_networks_are_drawn_by_the_key() -> None:
    kernel = networks.random_features(FC2, width=16, key=KEY)
    np.testing.assert_array_equal(kernel(ROWS), kernel(ROWS))
    one, other = kernel.at(jax.random.key(1)), kernel.at(jax.random.key(2))
    assert not np.allclose(one(ROWS), other(ROWS))
    # the same networks on both sides of a block
    np.testing.assert_allclose(one(ROWS, ROWS + 0), one(ROWS), rtol=1e-6)


def test_another_key_is_not_another_program() -> None:
    traces = []

    @jax.jit
    def traced(kernel: kernels.Kernel, x: Any) -> Any:
        traces.append(kernel)
        return kernel(x)

    kernel = networks.random_features(FC2, width=16, key=KEY)
    for seed in range(3):
        traced(kernel.at(jax.random.key(seed)), ROWS)
    traced(networks.random_features(FC2, width=17, key=KEY), ROWS)
    assert len(traces) == 2


@pytest.mark.slow
def test_gradient_is_that_of_the_networks() -> None:
    kernel = networks.random_features(FC2, width=8, networks=2, key=KEY)
    with jax.enable_x64(True):
        x = jnp.asarray(ROWS, jnp.float64)
        direction = jnp.asarray(np.random.default_rng(1).normal(size=x.shape))
        total = jax.jit(lambda x: (kernel(x, x[:2]) ** 2).sum() + kernel(x).sum())
        _, slope = jax.jvp(total, (x,), (direction,))
        gradient = jax.grad(total)(x)
        step = 1e-6
        difference = (total(x + step * direction) - total(x - step * direction)) / (2 * step)
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-9)
        assert slope == pytest.approx(float(difference), rel=1e-6)


@pytest.mark.slow
def test_kip_with_random_features() -> None:
    data = kd.data.load("digits")
    kernel = networks.random_features(kernels.FullyConnected(depth=1), width=256, key=KEY)
    result = kd.kip.distill(kernel, data, images_per_class=1, steps=40, key=jax.random.key(0))
    # judged by the exact kernel, which the artefact names
    assert kd.evaluate(result.distilled, data.test).accuracy > 0.85
    assert result.distilled.metadata["kernel"] == "nngp"


def test_a_mixture_draws_its_random_networks_too() -> None:
    kernel = networks.random_features(FC2, width=16, key=KEY)
    mixture = kernels.mixture(kernel, FC2.kernel("nngp"))
    drawn = [mixture.at(key) for key in jax.random.split(jax.random.key(1), 20)]
    exact = [each for each in drawn if each == FC2.kernel("nngp")]
    estimates = [np.asarray(each(ROWS)) for each in drawn if isinstance(each, type(kernel))]
    assert exact
    assert len(exact) + len(estimates) == 20
    assert len({estimate.tobytes() for estimate in estimates}) == len(estimates) > 1


@pytest.mark.parametrize("sizes", [{"width": 0}, {"width": 4, "networks": 0}])
def test_sizes(sizes: dict[str, int]) -> None:
    with pytest.raises(InputError, match="width and networks must be 1 or more; got width="):
        networks.random_features(FC2, **sizes, key=KEY)
