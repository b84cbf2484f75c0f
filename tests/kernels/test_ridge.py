"""Kernel ridge regression, against scikit-learn and numpy."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import kernels
from kernel_distill._errors import InputError, NumericalError

pytestmark = pytest.mark.kernels

Distance = Callable[[Any, Any], float]


def problem(
    support: int = 17, target: int = 29, classes: int = 3, width: float = 2.0
) -> tuple[np.ndarray, ...]:
    """K_ss, K_ts and labels: Gaussian kernels of random points, worse conditioned if wide."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(support, 4)), rng.normal(size=(target, 4))

    def block(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(axis=-1) / (2 * width**2))

    return 5 * block(x, x), 5 * block(t, x), rng.normal(size=(support, classes))


@pytest.mark.parametrize("ridge", [1e-6, 0.3])
def test_equals_scikit_learn(ridge: float, distance: Distance) -> None:
    from sklearn.kernel_ridge import KernelRidge

    kernel_ss, kernel_ts, labels = problem()
    # the ridge is dimensionless: scikit-learn's alpha is an absolute one
    alpha = ridge * np.trace(kernel_ss) / len(kernel_ss)
    reference = KernelRidge(alpha=alpha, kernel="precomputed").fit(kernel_ss, labels)
    regression = kernels.ridge_regression(kernel_ss, labels, ridge=ridge)
    assert distance(regression.coefficients, reference.dual_coef_) < 1e-9
    assert distance(regression.predict(kernel_ts), reference.predict(kernel_ts)) < 1e-9


@pytest.mark.parametrize("sizes", [(1, 1, 1), (17, 29, 3), (13, 1, 10)])
def test_equals_numpy(sizes: tuple[int, int, int], distance: Distance) -> None:
    kernel_ss, kernel_ts, labels = problem(*sizes)
    ridge = 1e-3
    matrix = kernel_ss + ridge * np.trace(kernel_ss) / len(kernel_ss) * np.eye(len(kernel_ss))
    regression = kernels.ridge_regression(kernel_ss, labels, ridge=ridge)
    expected = kernel_ts @ np.linalg.solve(matrix, labels)
    assert distance(regression.predict(kernel_ts), expected) < 1e-11
    weights = np.linalg.solve(matrix, kernel_ts.T).T
    assert distance(regression.weights(kernel_ts), weights) < 1e-11
    assert distance(np.asarray(regression.weights(kernel_ts)) @ labels, expected) < 1e-11
    assert distance(regression.factor, np.linalg.cholesky(matrix)) < 1e-12


def test_other_labels_of_the_same_support(distance: Distance) -> None:
    kernel_ss, kernel_ts, labels = problem()
    anew = kernels.ridge_regression(kernel_ss, labels[:, ::-1], ridge=1e-3)
    again = kernels.ridge_regression(kernel_ss, labels, ridge=1e-3).with_labels(labels[:, ::-1])
    assert distance(again.predict(kernel_ts), anew.predict(kernel_ts)) < 1e-13


@pytest.mark.parametrize("sizes", [(1, 1, 1), (7, 29, 3), (13, 101, 2)])
def test_best_labels_are_those_of_least_squares(sizes: tuple[int, int, int]) -> None:
    kernel_ss, kernel_ts, labels = problem(*sizes, width=0.5)
    targets = np.random.default_rng(1).normal(size=(len(kernel_ts), labels.shape[1]))
    regression = kernels.ridge_regression(kernel_ss, labels, ridge=1e-3)
    predicted = regression.with_labels(regression.best_labels(kernel_ts, targets))
    best = kernel_ts @ np.linalg.lstsq(kernel_ts, targets, rcond=None)[0]
    # what is added to keep the labels small costs little where nothing is ill-conditioned
    least = np.sum((best - targets) ** 2)
    error = np.sum((np.asarray(predicted.predict(kernel_ts)) - targets) ** 2)
    scale = np.sum(targets**2)
    assert least - 1e-12 * scale < error < least + 1e-5 * scale
    assert np.sum((np.asarray(regression.predict(kernel_ts)) - targets) ** 2) > error + 0.1 * scale


