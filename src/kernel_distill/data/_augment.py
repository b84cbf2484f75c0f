"""Random augmentation of preprocessed images, in JAX."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from kernel_distill._errors import InputError, unknown_name

_LARGEST_SHIFT = 1 / 16  # of height and width
_LARGEST_ANGLE = math.radians(15)
_SMALLEST_CROP = 3 / 4  # of height and width


def augment(
    key: Key[Array, ""],
    images: Float[Array, "n height width channel"],
    *,
    names: Sequence[str],
    first: Int[Array, ""] | int = 0,
    total: int | None = None,
) -> Float[Array, "n height width channel"]:
    """Change each image at random, each on its own; can be jitted (`names` and `total` static).

    What comes in from outside an image repeats its rim: a grey image with an empty background keeps
    it, where the mean of the preprocessed images would frame it.

    Args:
        key: a typed key, `jax.random.key(...)`; the same key gives the same result (another one
            where JAX has 64 bits switched on, as in `kip.distill`).
        images: preprocessed.
        names: applied in this order, each at most once:
            "flip": left to right, half of the images;
            "shift": by whole pixels, up to 1/16 of the height and width (at least one pixel), each
            shift as likely as another;
            "rotate": by up to 15 degrees about the centre, bilinear;
            "crop": a part of 3/4 to the whole of height and width (the same share of both),
            anywhere in the image, enlarged to the image's size, bilinear.
        first: where in a larger batch these images stand; they are changed as they are in there.
        total: how many images the batch has; None: these alone.

    Raises:
        InputError: an unknown or repeated name (with the nearest known ones); not images.
    """
    check_names(names)
    if images.ndim != 4:
        raise InputError(
            "augmentation needs images [n, height, width, channel]; got images.shape="
            f"{images.shape}. Tables cannot be augmented: leave the augmentations out."
        )
    for name in names:
        # by name and not by position: adding one augmentation leaves the others' draws alone
        key_of_name = jax.random.fold_in(key, list(_AUGMENTATIONS).index(name))
        keys = jax.random.split(key_of_name, len(images) if total is None else total)
        if total is not None:
            keys = jax.lax.dynamic_slice_in_dim(keys, first, len(images))
        images = jax.vmap(_AUGMENTATIONS[name])(keys, images)
    return images


def check_names(names: Sequence[str]) -> None:
    """Raise `InputError` for an unknown or a repeated augmentation."""
    for name in names:
        if name not in _AUGMENTATIONS:
            raise unknown_name("augmentation", name, _AUGMENTATIONS)
    if len(set(names)) != len(names):
        raise InputError(f"each augmentation can stand once; got {tuple(names)}.")


def _flip(
    key: Key[Array, ""], image: Float[Array, "height width channel"]
) -> Float[Array, "height width channel"]:
    return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def _shift(
    key: Key[Array, ""], image: Float[Array, "height width channel"]
) -> Float[Array, "height width channel"]:
    rows, columns = (max(1, int(size * _LARGEST_SHIFT)) for size in image.shape[:2])
    padded = jnp.pad(image, ((rows, rows), (columns, columns), (0, 0)), mode="edge")
    start = jax.random.randint(key, (2,), 0, jnp.array([2 * rows + 1, 2 * columns + 1]))
    return jax.lax.dynamic_slice(padded, (start[0], start[1], 0), image.shape)


def _rotate(
    key: Key[Array, ""], image: Float[Array, "height width channel"]
) -> Float[Array, "height width channel"]:
    angle = jax.random.uniform(
        key, dtype=image.dtype, minval=-_LARGEST_ANGLE, maxval=_LARGEST_ANGLE
    )
    row, column = _positions(image)
    middle_row, middle_column = (image.shape[0] - 1) / 2, (image.shape[1] - 1) / 2
    row, column = row - middle_row, column - middle_column
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return _sample(
        image, cos * row - sin * column + middle_row, sin * row + cos * column + middle_column
    )


def _crop(
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


def _positions(
    image: Float[Array, "height width channel"],
) -> tuple[Float[Array, "height 1"], Float[Array, "1 width"]]:
    height, width = image.shape[:2]
    return (
        jnp.arange(height, dtype=image.dtype)[:, None],
        jnp.arange(width, dtype=image.dtype)[None, :],
    )


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


_AUGMENTATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "flip": _flip,
    "shift": _shift,
    "rotate": _rotate,
    "crop": _crop,
}
AUGMENTATIONS: tuple[str, ...] = tuple(_AUGMENTATIONS)
"""The known names, in the order of their random streams."""
