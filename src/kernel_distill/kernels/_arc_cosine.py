r"""The arc-cosine kernels of the ReLU (Cho & Saul 2009), on half the squared distance of features.

For features u at a pixel of one image and u' at a pixel of the other, Gaussian with standard
deviations s and s' and covariance N, the semivariance is M = E[(u - u')^2] / 2 =
(s^2 + s'^2)/2 - N. It says the same as N. But the derivative of the ReLU's kernel is infinite
where both features are equal (M = 0), and there N, which is near s^2, holds only the rounding
errors of M: with N, single precision leaves the gradient on MNIST with errors of 1e-5, with M
1e-7, and an image's kernel with itself is exact without further ado.

T is the tangent kernel of the same features. With u = 1 - N / (s s'), which is 1 - cos(angle) of
both features and (M - (s - s')^2 / 2) / (s s'), the arc-cosine kernels become

    N' = s s' ((1 - u)+ / 2 + l(u)),    k0 = (pi - angle) / (2 pi),
    M' = (s - s')^2 / 4 + s s' (min(u, 1) / 2 - l(u)),    T' = T k0,

where l is (sin(angle) - angle cos(angle)) / (2 pi) of the angle, or of pi less the angle where
that is acute. A standard deviation of zero stands for a pixel outside the image: there u is 2
(angle pi), and all of it comes out as it should: N' = 0, M' = s'^2 / 4, T' = 0.

What M cannot mend: of features that are parallel but of other lengths, as no bias keeps them from
being, u is the difference of two equal terms, and its rounding error an angle of 3e-4.

All functions here are elementwise, of planes or of whatever part of them is at hand.
"""

import jax.numpy as jnp
import numpy as np

from kernel_distill.kernels._angles import Entries, angle, segment


def one_minus_cosine(m: Entries, std1: Entries, std2: Entries) -> Entries:
    """u of the convolved features, from their semivariance and standard deviations."""
    product = std1 * std2
    positive = product > 0
    u = (m - (std1 - std2) ** 2 / 2) / jnp.where(positive, product, 1)
    return jnp.where(positive, jnp.clip(u, 0, 2), 2)


def _acute(u: Entries) -> Entries:
    """u of the angle, or of pi less the angle, whichever is acute."""
    return jnp.minimum(u, 2 - u)


def k0(u: Entries) -> Entries:
    """What the activation multiplies the tangent kernel with."""
    acute = _acute(u)
    fraction = angle(acute) / (2 * np.pi)
    return jnp.where(u > 1, fraction, 0.5 - fraction)


def _sine(u: Entries) -> Entries:
    acute = _acute(u)
    return jnp.sqrt(acute * (2 - acute))


def activated(u: Entries, std1: Entries, std2: Entries) -> Entries:
    """M of the activated features."""
    acute = _acute(u)
    apart = jnp.minimum(u, 1) / 2 - segment(acute) / (2 * np.pi)
    return (std1 - std2) ** 2 / 4 + std1 * std2 * apart


def beside(std: Entries) -> Entries:
    """M of activated features whose standard deviation before was `std`, and of none."""
    return std**2 / 4


def convolved_tangent(t: Entries | None, u: Entries, std1: Entries, std2: Entries) -> Entries:
    """T of the convolved features: that of what is convolved, and N = s s' (1 - u)."""
    n = std1 * std2 * (1 - u)
    return n if t is None else t + n


# --- derivatives. `m_bar` and `t_bar` are the cotangents of M and T of the activated features.


def singular(
    t_bar: Entries, convolved: Entries, u: Entries, std1: Entries, std2: Entries
) -> Entries:
    """T's cotangent through the angle. Where both features are equal k0 has a kink: zero there.

    Args:
        t_bar: as above.
        convolved: what `convolved_tangent` gave.
        u: what `one_minus_cosine` gave.
        std1: standard deviation of the one features.
        std2: of the other.
    """
    divisor = 2 * np.pi * _sine(u) * std1 * std2
    positive = divisor > 0
    return jnp.where(positive, t_bar * convolved / jnp.where(positive, divisor, 1), 0)


def of_m(m_bar: Entries, t_bar: Entries, u: Entries, singular: Entries) -> Entries:
    """The cotangent of the convolved features' M."""
    return (m_bar - t_bar) * k0(u) - singular


def of_t(t_bar: Entries, u: Entries) -> Entries:
    """The cotangent of T of what is convolved."""
    return t_bar * k0(u)


def of_std(
    m_bar: Entries, t_bar: Entries, u: Entries, singular: Entries, *, mine: Entries, other: Entries
) -> Entries:
    """The cotangent of the standard deviation `mine`, the other one being `other`."""
    half = k0(u)
    return (
        other * (singular * u - m_bar * _sine(u) / (2 * np.pi))
        + mine * (t_bar * half + m_bar * (0.5 - half))
        + singular * (mine - other)
    )
