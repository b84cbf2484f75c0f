"""Convolutions as matrix products, for derivatives of derivatives on CPUs."""

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
    (JAX 0.10.2). A plain gradient gains nothing, and the windows take the filter's size times the
    memory of what goes in.
    """
    return altered(model, _multiply)


def in_training(model: Model) -> Model:
    """The model as it is fastest where a step of its training is differentiated: on CPUs by
    products."""
    return as_products(model) if jax.default_backend() == "cpu" else model


def _multiply(part: Any) -> None:
    from flax import nnx

    if isinstance(part, nnx.Conv):
        part.conv_general_dilated = convolution


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
    height, width, _, outputs = kernel.shape
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads(images.shape[1:3], (height, width), strides, padding)
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    down = _met(padded.shape[1], height, strides[0])
    across = _met(padded.shape[2], width, strides[1])
    windows = [padded[:, rows, columns] for rows in down for columns in across]
    return jnp.concatenate(windows, axis=-1) @ kernel.reshape(-1, outputs)


def _met(length: int, size: int, stride: int) -> list[slice]:
    """Of a padded axis, what each place of a filter meets."""
    return [slice(first, length - size + first + 1, stride) for first in range(size)]
