r"""Convolution and activation, on half the squared distance of two images' features.

For features u at a pixel of one image and u' at a pixel of the other, Gaussian with standard
deviations s and s' and covariance N, the semivariance is M = E[(u - u')^2] / 2 =
(s^2 + s'^2)/2 - N. It says the same as N. But the derivative of the ReLU's kernel is infinite
where both features are equal (M = 0), and there N, which is near s^2, holds only the rounding
errors of M: with N, single precision leaves the gradient on MNIST with errors of 1e-5, with M
1e-7, and an image's kernel with itself is exact without further ado.

T is the tangent kernel of the same features. With u = 1 - N / (s s'), which is 1 - cos(angle) of
both features and (M - (s - s')^2 / 2) / (s s'), the arc-cosine kernels (Cho & Saul 2009) become

    N' = s s' ((1 - u)+ / 2 + l(u)),    k0 = (pi - angle) / (2 pi),
    M' = (s - s')^2 / 4 + s s' (min(u, 1) / 2 - l(u)),    T' = T k0,

where l is (sin(angle) - angle cos(angle)) / (2 pi) of the angle, or of pi less the angle where
that is acute. A standard deviation of zero stands for a pixel outside the image: there u is 2
(angle pi), and all of it comes out as it should: N' = 0, M' = s'^2 / 4, T' = 0.
"""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from kernel_distill.kernels._duals import dual
from kernel_distill.kernels._layers import ActivationName
from kernel_distill.kernels._stage import stage

# rows, columns, pairs of images; pairs on the minor axis fill the vector registers
Plane = Float[Array, "height width pair"]
Around = Float[Array, "rim_height rim_width pair"]  # with a rim of one pixel
Result = Float[Array, "out_height out_width pair"]  # with or without
Entries = Float[Array, "*shape"]


def box(plane: Around) -> Plane:
    """The sum over the 3 x 3 neighbourhood of every pixel inside."""
    rows = plane[:-2] + plane[1:-1] + plane[2:]
    return rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]


def surround(plane: Array, rim: tuple[int, int] = (1, 1), value: float = 0.0) -> Array:
    """The plane with a rim of one value."""
    rims = (*((each, each) for each in rim), *((0, 0),) * (plane.ndim - 2))
    return jnp.pad(plane, rims, constant_values=value)


def inside(plane: Array) -> Array:
    """The plane without a rim of one pixel."""
    return plane[1:-1, 1:-1]


@dataclass(frozen=True)
class Convolved:
    """A 3 x 3 convolution with its activation, at one offset: what of it stays the same.

    Attributes:
        activation: its name.
        scale: variance of the weights over the filter's size (the bias cancels in M).
        tangent: whether the tangent kernel T is wanted.
        rim: whether the results have a rim, for a convolution to follow: the zeros around the
            images, whose M is half the variance of the other image's pixel.
    """

    activation: ActivationName
    scale: float
    tangent: bool
    rim: bool

    def __call__(
        self, m: Around, t: Around | None, std1: Result, std2: Result
    ) -> tuple[Result, Result | None]:
        """M and T of the activated features.

        Args:
            m: the semivariance of what is convolved.
            t: the tangent kernel; None where it is zero (at the first layer) or not wanted.
            std1: standard deviation of the convolved features of the one image.
            std2: the same of the other, moved by the offset. Both are zero outside the images, and
                as large as the results.
        """
        if self.activation == "relu":
            return _relu(self, m, t, std1, std2)
        return _smooth(self, m, t, std1, std2)

    def inner(self, result: Result) -> Plane:
        """A result without its rim, if it has one."""
        return inside(result) if self.rim else result

    def outer(self, plane: Plane, value: float = 0.0) -> Result:
        """With the rim of a result, if that has one."""
        return surround(plane, value=value) if self.rim else plane


# XLA on CPU computes one result a loop: what several of them need is written to memory first
# (`stage`), the rest is computed where it is used. A sum over a neighbourhood is vectorised only
# where nothing is padded in the same loop.


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _relu(
    layer: Convolved, m: Around, t: Around | None, std1: Result, std2: Result
) -> tuple[Result, Result | None]:
    return _relu_forward(layer, m, t, std1, std2)[0]


def _relu_forward(
    layer: Convolved, m: Around, t: Around | None, std1: Result, std2: Result
) -> tuple[Any, Any]:
    run = functools.partial(stage, never_negative=std1[1, 1, 0])
    u = run(functools.partial(_one_minus_cosine, layer), m, std1, std2)
    if layer.rim:
        u = run(lambda u: surround(u, value=2.0), u)
    root = run(lambda u: jnp.sqrt(_acute(u)), u)
    m_out = run(_activated, u, root, std1, std2)
    if not layer.tangent:
        return (m_out, None), (u, root, None, t, std1, std2)
    before = run(functools.partial(_tangent_before, layer), t, u, std1, std2)
    t_out = run(functools.partial(_tangent_after, layer), before, u, root)
    return (m_out, layer.outer(t_out)), (u, root, before, t, std1, std2)


