"""Random augmentation of preprocessed images, in JAX."""

from collections.abc import Callable, Sequence

import jax
from jaxtyping import Array, Float, Int, Key

from kernel_distill._errors import InputError, unknown_name
from kernel_distill.data import _geometry, _intensity


def augment(
    key: Key[Array, ""],
    images: Float[Array, "n height width channel"],
    *,
    names: Sequence[str],
    first: Int[Array, ""] | int = 0,
    total: int | None = None,
    siamese: bool = False,
) -> Float[Array, "n height width channel"]:
    """Change each image at random, each on its own; can be differentiated in the images.

    Can be jitted, with `names`, `total` and `siamese` static.

    What comes in from outside an image repeats its rim: a grey image with an empty background keeps
    it, where the mean of the preprocessed images would frame it.

    "scale", "colour" and "cutout" are those of DSA. Its "rotate" and "flip" are those here (half of
    the images are flipped, too), its "crop" is a "shift" by up to 1/8. It fills what comes in with
    zeros, and takes one of the names at random a step, where here each is applied.

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
            anywhere in the image, enlarged to the image's size, bilinear;
            "scale": height and width, each on its own, enlarged or reduced by up to 1.2 about the
            centre, bilinear;
            "colour": brightness (up to 0.5 is added or taken away), saturation (each pixel's
            distance from the mean of its channels, times 0 to 2; grey images have none) and
            contrast (each pixel's distance from the image's mean, times 0.5 to 1.5), in this order.
            On standardised images the unit of brightness is a standard deviation of the training
            images, and the grey axis that of the standardised channels. Whitened images have lost
            brightness and colour in a person's sense: to them it is a noise of this form, and a
            large one, since their pixels are small. On images in [0, 1] (preprocessing "none") it
            leaves that range;
            "cutout": a hole of half the height and half the width, centred anywhere in the image
            and hence often beyond its rim, is set to zero: the mean of standardised images, black
            where there is no preprocessing.
        first: where in a larger batch these images stand; they are changed as they are in there.
        total: how many images the batch has; None: these alone.
        siamese: change all images by one and the same draw, which depends on the key alone: natural
            and synthetic images, however many of either, are then changed alike.

    Raises:
        InputError: an unknown or repeated name (with the nearest known ones); not images.

    Source: of "scale", "colour", "cutout" and `siamese`, Zhao & Bilen 2021, "Dataset Condensation
    with Differentiable Siamese Augmentation", and its code.
    """
    check_names(names)
    if images.ndim != 4:
        raise InputError(
            "augmentation needs images [n, height, width, channel]; got images.shape="
            f"{images.shape}. Tables cannot be augmented: leave the augmentations out."
        )
    for name in names:
        change = _AUGMENTATIONS[name]
        # by name and not by position: adding one augmentation leaves the others' draws alone
        key_of_name = jax.random.fold_in(key, AUGMENTATIONS.index(name))
        if siamese:
            images = jax.vmap(change, in_axes=(None, 0))(key_of_name, images)
            continue
        keys = jax.random.split(key_of_name, len(images) if total is None else total)
        if total is not None:
            keys = jax.lax.dynamic_slice_in_dim(keys, first, len(images))
        images = jax.vmap(change)(keys, images)
    return images


def check_names(names: Sequence[str]) -> None:
    """Raise `InputError` for an unknown or a repeated augmentation."""
    for name in names:
        if name not in _AUGMENTATIONS:
            raise unknown_name("augmentation", name, _AUGMENTATIONS)
    if len(set(names)) != len(names):
        raise InputError(f"each augmentation can stand once; got {tuple(names)}.")


# a new one at the end: the place of a name decides on its random stream
_AUGMENTATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "flip": _geometry.flip,
    "shift": _geometry.shift,
    "rotate": _geometry.rotate,
    "crop": _geometry.crop,
    "scale": _geometry.scale,
    "colour": _intensity.colour,
    "cutout": _intensity.cut_out,
}
AUGMENTATIONS: tuple[str, ...] = tuple(_AUGMENTATIONS)
"""The known names, in the order of their random streams."""
