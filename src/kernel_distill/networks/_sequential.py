"""The module that all networks here are."""

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
