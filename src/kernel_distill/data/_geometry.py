"""Augmentation that moves pixels: each function changes one image by its own random key.

What comes in from outside an image repeats its rim.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

_LARGEST_SHIFT = 1 / 16  # of height and width
_LARGEST_ANGLE = math.radians(15)
_SMALLEST_CROP = 3 / 4  # of height and width
_LARGEST_SCALE = 1.2


def flip(
    key: Key[Array, ""], image: Float[Array, "height width channel"]
) -> Float[Array, "height width channel"]:
    return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def shift(
    key: Key[Array, ""], image: Float[Array, "height width channel"]
) -> Float[Array, "height width channel"]:
    rows, columns = (max(1, int(size * _LARGEST_SHIFT)) for size in image.shape[:2])
    padded = jnp.pad(image, ((rows, rows), (columns, columns), (0, 0)), mode="edge")
    start = jax.random.randint(key, (2,), 0, jnp.array([2 * rows + 1, 2 * columns + 1]))
    return jax.lax.dynamic_slice(padded, (start[0], start[1], 0), image.shape)


def rotate(
    key: Key[Array, ""], image: Float[Array, "height width channel"]
) -> Float[Array, "height width channel"]:
    angle = jax.random.uniform(
        key, dtype=image.dtype, minval=-_LARGEST_ANGLE, maxval=_LARGEST_ANGLE
    )
    row, column = _positions(image)
    middle_row, middle_column = _middle(image)
    row, column = row - middle_row, column - middle_column
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return _sample(
        image, cos * row - sin * column + middle_row, sin * row + cos * column + middle_column
    )


def crop(
    key: Key[Array, ""], image: Float[Array, "height width channel"]
) -> Float[Array, "height width channel"]:
    key_size, key_place = jax.random.split(key)
    share = jax.random.uniform(key_size, dtype=image.dtype, minval=_SMALLEST_CROP, maxval=1)
    height, width = image.shape[:2]
    size = jnp.array([height, width], image.dtype)
    corner = jax.random.uniform(key_place, (2,), image.dtype) * size * (1 - share)
    row, column = _positions(image)
    # pixels are squares around their centres
    return _sample(
        image, (row + 0.5) * share + corner[0] - 0.5, (column + 0.5) * share + corner[1] - 0.5
    )


def scale(
    key: Key[Array, ""], image: Float[Array, "height width channel"]
) -> Float[Array, "height width channel"]:
    # of where to look, not of what is seen: below 1 enlarges
    vertical, horizontal = jax.random.uniform(
        key, (2,), image.dtype, minval=1 / _LARGEST_SCALE, maxval=_LARGEST_SCALE
    )
    row, column = _positions(image)
    middle_row, middle_column = _middle(image)
    return _sample(
        image,
        (row - middle_row) * vertical + middle_row,
        (column - middle_column) * horizontal + middle_column,
    )


def _positions(
    image: Float[Array, "height width channel"],
) -> tuple[Float[Array, "height 1"], Float[Array, "1 width"]]:
    height, width = image.shape[:2]
    return (
        jnp.arange(height, dtype=image.dtype)[:, None],
        jnp.arange(width, dtype=image.dtype)[None, :],
    )


def _middle(image: Float[Array, "height width channel"]) -> tuple[float, float]:
    return (image.shape[0] - 1) / 2, (image.shape[1] - 1) / 2


def _sample(
    image: Float[Array, "height width channel"],
    row: Float[Array, "*#position"],
    column: Float[Array, "*#position"],
) -> Float[Array, "height width channel"]:
    """The image at fractional positions, bilinear; outside, its nearest pixel."""
    height, width, channel = image.shape
    row, column = jnp.broadcast_arrays(jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1))
    top, left = jnp.floor(row), jnp.floor(column)
    pixels = image.reshape(height * width, channel)

    def corner(
        at_row: Int[Array, "height width"], at_column: Int[Array, "height width"]
    ) -> Float[Array, "height width channel"]:
        # one beyond the last, where it has weight zero
        return pixels[jnp.minimum(at_row, height - 1) * width + jnp.minimum(at_column, width - 1)]

    down, right = (row - top)[..., None], (column - left)[..., None]
    above, beside = top.astype(jnp.int32), left.astype(jnp.int32)
    upper = (1 - right) * corner(above, beside) + right * corner(above, beside + 1)
    lower = (1 - right) * corner(above + 1, beside) + right * corner(above + 1, beside + 1)
    return (1 - down) * upper + down * lower
