"""The layers of an architecture as flax modules, whose weights can be trained."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill.kernels import Architecture, Layer
from kernel_distill.networks._layers import Weights, apply, draw, scaled
from kernel_distill.networks._sequential import Sequential


class Plain(nnx.Module):
    """A layer without weights."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def __call__(self, x: Float[Array, "n *shape"]) -> Float[Array, "n *out"]:
        return apply(self.layer, x)


class Affine(nnx.Module):
    """A dense layer or a convolution.

    Args:
        layer: which.
        weights: standard normal.
        architecture: for its w_std and b_std.
        parameterization: "ntk" keeps the weights as they are and scales them whenever they are
            used; "standard" scales them here, once.
    """

    def __init__(
        self, layer: Layer, weights: Weights, architecture: Architecture, parameterization: str
    ) -> None:
        self.layer = layer
        self.architecture = architecture
        self.parameterization = parameterization
        if parameterization == "standard":
            weights = scaled(weights, architecture)
        self.kernel = nnx.Param(weights.kernel)
        self.bias = nnx.Param(weights.bias)

    def __call__(self, x: Float[Array, "n *shape"]) -> Float[Array, "n *out"]:
        weights = Weights(self.kernel[...], self.bias[...])
        if self.parameterization == "ntk":
            weights = scaled(weights, self.architecture)
        return apply(self.layer, x.astype(weights.kernel.dtype), weights)


def twin(
    architecture: Architecture,
    *,
    width: int,
    num_classes: int,
    image_shape: tuple[int, ...],
    parameterization: str,
    key: PRNGKeyArray,
) -> Sequential:
    """See `finite`; the arguments are checked already."""
    layers = architecture.layers
    modules: list[nnx.Module] = []
    x = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    for number, layer in enumerate(layers, start=1):
        outputs = num_classes if number == len(layers) else width
        key, layer_key = jax.random.split(key)
        weights = draw(layer, layer_key, inputs=x.shape[-1], outputs=outputs, dtype=x.dtype)
        x = jax.eval_shape(functools.partial(apply, layer), x, weights)
        modules.append(
            Plain(layer)
            if weights is None
            else Affine(layer, weights, architecture, parameterization)
        )
    return Sequential(*modules)
