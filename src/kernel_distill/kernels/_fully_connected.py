"""The exact kernel of a fully connected network."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kernel_distill.kernels._architectures import FullyConnected
from kernel_distill.kernels._duals import dual
from kernel_distill.kernels._kernel import Kernel
from kernel_distill.kernels._stage import stage

Block = Float[Array, "n1 n2"]
Norms1 = Float[Array, "n1"]
Norms2 = Float[Array, "n2"]


@dataclass(frozen=True)
class FullyConnectedKernel(Kernel):
    """Closed form of the fully connected kernels (Jacot et al. 2018; Lee et al. 2018).

    One matrix product of the images, then `depth` elementwise steps on the block: with the nngp
    covariance N, the ntk T and the moments of the activation (`_duals`),
    N <- w_std^2 E[f f] + b_std^2, T <- w_std^2 T E[f' f'] + N.

    On the diagonal of a set with itself the angle is zero. Elsewhere that of two equal images is
    the square root of rounding: with the ReLU in float32, E[f' f'] comes out 5e-5 too small, and
    the ntk by 1e-4 of itself for every hidden layer. The nngp does not suffer.
    """

    architecture: FullyConnected

    def cross(
        self, x1: Float[Array, "n1 *shape"], x2: Float[Array, "n2 *shape"]
    ) -> Float[Array, "n1 n2"]:
        x1, x2 = x1.reshape(len(x1), -1), x2.reshape(len(x2), -1)
        return _elementwise(self, False, _inner(x1, x2), _norms(x1), _norms(x2))

    def of_self(self, x: Float[Array, "n *shape"]) -> Float[Array, "n n"]:
        x = x.reshape(len(x), -1)
        norms = _norms(x)
        inner = _inner(x, x)
        diagonal = jnp.eye(len(x), dtype=bool)
        inner = jnp.where(diagonal, norms[:, None], (inner + inner.T) / 2)
        return _elementwise(self, True, inner, norms, norms)

    def propagate(self, of_self: bool, inner: Block, norms1: Norms1, norms2: Norms2) -> Block:
        """From inner products and squared norms, each divided by the dimension, to the kernel."""
        weight, bias = self.architecture.w_std**2, self.architecture.b_std**2
        moments, variance = dual(self.architecture.activation)
        same = jnp.eye(len(inner), dtype=bool) if of_self else None
        n, v1, v2 = (weight * product + bias for product in (inner, norms1, norms2))
        ntk = n
        for _ in range(self.architecture.depth):
            n, slopes = moments(n, v1[:, None], v2[None, :], same)
            n, v1, v2 = (weight * moment + bias for moment in (n, variance(v1), variance(v2)))
            ntk = weight * ntk * slopes + n
        return ntk if self.kind == "ntk" else n


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _elementwise(
    kernel: FullyConnectedKernel, of_self: bool, inner: Block, norms1: Norms1, norms2: Norms2
) -> Block:
    """`kernel.propagate`, with a derivative that costs about what the value does.

    An entry is a function of three numbers, so its derivatives are three directional ones, each
    computed forwards, entry by entry: nothing is stored, and no chain is run through backwards.
    """
    propagate = functools.partial(_propagate, kernel, of_self)
    return stage(propagate, inner, norms1, norms2, never_negative=norms1[0])


# traced once for all programs with blocks of one shape
@functools.partial(jax.jit, static_argnums=(0, 1), inline=True)
def _propagate(kernel: FullyConnectedKernel, of_self: bool, *arguments: Array) -> Block:
    return kernel.propagate(of_self, *arguments)


@functools.partial(jax.jit, static_argnums=(0, 1, 2), inline=True)
def _towards(
    kernel: FullyConnectedKernel,
    of_self: bool,
    argument: int,
    cotangent: Block,
    *arguments: Array,
) -> Block:
    """The cotangent of one argument, an entry of the block at a time."""
    tangents = [jnp.zeros_like(each) for each in arguments]
    tangents[argument] = jnp.ones_like(arguments[argument])
    propagate = functools.partial(kernel.propagate, of_self)
    _, derivative = jax.jvp(propagate, tuple(arguments), tuple(tangents))
    return cotangent * derivative


def _forward(
    kernel: FullyConnectedKernel, of_self: bool, inner: Block, norms1: Norms1, norms2: Norms2
) -> tuple[Block, tuple[Block, Norms1, Norms2]]:
    return _elementwise(kernel, of_self, inner, norms1, norms2), (inner, norms1, norms2)


def _backward(
    kernel: FullyConnectedKernel,
    of_self: bool,
    arguments: tuple[Block, Norms1, Norms2],
    cotangent: Block,
) -> tuple[Block, Norms1, Norms2]:
    # three stages, so that one that nobody asks for is not computed
    of_inner, of_norms1, of_norms2 = (
        stage(
            functools.partial(_towards, kernel, of_self, argument),
            cotangent,
            *arguments,
            never_negative=arguments[1][0],
        )
        for argument in range(3)
    )
    return of_inner, of_norms1.sum(axis=1), of_norms2.sum(axis=0)


_elementwise.defvjp(_forward, _backward)


def _inner(x1: Float[Array, "n1 d"], x2: Float[Array, "n2 d"]) -> Float[Array, "n1 n2"]:
    # the default precision is TF32 on GPUs and bfloat16 on TPUs
    return jnp.matmul(x1, x2.T, precision=jax.lax.Precision.HIGHEST) / x1.shape[1]


def _norms(x: Float[Array, "n d"]) -> Float[Array, "n"]:
    return jnp.mean(x * x, axis=1)
