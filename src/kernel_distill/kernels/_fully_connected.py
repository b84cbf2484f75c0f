"""The exact kernel of a fully connected network."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from kernel_distill.kernels._architectures import FullyConnected
from kernel_distill.kernels._duals import dual
from kernel_distill.kernels._kernel import Kernel


@dataclass(frozen=True)
class FullyConnectedKernel(Kernel):
    """Closed form of the fully connected kernels (Jacot et al. 2018; Lee et al. 2018).

    One matrix product of the images, then `depth` elementwise steps on the block: with the nngp
    covariance N, the ntk T and the moments of the activation (`_duals`),
    N <- w_std^2 E[f f] + b_std^2, T <- w_std^2 T E[f' f'] + N.
    """

    architecture: FullyConnected

    def cross(
        self, x1: Float[Array, "n1 *shape"], x2: Float[Array, "n2 *shape"]
    ) -> Float[Array, "n1 n2"]:
        x1, x2 = x1.reshape(len(x1), -1), x2.reshape(len(x2), -1)
        return self._propagate(_inner(x1, x2), _norms(x1), _norms(x2), same=None)

    def of_self(self, x: Float[Array, "n *shape"]) -> Float[Array, "n n"]:
        x = x.reshape(len(x), -1)
        norms = _norms(x)
        same = jnp.eye(len(x), dtype=bool)
        inner = _inner(x, x)
        inner = jnp.where(same, norms[:, None], (inner + inner.T) / 2)
        return self._propagate(inner, norms, norms, same=same)

    def _propagate(
        self,
        inner: Float[Array, "n1 n2"],
        norms1: Float[Array, "n1"],
        norms2: Float[Array, "n2"],
        *,
        same: Bool[Array, "n1 n2"] | None,
    ) -> Float[Array, "n1 n2"]:
        """From inner products and squared norms, each divided by the dimension, to the kernel."""
        weight, bias = self.architecture.w_std**2, self.architecture.b_std**2
        moments, variance = dual(self.architecture.activation)
        n, v1, v2 = (weight * product + bias for product in (inner, norms1, norms2))
        ntk = n
        for _ in range(self.architecture.depth):
            n, slopes = moments(n, v1, v2, same)
            n, v1, v2 = (weight * moment + bias for moment in (n, variance(v1), variance(v2)))
            ntk = weight * ntk * slopes + n
        return ntk if self.kind == "ntk" else n


def _inner(x1: Float[Array, "n1 d"], x2: Float[Array, "n2 d"]) -> Float[Array, "n1 n2"]:
    # the default precision is TF32 on GPUs and bfloat16 on TPUs
    return jnp.matmul(x1, x2.T, precision=jax.lax.Precision.HIGHEST) / x1.shape[1]


def _norms(x: Float[Array, "n d"]) -> Float[Array, "n"]:
    return jnp.mean(x * x, axis=1)
