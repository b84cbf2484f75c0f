"""The module that all networks here are."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float


class Sequential(nnx.Sequential):
    """Layers one after another, from images to the outputs of the classes."""

    def __call__(
        self, x: Float[Array, "n *shape"] | Float[np.ndarray, "n *shape"]
    ) -> Float[Array, "n *out"]:
        return super().__call__(jnp.asarray(x))

    def features(
        self, x: Float[Array, "n *shape"] | Float[np.ndarray, "n *shape"]
    ) -> list[Float[Array, "n feature"]]:
        """What goes into each dense layer, convolution or residual block after the first, in order:
        the last is what the readout takes. Of a network that is a readout alone, its input."""
        found = []
        out = jnp.asarray(x)
        for layer in self.layers:
            if _mixes(layer):
                found.append(out.reshape(len(out), -1))
            out = layer(out)
        return found[1:] or found


def _mixes(layer: Any) -> bool:
    """Whether a layer has a matrix of weights, where a normalisation has no more than vectors."""
    weights = nnx.state(layer, nnx.Param) if isinstance(layer, nnx.Module) else {}
    return any(leaf.ndim > 1 for leaf in jax.tree.leaves(weights))
