"""What the layers of an architecture compute at finite width."""

import math
from typing import Any, NamedTuple, assert_never

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


class Weights(NamedTuple):
    """What a dense layer or a convolution is made of."""

    kernel: Float[Array, "*filter inputs outputs"]
    bias: Float[Array, " outputs"]


def draw(
    layer: Layer, key: PRNGKeyArray, *, inputs: int, outputs: int, dtype: Any
) -> Weights | None:
    """Weights and biases, all standard normal; None of a layer that has none.

    Args:
        layer: which.
        key: their randomness.
        inputs: channels, or units, that go in.
        outputs: channels, or units, that come out.
        dtype: of the weights.
    """
    match layer:
        case Dense():
            filter_shape: tuple[int, ...] = ()
        case Convolution(size=size):
            filter_shape = (size, size)
        case _:
            return None
    kernel_key, bias_key = jax.random.split(key)
    return Weights(
        jax.random.normal(kernel_key, (*filter_shape, inputs, outputs), dtype),
        jax.random.normal(bias_key, (outputs,), dtype),
    )


def scaled(weights: Weights, architecture: Architecture) -> Weights:
    """Standard normal weights times w_std over the square root of the fan-in, biases times b_std.

    The NTK parameterisation does this whenever it applies a layer, the standard one once, when
    the weights are drawn.
    """
    fan_in = math.prod(weights.kernel.shape[:-1])
    return Weights(
        architecture.w_std / fan_in**0.5 * weights.kernel, architecture.b_std * weights.bias
    )


def apply(
    layer: Layer, x: Float[Array, "n *shape"], weights: Weights | None = None
) -> Float[Array, "n *out"]:
    """One layer.

    Args:
        layer: which.
        x: what goes in.
        weights: those of a dense layer or a convolution, as they multiply the input.
    """
    match layer:
        case Dense():
            assert weights is not None
            return jnp.matmul(x, weights.kernel) + weights.bias
        case Convolution(stride=stride):
            assert weights is not None
            product = jax.lax.conv_general_dilated(
                x,
                weights.kernel,
                window_strides=(stride, stride),
                padding="SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            return product + weights.bias
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
