"""Planes: what belongs to every pixel, for several pairs of images side by side.

A row of a plane holds all of its columns, and a column all pairs: columns 0, 1, ... of P pairs are
the numbers 0 to P - 1, P to 2 P - 1, ... XLA on CPU vectorises a loop over a long row; over an
axis of 32 pairs or fewer it does not, and takes three times as long.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

Plane = Float[Array, "*more height width_pair"]
Rim = tuple[int, int]  # rows above and below, columns left and right


def box(plane: Plane, pairs: int) -> Plane:
    """The sum over the 3 x 3 neighbourhood of every pixel but those of the outermost rim."""
    rows = plane[:-2] + plane[1:-1] + plane[2:]
    return rows[:, : -2 * pairs] + rows[:, pairs:-pairs] + rows[:, 2 * pairs :]


def surround(plane: Plane, pairs: int, rim: Rim) -> Plane:
    """The plane with a rim of zeros."""
    rims = ((rim[0], rim[0]), (rim[1] * pairs, rim[1] * pairs))
    return jnp.pad(plane, (*((0, 0),) * (plane.ndim - 2), *rims))


def to_plane(images: Float[Array, "pair height width"]) -> Plane:
    """Pixels of images, side by side."""
    return jnp.moveaxis(images, 0, -1).reshape(images.shape[1], -1)


def from_plane(plane: Plane, pairs: int) -> Float[Array, "pair height width"]:
    """The inverse of `to_plane`."""
    return jnp.moveaxis(plane.reshape(len(plane), -1, pairs), -1, 0)


def window(plane: Plane, pairs: int, side: int, row: int, column: int) -> Plane:
    """One pixel of every window of `side` x `side`; rows and columns that fill none are left."""
    height, width = len(plane) // side, plane.shape[1] // pairs // side
    whole = plane[: side * height, : side * width * pairs]
    chosen = whole.reshape(height, side, width, side, pairs)[:, row, :, column]
    return chosen.reshape(height, width * pairs)


def repeated(plane: Plane, pairs: int, side: int, shape: tuple[int, int]) -> Plane:
    """Every pixel all over its window of `side` x `side`, in a plane of `shape` (zero beyond)."""
    *more, height, wide = plane.shape
    width = wide // pairs
    pixels = plane.reshape(*more, height, 1, width, 1, pairs)
    whole = jnp.broadcast_to(pixels, (*more, height, side, width, side, pairs))
    whole = whole.reshape(*more, side * height, side * wide)
    rest = ((0, shape[0] - side * height), (0, shape[1] - side * wide))
    return jnp.pad(whole, (*((0, 0),) * len(more), *rest))


def average(plane: Plane, pairs: int, side: int) -> Plane:
    """The means of all windows of `side` x `side`."""
    every = [window(plane, pairs, side, row, column) for row in range(side) for column in range(side)]
    return sum(every[1:], every[0]) / side**2
