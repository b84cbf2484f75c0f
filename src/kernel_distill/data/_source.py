"""Data as they come, and as they are once they have been checked."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, Num

from kernel_distill._errors import InputError
from kernel_distill.data._labels import encode, refuse_missing_class


@dataclass(frozen=True, eq=False)
class Raw:
    """What a reader hands on: nothing is checked yet.

    Attributes:
        name: of the data set.
        version: a published version, or None: then a hash of the training data is the version.
        train_images, train_labels: natural images (uint8 or floats), labels as numbers or names.
        test_images, test_labels: None where the data come without a test set.
        class_names: None takes them from the labels.
        content: that hash, where it is not the hash of the arrays.
        place: stands in messages before the names of the arrays ("images.npz: ").
    """

    name: str
    version: str | None
    train_images: Any
    train_labels: Any
    test_images: Any = None
    test_labels: Any = None
    class_names: Sequence[str] | None = None
    content: str | None = None
    place: str = ""


@dataclass(frozen=True, eq=False)
class Source:
    """Checked: images uint8 or float32 and finite, labels int32, every class has an example."""

    name: str
    version: str
    identity: str  # enters the fingerprint: a hash is enough, whatever the file is called
    class_names: tuple[str, ...]
    train_images: Num[np.ndarray, "n *shape"]
    train_labels: Int[np.ndarray, "n"]
    test_images: Num[np.ndarray, "m *shape"] | None
    test_labels: Int[np.ndarray, "m"] | None


def checked(raw: Raw) -> Source:
    """Check all that training relies on.

    Raises:
        InputError: images with NaN or infinity, of wrong rank, empty; labels out of range, of
            other length; a class without training examples; fewer than two classes.
    """
    what = f"{raw.place}train"
    images = _checked_images(raw.train_images, what=f"{what}_images")
    labels = _checked_labels(raw.train_labels, images, what=what)
    labels, class_names = encode(labels, what=f"{what}_labels", class_names=raw.class_names)
    refuse_missing_class(labels, class_names, what=f"{what}_labels")
    if len(set(class_names)) < len(class_names):
        raise InputError(f"class names must differ from each other; got {tuple(class_names)}.")
    if len(class_names) < 2:
        raise InputError(
            f"at least two classes are needed; {what}_labels hold only {class_names[0]!r}."
        )

    if (raw.test_images is None) != (raw.test_labels is None):
        raise InputError(
            f"{raw.place}test_images and test_labels belong together; got only one of them. Give "
            "both, or neither: then a part of the training set is held out as test set."
        )
    test_images = test_labels = None
    if raw.test_images is not None:
        what = f"{raw.place}test"
        test_images = _checked_images(raw.test_images, what=f"{what}_images")
        if test_images.shape[1:] != images.shape[1:]:
            raise InputError(
                f"{what}_images must have the shape of the training images, "
                f"{list(images.shape[1:])}; got {list(test_images.shape[1:])}."
            )
        if (test_images.dtype == np.uint8) != (images.dtype == np.uint8):
            raise InputError(
                f"{what}_images must be on the scale of the training images: uint8 both, or "
                f"floats both; got {test_images.dtype} and {images.dtype}."
            )
        test_labels = _checked_labels(raw.test_labels, test_images, what=what)
        test_labels, _ = encode(test_labels, what=f"{what}_labels", class_names=class_names)

    version = raw.version or raw.content or content_hash(images, labels)
    return Source(
        name=raw.name,
        version=version,
        identity=f"{raw.name} {version}" if raw.version else version,
        class_names=class_names,
        train_images=images,
        train_labels=labels,
        test_images=test_images,
        test_labels=test_labels,
    )


def content_hash(*arrays: np.ndarray) -> str:
    """`sha256:` and the first 16 hexadecimal digits of the hash of the arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return f"sha256:{digest.hexdigest()[:16]}"


def _checked_images(images: Any, *, what: str) -> Num[np.ndarray, "n *shape"]:
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim not in (2, 4):
        raise InputError(
            f"{what} must be [n, height, width, channel], [n, height, width] or, for tables, "
            f"[n, feature]; got shape {images.shape}. Reshape them."
        )
    if images.size == 0:
        raise InputError(f"{what} must not be empty; got shape {images.shape}.")
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] > 4:
        raise InputError(
            f"{what} must have the channels last, [n, height, width, channel]; got shape "
            f"{images.shape}, which looks as if they came first. Use images.transpose(0, 2, 3, 1)."
        )
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise InputError(
            f"{what} must be uint8 (0 to 255) or floating point (taken as they are); got dtype "
            f"{images.dtype}. Convert them, for example with images.astype('float32')."
        )
    with np.errstate(over="ignore"):
        images = images.astype(np.float32, copy=False)
    for index, image in enumerate(images):
        if not np.isfinite(image).all():
            position = np.argwhere(~np.isfinite(image))[0].tolist()
            raise InputError(
                f"{what} must be finite in float32; got {image[tuple(position)]} in "
                f"{what}[{index}] at {position}. Correct or leave out this example."
            )
    return images


def _checked_labels(labels: Any, images: np.ndarray, *, what: str) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1:
        hint = " For one-hot labels take labels.argmax(axis=1)." if labels.ndim == 2 else ""
        raise InputError(
            f"{what}_labels must be one label an image, [n]; got shape {labels.shape}.{hint}"
        )
    if len(labels) != len(images):
        raise InputError(
            f"{what}_images and {what}_labels must have the same number of rows; got images of "
            f"shape {images.shape}, labels of shape {labels.shape}."
        )
    return labels