def test_best_labels_of_a_nearly_singular_problem_stay_small() -> None:
    """Support images twice: least squares alone would let their labels grow against each other."""
    kernel_ss, kernel_ts, labels = problem()
    twice = np.arange(17).repeat(2)
    noise = 1e-6 * np.random.default_rng(1).normal(size=(len(kernel_ts), 34))
    targets = np.random.default_rng(2).normal(size=(len(kernel_ts), 3))
    regression = kernels.ridge_regression(
        kernel_ss[np.ix_(twice, twice)], labels[twice], ridge=1e-6
    )
    found = np.asarray(regression.best_labels(kernel_ts[:, twice] + noise, targets))
    single = kernels.ridge_regression(kernel_ss, labels, ridge=1e-6)
    assert np.linalg.norm(found) < 3 * np.linalg.norm(single.best_labels(kernel_ts, targets))


def test_ridge_does_not_depend_on_the_scale_of_the_kernel(distance: Distance) -> None:
    kernel_ss, kernel_ts, labels = problem()
    small = kernels.ridge_regression(kernel_ss, labels, ridge=0.1).predict(kernel_ts)
    large = kernels.ridge_regression(1e4 * kernel_ss, labels, ridge=0.1).predict(1e4 * kernel_ts)
    assert distance(large, small) < 1e-12


def test_float32_blocks_are_solved_in_float64(distance: Distance) -> None:
    kernel_ss, kernel_ts, labels = problem(width=8.0)
    single = [jnp.asarray(block, jnp.float32) for block in (kernel_ss, kernel_ts, labels)]
    # what is left of them in float64: the reference sees the same rounded numbers
    exact_ss, exact_ts, exact_labels = (np.asarray(block, np.float64) for block in single)
    matrix = exact_ss + 1e-6 * np.trace(exact_ss) / len(exact_ss) * np.eye(len(exact_ss))
    assert np.linalg.cond(matrix) > 1e5  # a solve in float32 would keep two digits
    regression = kernels.ridge_regression(single[0], single[2], ridge=1e-6)
    expected = exact_ts @ np.linalg.solve(matrix, exact_labels)
    # used where JAX is left at 32 bits, as by most people
    assert jnp.ones(1).dtype == np.float32
    for prediction in (
        regression.predict(single[1]),
        np.asarray(regression.weights(single[1])) @ exact_labels,
        regression.predict(np.asarray(single[1])),
    ):
        assert prediction.dtype == np.float64
        assert distance(prediction, expected) < 1e-9


def test_jax_settings_stay() -> None:
    kernel_ss, kernel_ts, labels = problem()
    before = dict(jax.config.values)
    regression = kernels.ridge_regression(kernel_ss, labels)
    regression.predict(kernel_ts)
    regression.weights(kernel_ts)
    with pytest.raises(NumericalError):
        kernels.ridge_regression(np.full((2, 2), np.nan), np.ones((2, 1)))
    assert jax.config.values == before
    assert jnp.ones(1).dtype == np.float32


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fit_solves_in_the_dtype_of_the_labels(dtype: str, distance: Distance) -> None:
    kernel_ss, kernel_ts, labels = problem()
    expected = kernels.ridge_regression(kernel_ss, labels, ridge=0.1).predict(kernel_ts)
    with jax.enable_x64(True):
        regression = jax.jit(kernels.fit)(kernel_ss, jnp.asarray(labels, dtype), ridge=0.1)
        prediction = regression.predict(jnp.asarray(kernel_ts))
    assert prediction.dtype == regression.factor.dtype == dtype
    assert distance(prediction, expected) < {"float32": 1e-5, "float64": 1e-12}[dtype]


