"""The nngp kernel, estimated from the last hidden layer of random networks."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.kernels import Architecture, Kernel
from kernel_distill.networks._layers import apply, draw, scaled


@dataclass(frozen=True)
class RandomFeatureKernel(Kernel, arrays=("key",)):
    """See `random_features`."""

    width: int
    networks: int
    key: PRNGKeyArray

    __hash__ = None  # type: ignore[assignment]

    def at(self, key: PRNGKeyArray) -> Kernel:
        """The same estimate from other networks."""
        return replace(self, key=key)

    def cross(
        self, x1: Float[Array, "n1 *shape"], x2: Float[Array, "n2 *shape"]
    ) -> Float[Array, "n1 n2"]:
        @jax.checkpoint  # one network's features at a time, in the backward pass too
        def of_network(key: PRNGKeyArray, x1: Array, x2: Array) -> Array:
            return self._product(self._features(key, x1), self._features(key, x2))

        return self._mean(of_network, x1, x2)

    def of_self(self, x: Float[Array, "n *shape"]) -> Float[Array, "n n"]:
        @jax.checkpoint
        def of_network(key: PRNGKeyArray, x: Array) -> Array:
            features = self._features(key, x)
            return self._product(features, features)

        return self._mean(of_network, x)

    def _features(self, key: PRNGKeyArray, x: Array) -> Float[Array, "n feature"]:
        """What the readout of one network takes."""
        with jax.default_matmul_precision("highest"):  # the default is TF32 on GPUs
            for layer in self.architecture.layers[:-1]:
                key, layer_key = jax.random.split(key)
                weights = draw(
                    layer, layer_key, inputs=x.shape[-1], outputs=self.width, dtype=x.dtype
                )
                x = apply(layer, x, weights and scaled(weights, self.architecture))
        return x

    def _product(
        self, f1: Float[Array, "n1 feature"], f2: Float[Array, "n2 feature"]
    ) -> Float[Array, "n1 n2"]:
        product = jnp.matmul(f1, f2.T, precision=jax.lax.Precision.HIGHEST)
        return self.architecture.w_std**2 * product / f1.shape[1] + self.architecture.b_std**2

    def _mean(self, of_network: Any, *x: Array) -> Array:
        def add(total: Array, key: PRNGKeyArray) -> tuple[Array, None]:
            return total + of_network(key, *x), None

        nothing = jnp.zeros((len(x[0]), len(x[-1])), x[0].dtype)
        total, _ = jax.lax.scan(add, nothing, jax.random.split(self.key, self.networks))
        return total / self.networks


def random_features(
    architecture: Architecture,
    *,
    width: int,
    networks: int = 1,
    key: PRNGKeyArray,
) -> Kernel:
    """The nngp kernel of an architecture, estimated from random networks of finite width.

    A kernel entry is the mean product of two images' last hidden features, over all features of
    all networks: its cost is linear in the number of images, where the exact kernel's is that of
    all pairs, and its rank is at most one more than the number of features. The estimate deviates
    from the exact kernel by the order of 1 / sqrt(width * networks), and its expectation by
    1 / width. KIP draws the networks anew at every step (`kernel.at`). Source: Loo et al. 2022
    (RFAD).

    Args:
        architecture: whose kernel is estimated.
        width: channels, or units, of every hidden layer.
        networks: how many are averaged over.
        key: the networks of the kernel as it is returned, on which KIP validates.

    Raises:
        InputError: width or networks is not positive.
    """
    if width < 1 or networks < 1:
        raise InputError(
            f"width and networks must be 1 or more; got width={width}, networks={networks}"
        )
    return RandomFeatureKernel(architecture, "nngp", width, networks, key)
