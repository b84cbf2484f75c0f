"""What a level of the exact convolutional kernel takes of the images of its pairs."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kernel_distill.kernels._angles import Entries
from kernel_distill.kernels._planes import Plane

# a plane for every offset that matters, with a margin of one offset around
Band = Float[Array, "_down _across _height _width_pair"]
Bands = tuple[Band, Band | None]

# On a GPU a program computes the pairs of so many images on either side: the 32 lanes of a warp.
# Those of the other side lie side by side in memory, of which a GPU moves 8 numbers at least.
IMAGES = 4, 8


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Side:
    """What a level needs of the images on one side of its pairs, as planes.

    Attributes:
        images: at the first level, the images themselves, a plane for every channel.
        within: at the others, half the mean semivariance of the pixels of one pooling window
            among themselves: pooling makes features as much less different.
        half_variance: at the others, half the variance of the features that enter.
        stds: standard deviation of the features after each convolution.
    """

    images: Any
    within: Any
    half_variance: Any
    stds: tuple[Any, ...]


def enter(here: tuple[Entries, Entries | None] | None, one: Side, other: Side) -> Any:
    """M and T of what the first convolution of a level takes; elementwise.

    Args:
        here: M and T of the level before, at the offset; None at the first level.
        one: the one image of each pair.
        other: the other one, moved by the offset.
    """
    if here is None:
        return _half_squared_distance(one.images, other.images), None
    m, t = here
    within = one.within + other.within
    apart = m - within
    # equal images are not apart, whatever rounding says of two sums that should be equal; nor are
    # those nearly equal, whose distance rounding hides
    apart = jnp.where(apart > 8 * jnp.finfo(apart.dtype).eps * within, apart, 0)
    # outside of an image, where half_variance is zero, so are the features
    real = (one.half_variance > 0) & (other.half_variance > 0)
    m = jnp.where(real, apart, one.half_variance + other.half_variance)
    return m, None if t is None else jnp.where(real, t, 0)


def _half_squared_distance(x1: tuple[Entries, ...], x2: tuple[Entries, ...]) -> Entries:
    squares = [(a - b) ** 2 for a, b in zip(x1, x2, strict=True)]
    return sum(squares[1:], squares[0]) / (2 * len(squares))


def by_pairs(one: Any, other: Any, block: tuple[int, int] | None) -> tuple[Any, Any]:
    """Planes of the images of a block as planes of its pairs; without a block, as they are."""
    if block is None:
        return one, other
    n1, n2 = block

    def of_one(x: Plane) -> Plane:
        return x.reshape(len(x), -1, n1).repeat(n2, axis=2).reshape(len(x), -1)

    def of_other(x: Plane) -> Plane:
        return jnp.tile(x.reshape(len(x), -1, n2), (1, 1, n1)).reshape(len(x), -1)

    return jax.tree.map(of_one, one), jax.tree.map(of_other, other)
