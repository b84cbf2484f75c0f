"""The tangent kernel of a network of finite width, as it is at its present weights."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def empirical_ntk(
    module: Any,
    x1: Float[Array, "n1 *shape"] | Float[np.ndarray, "n1 *shape"],
    x2: Float[Array, "n2 *shape"] | Float[np.ndarray, "n2 *shape"] | None = None,
) -> Float[Array, "n1 n2"]:
    """The products of the gradients of two images' outputs, averaged over the outputs:

        K(x, x') = mean over c of the sum over parameters p of df_c(x)/dp df_c(x')/dp

    In the NTK parameterisation it tends to `architecture.kernel("ntk")` as the width grows. Outputs
    and images are taken one by one: memory is that of n1 + n2 times the parameters, and batch
    normalisation, which wants a batch, belongs in evaluation mode (`module.eval()`). Source: Jacot
    et al. 2018.

    Args:
        module: a flax module (`nnx.Module`), module(x [n, *shape]) -> [n, output].
        x1: images.
        x2: images; None: `x1` with itself.
    """
    from flax import nnx

    graphdef, parameters, rest = nnx.split(module, nnx.Param, ...)
    x2 = None if x2 is None else jnp.asarray(x2)
    return _empirical_ntk(graphdef, parameters, rest, jnp.asarray(x1), x2)


@functools.partial(jax.jit, static_argnames="graphdef")
def _empirical_ntk(
    graphdef: Any,
    parameters: Any,
    rest: Any,
    x1: Float[Array, "n1 *shape"],
    x2: Float[Array, "n2 *shape"] | None,
) -> Float[Array, "n1 n2"]:
    from flax import nnx

    def outputs(parameters: Any, image: Float[Array, "*shape"]) -> Float[Array, " output"]:
        return nnx.merge(graphdef, parameters, rest)(image[None])[0]

    def gradients(x: Float[Array, "n *shape"], number: Array) -> list[Float[Array, "n parameter"]]:
        of_output = jax.grad(lambda parameters, image: outputs(parameters, image)[number])
        rows = jax.lax.map(lambda image: of_output(parameters, image), x)
        return [leaf.reshape(len(x), -1) for leaf in jax.tree.leaves(rows)]

    def of_output(number: Array) -> Float[Array, "n1 n2"]:
        gradients1 = gradients(x1, number)
        gradients2 = gradients1 if x2 is None else gradients(x2, number)
        products = [g1 @ g2.T for g1, g2 in zip(gradients1, gradients2, strict=True)]
        return functools.reduce(jnp.add, products)

    with jax.default_matmul_precision("highest"):  # the default is TF32 on GPUs
        count = jax.eval_shape(outputs, parameters, x1[0]).size
        return jax.lax.map(of_output, jnp.arange(count)).mean(axis=0)
