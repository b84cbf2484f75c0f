"""What a convolution does to the covariance of all pixel pairs, for neural-tangents to use.

neural-tangents convolves planes of one channel with a diagonal filter. The code that XLA makes of
that for a CPU reads beside the array, on jaxlib before 0.11: in float64, and in gradients of
loops in float32, the process ends with a segmentation fault where that memory is nobody's. Where
it does not, it takes six times as long as the sum over a window that stands here instead.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float


def by_windows(original: Callable[..., Any]) -> Callable[..., Any]:
    """neural-tangents' `_conv_kernel_full_spatial_shared`, by `convolve` where that serves.

    `__wrapped__` of what this returns is the original.
    """

    @functools.wraps(original)
    def convolution(
        covariance: Float[Array, "..."] | None,
        filter_shape: Sequence[int],
        strides: Sequence[int],
        padding: Any,
        batch_ndim: int,
    ) -> Float[Array, "..."] | None:
        serves = padding.name in ("SAME", "VALID") and set(strides) == {1}
        if covariance is None or covariance.ndim == 0 or not serves:
            return original(covariance, filter_shape, strides, padding, batch_ndim)
        return convolve(covariance, tuple(filter_shape), same=padding.name == "SAME")

    return convolution


def convolve(
    covariance: Float[Array, "..."], filter_shape: tuple[int, ...], *, same: bool
) -> Float[Array, "..."]:
    """The mean over a filter's pixels of the covariance with both positions shifted by them.

    Args:
        covariance: [..., height, height, width, width], or with further such pairs of axes: of
            the pixels of one image and of the other.
        filter_shape: the filter's size along height, width, ...
        same: whether zeros surround the images, so that they keep their size.

    Returns:
        [..., width, width, height, height]: the pairs of axes in reverse, which is what
        neural-tangents expects of it.
    """
    for pair, size in enumerate(reversed(filter_shape)):
        axis = covariance.ndim - 2 * (pair + 1)
        covariance = jnp.moveaxis(covariance, (axis, axis + 1), (-2, -1))
        batch = covariance.shape[:-2]
        planes = _along_the_diagonal(covariance.reshape(-1, *covariance.shape[-2:]), size, same)
        covariance = planes.reshape(*batch, *planes.shape[1:])
    return covariance


def _along_the_diagonal(
    planes: Float[Array, "plane length length"], size: int, same: bool
) -> Float[Array, "plane shorter shorter"]:
    """Means of `size` entries one after another on each diagonal."""
    around = ((size - 1) // 2, size // 2) if same else (0, 0)
    planes = jnp.pad(planes, ((0, 0), around, around))
    count, length = planes.shape[:2]
    # row after row, the next entry of a diagonal is one row and one column further
    rows = jnp.pad(planes.reshape(count, -1), ((0, 0), (0, size - 1)))
    sums = lax.reduce_window(
        rows,
        np.zeros((), rows.dtype),
        lax.add,
        window_dimensions=(1, size),
        window_strides=(1, 1),
        padding="VALID",
        window_dilation=(1, length + 1),
    )
    shorter = length - size + 1
    return sums.reshape(count, shorter, length)[:, :, :shorter] / size
