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

What M cannot mend: of features that are parallel but of other lengths, as no bias keeps them from
being, u is the difference of two equal terms, and its rounding error an angle of 3e-4.
"""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from kernel_distill.kernels._angles import angle, segment
from kernel_distill.kernels._duals import dual
from kernel_distill.kernels._layers import ActivationName
from kernel_distill.kernels._planes import Plane, box, surround
from kernel_distill.kernels._stage import stage

Entries = Float[Array, "*shape"]
Wider = Plane  # with a rim of one pixel more than the results


@dataclass(frozen=True)
class Convolved:
    """A 3 x 3 convolution with its activation, at one offset: what of it stays the same.

    Attributes:
        activation: its name.
        scale: variance of the weights over the filter's size (the bias cancels in M).
        tangent: whether the tangent kernel T is wanted.
        pairs: how many pairs of images the planes hold.
    """

    activation: ActivationName
    scale: float
    tangent: bool
    pairs: int

    def __call__(
        self, m: Wider, t: Wider | None, std1: Plane, std2: Plane
    ) -> tuple[Plane, Plane | None]:
        """M and T of the activated features.

        Args:
            m: the semivariance of what is convolved.
            t: the tangent kernel; None where it is zero (at the first layer) or not wanted.
            std1: standard deviation of the convolved features of the one image.
            std2: the same of the other, moved by the offset. Both are zero outside the images.
        """
        if self.activation == "relu":
            return _relu(self, m, t, std1, std2)
        return _smooth(self, m, t, std1, std2)


# XLA on CPU computes one result a loop. What a sum over a neighbourhood takes is written to memory
# first (`stage`), lest it be computed nine times; roots and polynomials are computed wherever they
# are used, which costs less than to write and to read them.


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _relu(
    layer: Convolved, m: Wider, t: Wider | None, std1: Plane, std2: Plane
) -> tuple[Plane, Plane | None]:
    return _relu_forward(layer, m, t, std1, std2)[0]


def _relu_forward(
    layer: Convolved, m: Wider, t: Wider | None, std1: Plane, std2: Plane
) -> tuple[Any, Any]:
    run = functools.partial(stage, never_negative=_middle(std1))
    u = run(functools.partial(_one_minus_cosine, layer), m, std1, std2)
    m_out, t_out = run(_activated, u, std1, std2), None
    if layer.tangent:
        t_out = run(lambda *each: _convolved_tangent(layer, *each) * _k0(each[1]), t, u, std1, std2)
    return (m_out, t_out), (u, t, std1, std2)


def _relu_backward(
    layer: Convolved, saved: Any, cotangents: Any
) -> tuple[Wider, Wider | None, Plane, Plane]:
    u, t, std1, std2 = saved
    m_bar, t_bar = cotangents
    run = functools.partial(stage, never_negative=_middle(std1))
    if layer.tangent:
        singular = run(
            lambda t_bar, *each: _singular(t_bar, _convolved_tangent(layer, *each), *each[1:]),
            *(t_bar, t, u, std1, std2),
        )
    else:  # arrays all the same, so that there is one backward pass: XLA drops zeros
        t_bar = singular = jnp.zeros_like(u)

    def spread(compute: Any, *arrays: Any) -> Wider:
        """The transpose of the sum over a neighbourhood."""
        wide = run(lambda *arrays: surround(compute(*arrays), layer.pairs, (2, 2)), *arrays)
        return run(lambda wide: box(wide, layer.pairs), wide)

    m_in = spread(functools.partial(_of_m, layer), m_bar, t_bar, u, singular)
    t_in = None if t is None else spread(lambda t, u: layer.scale * t * _k0(u), t_bar, u)
    of_std = functools.partial(_of_std, m_bar, t_bar, u, singular)
    return m_in, t_in, of_std(mine=std1, other=std2), of_std(mine=std2, other=std1)


_relu.defvjp(_relu_forward, _relu_backward)


def _middle(std: Plane) -> Float[Array, ""]:
    """A number that XLA does not know: it sees that the rim is zero."""
    return std[len(std) // 2, std.shape[1] // 2]


def _one_minus_cosine(layer: Convolved, m: Wider, std1: Plane, std2: Plane) -> Plane:
    product = std1 * std2
    positive = product > 0
    summed = layer.scale * box(m, layer.pairs)
    u = (summed - (std1 - std2) ** 2 / 2) / jnp.where(positive, product, 1)
    return jnp.where(positive, jnp.clip(u, 0, 2), 2)


def _acute(u: Entries) -> Entries:
    """u of the angle, or of pi less the angle, whichever is acute."""
    return jnp.minimum(u, 2 - u)


def _k0(u: Entries) -> Entries:
    acute = _acute(u)
    fraction = angle(acute) / (2 * np.pi)
    return jnp.where(u > 1, fraction, 0.5 - fraction)


def _sine(u: Entries) -> Entries:
    acute = _acute(u)
    return jnp.sqrt(acute * (2 - acute))


def _activated(u: Plane, std1: Plane, std2: Plane) -> Plane:
    acute = _acute(u)
    apart = jnp.minimum(u, 1) / 2 - segment(acute) / (2 * np.pi)
    return (std1 - std2) ** 2 / 4 + std1 * std2 * apart


def _convolved_tangent(
    layer: Convolved, t: Wider | None, u: Plane, std1: Plane, std2: Plane
) -> Plane:
    """T of the convolved features: the sum over the neighbourhood, and N = s s' (1 - u)."""
    n = std1 * std2 * (1 - u)
    return n if t is None else layer.scale * box(t, layer.pairs) + n


def _singular(t_bar: Plane, convolved: Plane, u: Plane, std1: Plane, std2: Plane) -> Plane:
    """T's cotangent through the angle. Where both features are equal k0 has a kink: zero there."""
    divisor = 2 * np.pi * _sine(u) * std1 * std2
    positive = divisor > 0
    return jnp.where(positive, t_bar * convolved / jnp.where(positive, divisor, 1), 0)


def _of_m(layer: Convolved, m_bar: Plane, t_bar: Plane, u: Plane, singular: Plane) -> Plane:
    return layer.scale * ((m_bar - t_bar) * _k0(u) - singular)


def _of_std(
    m_bar: Plane, t_bar: Plane, u: Plane, singular: Plane, *, mine: Plane, other: Plane
) -> Plane:
    """The cotangent of the standard deviation `mine`, the other one being `other`."""
    k0 = _k0(u)
    return (
        other * (singular * u - m_bar * _sine(u) / (2 * np.pi))
        + mine * (t_bar * k0 + m_bar * (0.5 - k0))
        + singular * (mine - other)
    )


def _smooth(
    layer: Convolved, m: Wider, t: Wider | None, std1: Plane, std2: Plane
) -> tuple[Plane, Plane | None]:
    """The same for activations whose kernels are smooth where both features are equal."""
    moments, variance = dual(layer.activation)
    v1, v2 = std1**2, std2**2
    real = (std1 > 0) & (std2 > 0)
    n = jnp.where(real, (v1 + v2) / 2 - layer.scale * box(m, layer.pairs), 0)
    n_out, slope = moments(n, v1, v2, None)
    m_out = (variance(v1) + variance(v2)) / 2 - jnp.where(real, n_out, 0)
    if not layer.tangent:
        return m_out, None
    before = n if t is None else layer.scale * box(t, layer.pairs) + n
    return m_out, jnp.where(real, before * slope, 0)
