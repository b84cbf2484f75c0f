"""Kernel ridge regression by Cholesky."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float

from kernel_distill._errors import InputError, NumericalError

UNSTABLE = (
    "likely causes: the ridge is too small (raise it tenfold), support images are duplicated, "
    'or the kernel is float32 (take precision="float64")'
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RidgeRegression:
    """A fitted kernel ridge regression: predict with it as often as you like.

    Attributes:
        factor: lower Cholesky factor of K_ss + ridge * trace(K_ss)/s * I, [s, s].
        coefficients: that matrix's inverse times the labels, [s, class].
    """

    factor: Float[Array, "s s"]
    coefficients: Float[Array, "s class"]

    def predict(
        self, kernel_ts: Float[Array, "t s"] | Float[np.ndarray, "t s"]
    ) -> Float[Array, "t class"]:
        """The prediction K_ts (K_ss + ...)^-1 y_s, in the dtype of the solve."""
        with self._precision():
            return _matmul(jnp.asarray(kernel_ts, self.coefficients.dtype), self.coefficients)

    def weights(
        self, kernel_ts: Float[Array, "t s"] | Float[np.ndarray, "t s"]
    ) -> Float[Array, "t s"]:
        """The matrix K_ts (K_ss + ...)^-1, which takes any labels of the support to predictions."""
        with self._precision():
            transposed = jnp.asarray(kernel_ts.T, self.factor.dtype)
            return cho_solve((self.factor, True), transposed).T

    def with_labels(
        self, labels: Float[Array, "s class"] | Float[np.ndarray, "s class"]
    ) -> "RidgeRegression":
        """The regression on other labels of the same support."""
        with self._precision():
            labels = jnp.asarray(labels, self.factor.dtype)
            return RidgeRegression(self.factor, cho_solve((self.factor, True), labels))

    def best_labels(
        self,
        kernel_ts: Float[Array, "t s"] | Float[np.ndarray, "t s"],
        labels: Float[Array, "t class"] | Float[np.ndarray, "t class"],
    ) -> Float[Array, "s class"]:
        """The labels of the support that predict `labels` with the least squared error.

        With the factor L of K_ss + ..., they are L w for the w that minimises
        ||K_ts L^-T w - labels||^2, to which 1e-7 times the mean squared singular value times
        ||w||^2 is added: directions that float32 blocks cannot tell from rounding stay small.
        (||w|| is, but for the ridge, the norm of the prediction in the kernel's Hilbert space.)
        """
        with self._precision():
            kernel_ts = jnp.asarray(kernel_ts, self.factor.dtype)
            labels = jnp.asarray(labels, self.factor.dtype)
            # s x s solves, where one of K_ts L^-T costs as much as the product does
            half = _lower_solve(self.factor, _matmul(kernel_ts.T, kernel_ts))
            gram = _lower_solve(self.factor, half.T)
            moment = _lower_solve(self.factor, _matmul(kernel_ts.T, labels))
            return _matmul(self.factor, fit(gram, moment, ridge=1e-7).coefficients)

    def _precision(self) -> AbstractContextManager[None]:
        # the coefficients of an ill-conditioned kernel are large and cancel in the prediction:
        # where JAX is left at 32 bits, they would be rounded before
        return jax.enable_x64(True) if self.factor.dtype == jnp.float64 else nullcontext()


def _matmul(a: Float[Array, "n k"], b: Float[Array, "k m"]) -> Float[Array, "n m"]:
    # the default precision is TF32 on GPUs, where this is float32
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _lower_solve(factor: Float[Array, "s s"], b: Float[Array, "s m"]) -> Float[Array, "s m"]:
    return solve_triangular(factor, b, lower=True)


def fit(
    kernel_ss: Float[Array, "s s"],
    labels: Float[Array, "s class"],
    *,
    ridge: float | Float[Array, ""] = 1e-6,
) -> RidgeRegression:
    """Kernel ridge regression for use inside a traced function: nothing is checked.

    The solve is done in the dtype of `labels`. Source: Nguyen et al. 2021 (KIP), equation 4.
    """
    kernel_ss = kernel_ss.astype(labels.dtype)
    size = len(kernel_ss)
    identity = jnp.eye(size, dtype=labels.dtype)
    regularised = kernel_ss + ridge * jnp.trace(kernel_ss) / size * identity
    factor = jnp.linalg.cholesky(regularised)
    return RidgeRegression(factor, cho_solve((factor, True), labels))


_jitted_fit = jax.jit(fit)


def ridge_regression(
    kernel_ss: Float[Array, "s s"] | Float[np.ndarray, "s s"],
    labels: Float[Array, "s class"] | Float[np.ndarray, "s class"],
    *,
    ridge: float = 1e-6,
) -> RidgeRegression:
    """Fits a kernel ridge regression, in float64 whatever the dtype of the kernel.

    Args:
        kernel_ss: the kernel of the support with itself, [s, s].
        labels: what to predict at the support, [s, class].
        ridge: dimensionless; the solve uses K_ss + ridge * trace(K_ss)/s * I. (The Label Solve of
            the authors' notebook uses an absolute 1e-6/s instead.)

    Returns:
        The regression, with its factorisation.

    Raises:
        InputError: the numbers of rows differ, or the ridge is negative.
        NumericalError: the regularised kernel is singular to float64's precision, or the solve
            is not finite; says what to look at.
    """
    if kernel_ss.shape != (len(labels), len(labels)):
        raise InputError(
            "kernel_ss must be square, with a row for each row of labels; got "
            f"kernel_ss.shape={kernel_ss.shape}, labels.shape={labels.shape}"
        )
    if not ridge >= 0:
        raise InputError(f"ridge must not be negative; got {ridge}")
    with jax.enable_x64(True):
        regression = _jitted_fit(
            jnp.asarray(kernel_ss, jnp.float64), jnp.asarray(labels, jnp.float64), ridge=ridge
        )
        check_solved(regression, ridge=ridge)
    return regression


def check_solved(regression: RidgeRegression, *, ridge: float) -> None:
    """Raises NumericalError where the solve is not finite or means nothing, with likely causes.

    Rounding may leave the pivot of a singular matrix just above zero: the coefficients are finite
    then, and noise. A pivot below that rounding error is such a one.
    """
    pivots = jnp.diagonal(regression.factor) ** 2
    rounding = len(pivots) * jnp.finfo(pivots.dtype).eps
    regular = pivots.min() > rounding * pivots.max()  # false where a pivot is not a number
    if not bool(regular & jnp.isfinite(regression.coefficients).all()):
        raise NumericalError(
            f"the kernel ridge regression with ridge={ridge} has no finite solution; {UNSTABLE}"
        )
