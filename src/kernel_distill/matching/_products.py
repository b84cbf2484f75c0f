"""Convolutions as matrix products, for derivatives of derivatives on CPUs."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill.networks import Network
from kernel_distill.transfer import Model


@dataclass(frozen=True)
class AsProducts(Network):
    """A network whose `flax.nnx.Conv` layers gather the windows of a filter and multiply them.

    The same function with the same weights, up to rounding: states of the one are those of the
    other. On a CPU the derivative of a training step of LeNet on ten images takes a third of the
    time so, and gradients within a `jax.lax.scan`, which are 14 to 40 times slower there with XLA's
    own convolutions, take what they take outside (JAX 0.10.2). A plain gradient gains nothing, and
    the windows take the filter's size times the memory of what goes in.
    """

    network: Network

    def module(self, image_shape: tuple[int, ...], *, num_classes: int, key: PRNGKeyArray) -> Any:
        from flax import nnx

        module = self.network.module(image_shape, num_classes=num_classes, key=key)
        for _, each in nnx.iter_graph(module):
            if isinstance(each, nnx.Conv):
                each.conv_general_dilated = convolution
        return module

    def to_metadata(self) -> dict[str, Any]:
        return self.network.to_metadata()


def as_products(network: Network) -> AsProducts:
    """The network, whose convolutions are matrix products."""
    return AsProducts(network.name, network.width, network)


def in_training(model: Model) -> Model:
    """The model as it is fastest where a training of it is differentiated: on CPUs by products."""
    if jax.default_backend() != "cpu":
        return model
    return Model(as_products(model.network), model.image_shape, model.num_classes)


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
