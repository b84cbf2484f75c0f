"""Planes: what belongs to every pixel, for several pairs of images side by side.

A row of a plane holds all of its columns, and a column all pairs: of P pairs, column 0 is the
numbers 0 to P - 1, column 1 the numbers P to 2 P - 1. XLA on CPU vectorises a loop over a long
row; over an axis of 32 pairs or fewer it does not, and takes three times as long.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

Plane = Float[Array, "_height _width_pair"]


def box(plane: Plane, pairs: int) -> Plane:
    """The sum over the 3 x 3 neighbourhood of every pixel but those of the outermost rim."""
    rows = plane[:-2] + plane[1:-1] + plane[2:]
    return rows[:, : -2 * pairs] + rows[:, pairs:-pairs] + rows[:, 2 * pairs :]


def surround(plane: Plane, pairs: int, rim: tuple[int, int]) -> Plane:
    """The plane with a rim of zeros: rows above and below, columns left and right."""
    rows, columns = rim
    return jnp.pad(plane, ((rows, rows), (columns * pairs, columns * pairs)))


def average(plane: Plane, pairs: int, side: int) -> Plane:
    """The means of all windows of `side` x `side`; what fills none is left out."""
    images = from_plane(plane, pairs)
    height, width = images.shape[1] // side, images.shape[2] // side
    windows = images[:, : side * height, : side * width].reshape(-1, height, side, width, side)
    return to_plane(windows.mean(axis=(2, 4)))


def to_plane(images: Float[Array, "pair height width"]) -> Plane:
    """Pixels of images, side by side."""
    return jnp.moveaxis(images, 0, -1).reshape(images.shape[1], -1)


def from_plane(plane: Plane, pairs: int) -> Float[Array, "pair height width"]:
    """The inverse of `to_plane`."""
    return jnp.moveaxis(plane.reshape(len(plane), -1, pairs), -1, 0)
