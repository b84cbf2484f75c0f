"""Dual activations, against the integrals that define them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill.kernels._duals import arc_cosine, dual

pytestmark = pytest.mark.kernels


def erf(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return erf(x)


def normal_cdf(x: np.ndarray) -> np.ndarray:
    return (1 + erf(x / np.sqrt(2))) / 2


def normal_density(x: np.ndarray) -> np.ndarray:
    return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


# each nonlinearity and its derivative
FUNCTIONS = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(float)),
    "erf": (erf, lambda x: 2 / np.sqrt(np.pi) * np.exp(-(x**2))),
    "gelu": (lambda x: x * normal_cdf(x), lambda x: normal_cdf(x) + x * normal_density(x)),
}

NODES, WEIGHTS = np.polynomial.legendre.leggauss(80)
REACH = 12.0  # standard deviations: beyond them the density is below 1e-31


def nodes_between(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss and Legendre on intervals, along a new last axis."""
    half = ((high - low) / 2)[..., None]
    return (low + high)[..., None] / 2 + half * NODES, half * WEIGHTS


def pieces(kink: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same for all of a Gaussian's reach, halved at a kink of the integrand."""
    kink = np.clip(kink, -REACH, REACH)
    edge = np.full_like(kink, REACH)
    below, above = nodes_between(-edge, kink), nodes_between(kink, edge)
    z, weights = (np.concatenate(pair, axis=-1) for pair in zip(below, above, strict=True))
    return z, weights * normal_density(z)


def integral(function: object, v1: float, v2: float, correlation: float) -> float:
    """E[f(u) f(v)] of Gaussians with these variances, with ReLU's kink between the pieces."""
    assert callable(function)
    z, z_weights = pieces(np.zeros(()))
    rest = np.sqrt(1 - correlation**2)
    with np.errstate(divide="ignore"):
        kink = -correlation * z / rest
    w, w_weights = pieces(kink)
    u = np.sqrt(v1) * z
    v = np.sqrt(v2) * (correlation * z[:, None] + rest * w)
    return float(z_weights * function(u) @ (w_weights * function(v)).sum(axis=1))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("activation", FUNCTIONS)
def test_moments_are_the_integrals(activation: str) -> None:
    v1, v2 = np.array([0.04, 1.0, 6.0]), np.array([0.3, 1.0])
    moments, variance = dual(activation)
    function, derivative = FUNCTIONS[activation]
    for correlation in (-1.0, -0.98, -0.5, 0.0, 0.3, 0.98, 1.0):
        # where two Gaussians are equal the angle is the square root of rounding
        tolerance = 1e-7 if abs(correlation) == 1 else 1e-11
        n = correlation * np.sqrt(np.outer(v1, v2))
        for got, integrand in zip(
            moments(jnp.asarray(n), jnp.asarray(v1)[:, None], jnp.asarray(v2), None),
            (function, derivative),
            strict=True,
        ):
            expected = [[integral(integrand, a, b, correlation) for b in v2] for a in v1]
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    expected = [integral(function, v, v, 1.0) for v in v1]
    np.testing.assert_allclose(variance(jnp.asarray(v1)), expected, rtol=1e-11)


def float32_cosines() -> np.ndarray:
    """All of [-1, 1], and the numbers next to its ends and to zero."""
    ends = 1 - np.arange(200, dtype=np.float64) * np.finfo(np.float32).epsneg
    near = 1 - np.logspace(-7, -1, 500)
    cosines = np.concatenate([np.linspace(0, 1, 20001), ends, near, np.logspace(-30, -1, 50)])
    return np.concatenate([cosines, -cosines]).astype(np.float32)


def arc_cosine_in_numpy(cosine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In float64, of the exact values of float32 numbers; with 1 - |c|, which is exact."""
    angle = np.arccos(cosine)
    sine = np.sqrt((1 - cosine) * (1 + cosine))
    return (np.pi - angle) / (2 * np.pi), (sine + (np.pi - angle) * cosine) / (2 * np.pi)


def test_arc_cosine_in_float32() -> None:
    cosine = float32_cosines()
    got = [np.asarray(order) for order in jax.jit(arc_cosine)(jnp.asarray(cosine))]
    expected = arc_cosine_in_numpy(cosine.astype(np.float64))
    for order in range(2):
        assert got[order].dtype == np.float32
        # both lie in [0, 1/2]
        np.testing.assert_allclose(got[order], expected[order], rtol=0, atol=9e-8)
    # at the ends not only k0 is right, but the angle, which is much smaller
    for sign in (-1, 1):
        near = (sign * cosine > 0.9) & (sign * cosine < 1)
        small = expected[0][near] if sign < 0 else 0.5 - expected[0][near]
        got_small = got[0][near] if sign < 0 else 0.5 - got[0][near].astype(np.float64)
        tolerance = 1e-6 if sign < 0 else 0  # 1/2 less the angle is rounded to float32 itself
        np.testing.assert_allclose(got_small, small, rtol=tolerance, atol=1e-7 * (sign > 0))
    exact = dict(zip(cosine.tolist(), got[0].tolist(), strict=True))
    assert (exact[1.0], exact[-1.0]) == (0.5, 0.0)


@pytest.mark.usefixtures("x64")
def test_arc_cosine_in_float64() -> None:
    cosine = float32_cosines().astype(np.float64)
    for got, expected in zip(
        arc_cosine(jnp.asarray(cosine)), arc_cosine_in_numpy(cosine), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arc_cosine_gradient(dtype: str) -> None:
    with jax.enable_x64(True):
        inside = jnp.array([-0.999, -0.6, 0.0, 0.3, 0.99999], dtype)
        beyond = jnp.array([-1.0, 1.0, 1 + 1e-6, -1 - 1e-6], dtype)
        slopes = [
            jax.jit(jax.vmap(jax.grad(lambda c, order=order: arc_cosine(c)[order])))
            for order in range(2)
        ]
        exact = np.asarray(inside, np.float64)
        k0 = arc_cosine_in_numpy(exact)[0]
        tolerance = 10 * np.finfo(dtype).eps
        # d k0 / dc = 1 / (2 pi sin a), and d k1 / dc = k0 (Cho & Saul 2009)
        expected = 1 / (2 * np.pi * np.sqrt((1 - exact) * (1 + exact)))
        np.testing.assert_allclose(slopes[0](inside), expected, rtol=tolerance)
        np.testing.assert_allclose(slopes[1](inside), k0, rtol=tolerance, atol=tolerance)
        # rounding may leave a cosine outside: as at the ends, where k0 has no slope
        np.testing.assert_array_equal(arc_cosine(beyond)[0], [0, 0.5, 0.5, 0])
        np.testing.assert_array_equal(arc_cosine(beyond)[1], [0, 0.5, 0.5, 0])
        np.testing.assert_array_equal(slopes[0](beyond), 0)
        np.testing.assert_array_equal(slopes[1](beyond), [0, 0.5, 0.5, 0])
