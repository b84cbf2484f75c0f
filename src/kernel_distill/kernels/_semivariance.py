"""Convolution and activation of planes, on half the squared distance of two images' features.

What the ReLU does to M and T is in `_arc_cosine`, apart from the sum over a neighbourhood.
"""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kernel_distill.kernels import _arc_cosine as arc_cosine
from kernel_distill.kernels._duals import dual
from kernel_distill.kernels._layers import ActivationName
from kernel_distill.kernels._planes import Plane, box, surround
from kernel_distill.kernels._stage import stage

Wider = Plane  # with a rim of one pixel more than the results


@dataclass(frozen=True)
class Convolved:
    """A 3 x 3 convolution with its activation, at one offset: what of it stays the same.

    Attributes:
        activation: its name.
        scale: variance of the weights over the filter's size (the bias cancels in M).
        tangent: whether the tangent kernel T is wanted.
        pairs: how many pairs of images the planes hold.
        block: where the pairs are all of some images with all of some others, how many of each,
            the others' on the minor axis. Planes of one side are then of its images.
    """

    activation: ActivationName
    scale: float
    tangent: bool
    pairs: int
    block: tuple[int, int] | None = None

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
    m_out, t_out = run(arc_cosine.activated, u, std1, std2), None
    if layer.tangent:
        t_out = run(functools.partial(_activated_tangent, layer), t, u, std1, std2)
    return (m_out, t_out), (u, t, std1, std2)


def _relu_backward(
    layer: Convolved, saved: Any, cotangents: Any
) -> tuple[Wider, Wider | None, Plane, Plane]:
    u, t, std1, std2 = saved
    m_bar, t_bar = cotangents
    run = functools.partial(stage, never_negative=_middle(std1))
    if layer.tangent:
        singular = run(functools.partial(_singular, layer), t_bar, t, u, std1, std2)
    else:  # arrays all the same, so that there is one backward pass: XLA drops zeros
        t_bar = singular = jnp.zeros_like(u)

    def spread(compute: Any, *arrays: Any) -> Wider:
        """The transpose of the sum over a neighbourhood."""
        wide = run(lambda *arrays: surround(compute(*arrays), layer.pairs, (2, 2)), *arrays)
        return run(lambda wide: box(wide, layer.pairs), wide)

    def scaled(compute: Any) -> Any:
        return lambda *arrays: layer.scale * compute(*arrays)

    m_in = spread(scaled(arc_cosine.of_m), m_bar, t_bar, u, singular)
    t_in = None if t is None else spread(scaled(arc_cosine.of_t), t_bar, u)
    of_std = functools.partial(arc_cosine.of_std, m_bar, t_bar, u, singular)
    return m_in, t_in, of_std(mine=std1, other=std2), of_std(mine=std2, other=std1)


_relu.defvjp(_relu_forward, _relu_backward)


def _middle(std: Plane) -> Float[Array, ""]:
    """A number that XLA does not know: it sees that the rim is zero."""
    return std[len(std) // 2, std.shape[1] // 2]


def _one_minus_cosine(layer: Convolved, m: Wider, std1: Plane, std2: Plane) -> Plane:
    return arc_cosine.one_minus_cosine(layer.scale * box(m, layer.pairs), std1, std2)


def _convolved_tangent(
    layer: Convolved, t: Wider | None, u: Plane, std1: Plane, std2: Plane
) -> Plane:
    summed = None if t is None else layer.scale * box(t, layer.pairs)
    return arc_cosine.convolved_tangent(summed, u, std1, std2)


def _activated_tangent(
    layer: Convolved, t: Wider | None, u: Plane, std1: Plane, std2: Plane
) -> Plane:
    return _convolved_tangent(layer, t, u, std1, std2) * arc_cosine.k0(u)


def _singular(layer: Convolved, t_bar: Plane, t: Wider | None, *u_and_stds: Plane) -> Plane:
    convolved = _convolved_tangent(layer, t, *u_and_stds)
    return arc_cosine.singular(t_bar, convolved, *u_and_stds)


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
