"""Augmentation that changes pixels in their place: each function changes one image by its own key.

The ranges are those of DSA (Zhao & Bilen 2021, "Dataset Condensation with Differentiable Siamese
Augmentation"), which acts on standardised images.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

_BRIGHTNESS = (-0.5, 0.5)  # added
_SATURATION = (0.0, 2.0)  # a factor
_CONTRAST = (0.5, 1.5)  # a factor
_CUT_OUT = 1 / 2  # of height and width


def colour(
    key: Key[Array, ""], image: Float[Array, "height width channel"]
) -> Float[Array, "height width channel"]:
    """Brightness, then saturation, then contrast."""
    key_brightness, key_saturation, key_contrast = jax.random.split(key, 3)

    def draw(key: Key[Array, ""], least: float, most: float) -> Float[Array, ""]:
        return jax.random.uniform(key, dtype=image.dtype, minval=least, maxval=most)

    image += draw(key_brightness, *_BRIGHTNESS)
    grey = image.mean(axis=2, keepdims=True)
    image = grey + draw(key_saturation, *_SATURATION) * (image - grey)
    mean = image.mean()
    return mean + draw(key_contrast, *_CONTRAST) * (image - mean)


def cut_out(
    key: Key[Array, ""], image: Float[Array, "height width channel"]
) -> Float[Array, "height width channel"]:
    key_row, key_column = jax.random.split(key)
    height, width = image.shape[:2]
    rows, columns = _cut(key_row, height), _cut(key_column, width)
    return jnp.where((rows[:, None] & columns[None, :])[..., None], 0, image)


def _cut(key: Key[Array, ""], size: int) -> Bool[Array, "size"]:
    """Which rows, or columns, the hole covers: its centre is in the image, its rim may not be."""
    hole = int(size * _CUT_OUT + 0.5)
    # a hole of an even size has its centre between two pixels, or on the image's rim
    centre = jax.random.randint(key, (), 0, size + 1 - hole % 2, dtype=jnp.int32)
    offset = jnp.arange(size, dtype=jnp.int32) - (centre - hole // 2)
    return (offset >= 0) & (offset < hole)
