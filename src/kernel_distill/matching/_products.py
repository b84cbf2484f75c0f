"""Convolutions as matrix products, for derivatives of derivatives on CPUs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kernel_distill.matching._altered import altered
from kernel_distill.transfer import Model


def as_products(model: Model) -> Model:
    """A model whose `flax.nnx.Conv` layers gather the windows of a filter and multiply them.

    The same function with the same weights, up to rounding. On a CPU the derivative of a training
    step of LeNet on ten images takes a third of the time so, and gradients within a `jax.lax.scan`,
    which are 14 to 40 times slower there with XLA's own convolutions, take what they take outside
    (JAX 0.10.2). A plain gradient gains nothing but for few large filters, and the windows take
    the filter's size times the memory of what goes in.
    """
    return altered(model, _Convolve(convolution))


def in_training(model: Model) -> Model:
    """The model as it is fastest where a step of its training is differentiated: on CPUs by
    products."""
    return as_products(model) if jax.default_backend() == "cpu" else model


def in_gradients(model: Model) -> Model:
    """The model as it is fastest where it is differentiated once: on CPUs with products for few
    large filters (the gradient of LeNet takes half the time), and XLA's convolutions for others."""
    if jax.default_backend() != "cpu":
        return model
    return altered(model, _Convolve(_convolution_of_few))


@dataclass(frozen=True)
class _Convolve:
    """Has convolutional layers convolve by a function, in place of XLA's."""

    by: Callable[..., Array]

    def __call__(self, part: Any) -> None:
        from flax import nnx

        if isinstance(part, nnx.Conv):
            part.conv_general_dilated = self.by


def convolution(
    images: Float[Array, "n height width channel"],
    kernel: Float[Array, "h w inputs outputs"],
    strides: Any,
    padding: Any,
    **further: Any,
) -> Float[Array, "n height_out width_out outputs"]:
    """What `jax.lax.conv_general_dilated` gives; see there. Groups and dilations are left to it."""
    dilations = (*further.get("lhs_dilation", ()), *further.get("rhs_dilation", ()))
    if further.get("feature_group_count", 1) != 1 or any(each != 1 for each in dilations):
        return jax.lax.conv_general_dilated(images, kernel, strides, padding, **further)
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads(images.shape[1:3], kernel.shape[:2], strides, padding)
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    if _few_and_large(kernel, strides):
        return _by_bands(padded, kernel)
    return _by_windows(padded, kernel, strides)


def _convolution_of_few(
    images: Float[Array, "n height width channel"],
    kernel: Float[Array, "h w inputs outputs"],
    strides: Any,
    padding: Any,
    **further: Any,
) -> Float[Array, "n height_out width_out outputs"]:
    few = _few_and_large(kernel, strides)
    by = convolution if few else jax.lax.conv_general_dilated
    return by(images, kernel, strides, padding, **further)


def _few_and_large(kernel: Float[Array, "h w inputs outputs"], strides: Any) -> bool:
    """Whether bands are faster than windows, and than XLA: with LeNet's filters twice; with 16
    filters of 3x3 they are half as fast."""
    return kernel.shape[1] >= 5 and kernel.shape[3] <= 16 and set(strides) == {1}


def _by_windows(
    padded: Float[Array, "n height width channel"],
    kernel: Float[Array, "h w inputs outputs"],
    strides: Any,
) -> Float[Array, "n height_out width_out outputs"]:
    """What each filter meets, times the filters."""
    height, width, _, outputs = kernel.shape
    down = _met(padded.shape[1], height, strides[0])
    across = _met(padded.shape[2], width, strides[1])
    windows = [padded[:, rows, columns] for rows in down for columns in across]
    return jnp.concatenate(windows, axis=-1) @ kernel.reshape(-1, outputs)


def _by_bands(
    padded: Float[Array, "n height width channel"], kernel: Float[Array, "h w inputs outputs"]
) -> Float[Array, "n height_out width_out outputs"]:
    """Whole rows, as many as a filter is high, times the matrix that holds the filters at each
    place across: most of it zeros, but a product of large matrices, from a copy of the image a row
    of the filter instead of one a pixel."""
    height, width, _, outputs = kernel.shape
    columns = padded.shape[2]
    places = columns - width + 1
    shifts = jnp.stack([jnp.eye(columns, places, -shift, kernel.dtype) for shift in range(width)])
    band = jnp.einsum("wcp,hwio->hcipo", shifts, kernel).reshape(-1, places * outputs)
    rows = jnp.concatenate([padded[:, each] for each in _met(padded.shape[1], height, 1)], axis=2)
    product = rows.reshape(*rows.shape[:2], -1) @ band
    return product.reshape(*product.shape[:2], places, outputs)


def _met(length: int, size: int, stride: int) -> list[slice]:
    """Of a padded axis, what each place of a filter meets."""
    return [slice(first, length - size + first + 1, stride) for first in range(size)]
