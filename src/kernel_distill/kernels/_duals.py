r"""Dual activations: what a nonlinearity does to the covariance of two Gaussians, in closed form.

For (u, v) ~ N(0, [[v1, n], [n, v2]]) each dual gives E[f(u) f(v)] and E[f'(u) f'(v)]: the first
moves the nngp covariance through a layer, the second multiplies the ntk's.
Sources: ReLU: Cho & Saul 2009. Erf: Williams 1997. GELU: by Stein's lemma from
E[Phi(u) Phi(v)]; the same as in Tsuchida et al. 2021.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from kernel_distill.kernels._layers import ActivationName

Covariances = Float[Array, "*shape"]
Variances = Float[Array, "*#shape"]  # they broadcast
Same = Bool[Array, "*shape"] | None
Dual = Callable[[Covariances, Variances, Variances, Same], tuple[Covariances, Covariances]]


def dual(activation: ActivationName) -> tuple[Dual, Callable[[Variances], Variances]]:
    """The dual of an activation, and its restriction to equal arguments.

    Returns:
        `moments(n, v1, v2, same)` -> (E[f f], E[f' f']) of covariances n, with variances v1 and
        v2 that broadcast to them, where `same` marks the pairs that are one and the same image;
        and `variance(v)` -> E[f(u)^2] for u ~ N(0, v).
    """
    return _DUALS[activation]


def _relu_moments(
    n: Covariances, v1: Variances, v2: Variances, same: Same
) -> tuple[Covariances, Covariances]:
    (std1, inverse1), (std2, inverse2) = _std_and_inverse(v1), _std_and_inverse(v2)
    # products of both images' factors first: so rounding keeps the kernel of a set symmetric
    stds, inverses = std1 * std2, inverse1 * inverse2
    cosine = n * inverses
    if same is not None:  # the angle of an image with itself is zero, whatever rounding says
        cosine = jnp.where(same, 1, cosine)
    k0, k1 = arc_cosine(cosine)
    return stds * k1, k0


def _std_and_inverse(v: Variances) -> tuple[Variances, Variances]:
    """The square root and its inverse; of zero both are zero, and so are their derivatives.

    An all-zero image without biases has no direction: it counts as orthogonal to every image, as
    in neural-tangents.
    """
    positive = v > 0
    std = jnp.sqrt(jnp.where(positive, v, 1))
    return jnp.where(positive, std, 0), jnp.where(positive, 1 / std, 0)


@jax.custom_jvp
def arc_cosine(cosine: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], ...]:
    """The arc-cosine kernels of order 0 and 1, (pi - a)/(2 pi) and (sin a + (pi - a) cos a)/(2 pi).

    Cho & Saul 2009, for the angle a, divided by 2 so that they are ReLU's own moments.
    A cosine outside [-1, 1] by rounding counts as -1 or 1, with the derivative there.
    """
    supplement, sine = _supplement_and_sine(cosine)
    cosine = jnp.clip(cosine, -1, 1)
    return supplement / (2 * np.pi), (sine + supplement * cosine) / (2 * np.pi)


@arc_cosine.defjvp
def _arc_cosine_jvp(
    primals: tuple[Array], tangents: tuple[Array]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    (cosine,), (d_cosine,) = primals, tangents
    k0, k1 = arc_cosine(cosine)
    _, sine = _supplement_and_sine(cosine)
    # at equal images k0 has a kink: no direction there is steeper than the other, so zero.
    # Only the derivative is guarded; the value of no kernel entry moves.
    slope = jnp.where(sine > 0, 1 / jnp.where(sine > 0, sine, 1), 0) / (2 * np.pi)
    return (k0, k1), (slope * d_cosine, k0 * d_cosine)


# arccos(x) = sqrt(1 - x) * polynomial(x) on [0, 1], to 2e-8 (Abramowitz & Stegun 4.4.46).
# XLA on CPU calls the scalar library function for arccos, which takes longer than the matrix
# product beside it; in float64 the polynomial would not be exact enough.
_ARCCOS = (
    -0.0012624911,
    0.0066700901,
    -0.0170881256,
    0.0308918810,
    -0.0501743046,
    0.0889789874,
    -0.2145988016,
    1.5707963050,
)


def _supplement_and_sine(
    cosine: Float[Array, "*shape"],
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """(pi - arccos(cosine), sin(arccos(cosine)))."""
    magnitude = jnp.minimum(jnp.abs(cosine), 1)
    root = jnp.sqrt(1 - magnitude)
    sine = root * jnp.sqrt(1 + magnitude)
    if cosine.dtype == jnp.float64:
        return np.pi - jnp.arccos(jnp.clip(cosine, -1, 1)), sine
    polynomial = jnp.full_like(magnitude, _ARCCOS[0])
    for coefficient in _ARCCOS[1:]:
        polynomial = polynomial * magnitude + coefficient
    angle = root * polynomial
    return jnp.where(cosine < 0, angle, np.pi - angle), sine


def _erf_moments(
    n: Covariances, v1: Variances, v2: Variances, same: Same
) -> tuple[Covariances, Covariances]:
    del same  # smooth where both images are equal
    product = (1 + 2 * v1) * (1 + 2 * v2)
    return (
        2 / np.pi * jnp.arcsin(2 * n / jnp.sqrt(product)),
        4 / np.pi / jnp.sqrt(product - 4 * n * n),
    )


def _erf_variance(v: Variances) -> Variances:
    return 2 / np.pi * jnp.arcsin(2 * v / (1 + 2 * v))


def _gelu_moments(
    n: Covariances, v1: Variances, v2: Variances, same: Same
) -> tuple[Covariances, Covariances]:
    del same
    return _gelu(n, v1, v2)


def _gelu_variance(v: Variances) -> Variances:
    return _gelu(v, v, v)[0]


def _gelu(n: Array, v1: Array, v2: Array) -> tuple[Array, Array]:
    """GELU is u Phi(u). `both` is E[Phi(u) Phi(v)], `density` is E[phi(u) phi(v)]."""
    product = (1 + v1) * (1 + v2)
    determinant = product - n * n
    both = 0.25 + jnp.arcsin(n / jnp.sqrt(product)) / (2 * np.pi)
    density = 1 / (2 * np.pi * jnp.sqrt(determinant))
    inverses = 1 / (1 + v1) + 1 / (1 + v2)
    moment = n * both + density * (v1 * v2 - n * n * (1 - inverses))
    slopes = both + n * density * (inverses + 1 / determinant)
    return moment, slopes


_DUALS: dict[str, tuple[Dual, Callable[[Variances], Variances]]] = {
    "relu": (_relu_moments, lambda v: v / 2),
    "erf": (_erf_moments, _erf_variance),
    "gelu": (_gelu_moments, _gelu_variance),
}