def test_gradient_through_fit(distance: Distance) -> None:
    # the derivative of y -> K_ts (K_ss + ...)^-1 y is `weights`, and so is that of the kernel
    kernel_ss, kernel_ts, labels = problem(5, 4, 2)
    with jax.enable_x64(True):

        def total(kernel_ss: jax.Array, labels: jax.Array) -> jax.Array:
            return kernels.fit(kernel_ss, labels, ridge=0.1).predict(jnp.asarray(kernel_ts)).sum()

        gradients = jax.jit(jax.grad(total, argnums=(0, 1)))(kernel_ss, labels)
        step = 1e-6
        for index, gradient in enumerate(gradients):
            differences = np.zeros(gradient.shape)
            for entry in np.ndindex(*gradient.shape):
                change = np.zeros(gradient.shape)
                change[entry] = step
                values = [
                    total(*(jnp.asarray(a + sign * change * (i == index)) if i == index
                            else jnp.asarray(a) for i, a in enumerate((kernel_ss, labels))))
                    for sign in (1, -1)
                ]  # fmt: skip
                differences[entry] = (values[0] - values[1]) / (2 * step)
            if index == 0:  # a kernel is symmetric, and Cholesky reads one half of it
                assert distance(gradient + gradient.T, differences + differences.T) < 1e-7
            else:
                assert distance(gradient, differences) < 1e-7


# --- what has no solution, and bad input

CAUSES = r"ridge is too small.*support images are duplicated.*float32 \(take precision=\"float64\""


def test_singular_systems() -> None:
    # duplicated support: exactly singular, singular up to rounding, and of a real kernel
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(6, 9))
    vectors[4] = vectors[1]
    duplicated = np.concatenate([rng.normal(size=(5, 3)), np.ones((2, 3))])
    with jax.enable_x64(True):
        of_images = np.asarray(kernels.FullyConnected(depth=2).kernel("nngp")(duplicated))
    for kernel_ss in (np.full((2, 2), 3.0), vectors @ vectors.T, of_images):
        labels = rng.normal(size=(len(kernel_ss), 2))
        with pytest.raises(NumericalError, match=rf"ridge=0.0 has no finite solution.*{CAUSES}"):
            kernels.ridge_regression(kernel_ss, labels, ridge=0.0)
        regression = kernels.ridge_regression(kernel_ss, labels)  # with the ridge there is one
        assert np.isfinite(regression.coefficients).all()


def test_regular_systems_need_no_ridge(distance: Distance) -> None:
    kernel_ss, _, labels = problem(width=8.0)
    assert np.linalg.cond(kernel_ss) > 1e6
    regression = kernels.ridge_regression(kernel_ss, labels, ridge=0.0)
    assert distance(regression.predict(kernel_ss), labels) < 1e-8
    scaled = kernels.ridge_regression(1e-200 * kernel_ss, labels, ridge=0.0)
    assert distance(scaled.predict(1e-200 * kernel_ss), labels) < 1e-8


@pytest.mark.parametrize(
    "kernel_ss",
    [
        np.array([[1.0, np.nan], [np.nan, 1.0]]),
        np.array([[1.0, np.inf], [np.inf, 1.0]]),
        np.array([[1.0, 2.0], [2.0, 1.0]]),  # not semidefinite
        np.zeros((2, 2)),
    ],
)
def test_no_solution(kernel_ss: np.ndarray) -> None:
    with pytest.raises(NumericalError, match=CAUSES):
        kernels.ridge_regression(kernel_ss, np.ones((2, 1)))


def test_labels_that_are_not_finite() -> None:
    with pytest.raises(NumericalError, match="no finite solution"):
        kernels.ridge_regression(np.eye(2), np.array([[1.0], [np.nan]]))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("kernel_shape", "labels_shape", "ridge", "message"),
    [
        ((3, 3), (4, 2), 1e-6, r"square.*kernel_ss.shape=\(3, 3\), labels.shape=\(4, 2\)"),
        ((3, 4), (3, 2), 1e-6, r"square, with a row for each row of labels.*\(3, 4\)"),
        ((3, 3), (3, 2), -1e-3, "ridge must not be negative; got -0.001"),
        ((3, 3), (3, 2), float("nan"), "ridge must not be negative; got nan"),
    ],
)
def test_bad_input(
    kernel_shape: tuple[int, ...], labels_shape: tuple[int, ...], ridge: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        kernels.ridge_regression(np.ones(kernel_shape), np.ones(labels_shape), ridge=ridge)
