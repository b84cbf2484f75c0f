"""The layers of an architecture with random weights, in the NTK parameterisation."""

from typing import assert_never

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill.kernels import (
    Activation,
    Architecture,
    AveragePooling,
    Convolution,
    Dense,
    Flatten,
    Layer,
)

_ACTIVATIONS = {
    "relu": jax.nn.relu,
    "erf": jax.lax.erf,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
}


def apply(
    layer: Layer,
    architecture: Architecture,
    key: PRNGKeyArray,
    x: Float[Array, "n *shape"],
    *,
    width: int,
) -> Float[Array, "n *out"]:
    """One layer of a random network.

    Weights are standard normal, times w_std over the square root of the number of inputs; biases
    are standard normal times b_std.

    Args:
        layer: which.
        architecture: for its w_std and b_std.
        key: the randomness of the weights.
        x: what goes in.
        width: channels, or units, that come out.
    """
    match layer:
        case Dense():
            return _affine(architecture, key, x, None, width=width)
        case Convolution():
            return _affine(architecture, key, x, layer, width=width)
        case Activation(name=name):
            return _ACTIVATIONS[name](x)
        case AveragePooling(size=size):
            height, across = (length // size * size for length in x.shape[1:3])
            windows = x[:, :height, :across].reshape(
                len(x), height // size, size, across // size, size, -1
            )
            return windows.mean(axis=(2, 4))
        case Flatten():
            return x.reshape(len(x), -1)
        case _:
            assert_never(layer)


def _affine(
    architecture: Architecture,
    key: PRNGKeyArray,
    x: Float[Array, "n *shape"],
    convolution: Convolution | None,
    *,
    width: int,
) -> Float[Array, "n *out"]:
    """Weights and biases: of a dense layer, or of a convolution."""
    filter_shape = () if convolution is None else (convolution.size, convolution.size)
    weight_key, bias_key = jax.random.split(key)
    weights = jax.random.normal(weight_key, (*filter_shape, x.shape[-1], width), x.dtype)
    bias = jax.random.normal(bias_key, (width,), x.dtype)
    inputs = weights.size // width
    precision = jax.lax.Precision.HIGHEST  # the default is TF32 on GPUs
    if convolution is not None:
        product = jax.lax.conv_general_dilated(
            x,
            weights,
            window_strides=(convolution.stride, convolution.stride),
            padding="SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=precision,
        )
    else:
        product = jnp.matmul(x, weights, precision=precision)
    return architecture.w_std * product / inputs**0.5 + architecture.b_std * bias