def _relu_backward(
    layer: Convolved, saved: Any, cotangents: tuple[Result, Result | None]
) -> tuple[Around, Around | None, Result, Result]:
    u, root, before, t, std1, std2 = saved
    m_bar, t_bar = cotangents
    run = functools.partial(stage, never_negative=std1[1, 1, 0])
    k0 = run(_k0, u, root)
    sine = run(lambda u, root: root * jnp.sqrt(2 - _acute(u)), u, root)
    if layer.tangent:
        t_bar = run(lambda t: layer.outer(layer.inner(t)), t_bar)
        singular = run(_singular, t_bar, layer.outer(before), sine, std1, std2)
    else:  # arrays all the same, so that there is one backward pass: XLA drops zeros
        t_bar = singular = jnp.zeros_like(u)
    m_box = run(
        lambda *each: surround(layer.inner(_of_m(layer, *each)), (2, 2)), m_bar, t_bar, k0, singular
    )
    m_in = run(box, m_box)
    t_in = None
    if t is not None:
        t_box = run(lambda t, k0: surround(layer.inner(layer.scale * t * k0), (2, 2)), t_bar, k0)
        t_in = run(box, t_box)
    bars = (m_bar, t_bar, u, k0, sine, singular)
    return m_in, t_in, run(_of_std, bars, std1, std2), run(_of_std, bars, std2, std1)


_relu.defvjp(_relu_forward, _relu_backward)


def _one_minus_cosine(layer: Convolved, m: Around, std1: Result, std2: Result) -> Plane:
    std1, std2 = layer.inner(std1), layer.inner(std2)
    product = std1 * std2
    positive = product > 0
    u = (layer.scale * box(m) - (std1 - std2) ** 2 / 2) / jnp.where(positive, product, 1)
    return jnp.where(positive, jnp.clip(u, 0, 2), 2)


def _acute(u: Entries) -> Entries:
    """u of the angle, or of pi less the angle, whichever is acute."""
    return jnp.minimum(u, 2 - u)


# angle / sqrt(u) and (sin(angle) - angle cos(angle)) / u^1.5 for u in [0, 1], to 2e-8 relative:
# least squares on Chebyshev points. XLA on CPU calls the scalar library function for arccos,
# ten times as long; in float64 the polynomials would not be exact enough.
_ANGLE = (
    *(0.001227830448, -0.002046239051, 0.003413707438, 0.001428441669),
    *(0.008233999666, 0.02647167948, 0.1178533362, 1.414213545),
)
_SEGMENT = (
    *(0.0002372022619, -0.0001842894275, 0.000751223335, 0.001653725176),
    *(0.007593760748, 0.04713930798, 0.9428090536),
)


def _polynomial(coefficients: tuple[float, ...], x: Entries) -> Entries:
    result = jnp.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        result = result * x + coefficient
    return result


def _angle(acute: Entries, root: Entries) -> Entries:
    if acute.dtype == jnp.float64:
        return 2 * jnp.arcsin(root * 0.5**0.5)
    return root * _polynomial(_ANGLE, acute)


def _segment(acute: Entries, root: Entries) -> Entries:
    """l(u), as above."""
    if acute.dtype == jnp.float64:
        angle = _angle(acute, root)
        return (root * jnp.sqrt(2 - acute) - angle * (1 - acute)) / (2 * np.pi)
    return root * acute * _polynomial(_SEGMENT, acute) / (2 * np.pi)


def _k0(u: Entries, root: Entries) -> Entries:
    fraction = _angle(_acute(u), root) / (2 * np.pi)
    return jnp.where(u > 1, fraction, 0.5 - fraction)


def _activated(u: Plane, root: Plane, std1: Plane, std2: Plane) -> Plane:
    apart = jnp.minimum(u, 1) / 2 - _segment(_acute(u), root)
    return (std1 - std2) ** 2 / 4 + std1 * std2 * apart


def _tangent_before(
    layer: Convolved, t: Around | None, u: Result, std1: Result, std2: Result
) -> Plane:
    """T of the convolved features: the sum over the neighbourhood, and N = s s' (1 - u)."""
    n = layer.inner(std1 * std2 * (1 - u))
    return n if t is None else layer.scale * box(t) + n


def _tangent_after(layer: Convolved, before: Plane, u: Result, root: Result) -> Plane:
    return before * _k0(layer.inner(u), layer.inner(root))


def _of_m(layer: Convolved, m_bar: Result, t_bar: Result, k0: Result, singular: Result) -> Result:
    return layer.scale * ((m_bar - t_bar) * k0 - singular)


def _singular(t_bar: Result, before: Result, sine: Result, std1: Result, std2: Result) -> Result:
    """T's cotangent through the angle. Where both features are equal k0 has a kink: zero there."""
    divisor = 2 * np.pi * sine * std1 * std2
    positive = divisor > 0
    return jnp.where(positive, t_bar * before / jnp.where(positive, divisor, 1), 0)


def _of_std(bars: tuple[Plane, ...], mine: Plane, other: Plane) -> Plane:
    """The cotangent of the standard deviation `mine`, the other one being `other`."""
    m_bar, t_bar, u, k0, sine, singular = bars
    return (
        other * (singular * u - m_bar * sine / (2 * np.pi))
        + mine * (t_bar * k0 + m_bar * (0.5 - k0))
        + singular * (mine - other)
    )


def _smooth(
    layer: Convolved, m: Around, t: Around | None, std1: Result, std2: Result
) -> tuple[Result, Result | None]:
    """The same for activations whose kernels are smooth where both features are equal."""
    moments, variance = dual(layer.activation)
    v1, v2 = std1**2, std2**2
    real = (std1 > 0) & (std2 > 0)
    n = jnp.where(real, (v1 + v2) / 2 - layer.outer(layer.scale * box(m)), 0)
    n_out, slope = moments(n, v1, v2, None)
    m_out = (variance(v1) + variance(v2)) / 2 - jnp.where(real, n_out, 0)
    if not layer.tangent:
        return m_out, None
    before = n if t is None else layer.outer(layer.scale * box(t)) + n
    return m_out, jnp.where(real, before * slope, 0)
