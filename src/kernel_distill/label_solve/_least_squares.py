"""Least squares over rows that stream by, in float64, by an updated QR factorisation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@functools.partial(jax.jit, donate_argnums=0)
def absorb(
    triangle: Float[Array, "k k"], rows: Float[Array, "n s"], targets: Float[Array, "n class"]
) -> Float[Array, "k k"]:
    """Takes a block of rows in: the triangular factor R of [A Y], k = s + class.

    The first s columns of R are the R of A, those behind them Q^T Y: all that least squares needs
    of any number of rows, without squaring the condition number as normal equations would.
    """
    block = jnp.concatenate([rows, targets], axis=1)
    return jnp.linalg.qr(jnp.concatenate([triangle, block]), mode="r")


def start(size: int, num_classes: int) -> Float[Array, "k k"]:
    """The triangle before any row."""
    return jnp.zeros((size + num_classes,) * 2, jnp.float64)


def solve(
    triangle: Float[Array, "k k"], *, num_classes: int, cutoff: float
) -> tuple[Float[np.ndarray, "s class"], int]:
    """The minimum-norm solution Y of least ||A y - Y||, and the rank of A that it rests on.

    Args:
        triangle: what `absorb` has gathered.
        num_classes: columns of the targets.
        cutoff: singular values of A below `cutoff` times the largest count as zero.
    """
    import scipy.linalg

    whole = np.asarray(triangle)
    size = len(whole) - num_classes
    left, values, right = scipy.linalg.svd(whole[:size, :size], lapack_driver="gesvd")
    kept = values > cutoff * values[0]
    inverse = np.where(kept, 1 / np.where(kept, values, 1), 0)
    return right.T @ (inverse[:, None] * (left.T @ whole[:size, size:])), int(kept.sum())
