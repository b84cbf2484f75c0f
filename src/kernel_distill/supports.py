"""The first support: natural images, as many of each class as of any other."""

import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.data import ClassBalanced, Dataset, Split, numpy_generator


def support_size(
    images_per_class: int | None, size: int | None, data: Dataset, *, default_per_class: int
) -> int:
    """How many images a support has, from whichever of the two settings was given.

    Raises:
        InputError: a class has fewer training images than asked for, or the training set has.
    """
    if size is not None:
        if size > len(data.train):
            raise InputError(
                f"a support of {size} images is larger than the training set of "
                f"{len(data.train)}. Ask for fewer."
            )
        return size
    per_class = images_per_class if images_per_class is not None else default_per_class
    counts = np.bincount(data.train.labels, minlength=data.num_classes)
    scarcest = int(counts.argmin())
    if per_class > counts[scarcest]:
        raise InputError(
            f"{per_class} images per class were asked for; class {data.class_names[scarcest]!r} "
            f"has {counts[scarcest]} for training. Ask for fewer, or hold out fewer for "
            "validation."
        )
    return per_class * data.num_classes


def real_support(
    key: PRNGKeyArray, train: Split, size: int, *, balanced: bool = True
) -> tuple[Float[np.ndarray, "s *shape"], Int[np.ndarray, "s"]]:
    """Training images and their classes, sorted by class.

    Args:
        key: the randomness of the draw.
        train: where they come from.
        size: how many, without replacement.
        balanced: as many of each class as of any other, or at random.
    """
    if balanced:
        indices = ClassBalanced(train).draw(key, size)
    else:
        indices = numpy_generator(key).choice(len(train), size, replace=False)
    indices = indices[np.argsort(train.labels[indices], kind="stable")]
    return train.images[indices], train.labels[indices]
