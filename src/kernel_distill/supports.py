"""The first support: natural images, as many of each class as of any other, drawn or herded."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.data import ClassBalanced, Dataset, Split, numpy_generator
from kernel_distill.kernels import Kernel


def check_kernel(kernel: Kernel, data: Dataset, settings: Any) -> int:
    """Whether kernel, data and settings go together: all that can be said before any work.

    Args:
        kernel: the kernel of the run.
        data: the data set.
        settings: the settings dataclass of a method.

    Returns:
        How many images the support has.

    Raises:
        InputError: as `check`; images of this shape do not fit the architecture.
    """
    for member in kernel.members:
        member.architecture.check_images(data.image_shape)
    return check(data, settings)


def check(data: Dataset, settings: Any) -> int:
    """Whether data and settings go together.

    Args:
        data: the data set.
        settings: the settings dataclass of a method.

    Returns:
        How many images the support has.

    Raises:
        InputError: a class has fewer training images than asked for, or the training set has;
            images cannot be augmented; patience without validation images.
    """
    names = getattr(settings, "augment", ()) or getattr(settings, "training_augment", None)
    if names and len(data.image_shape) != 3:
        raise InputError(
            f"augmentation ({', '.join(names)}) needs images [n, height, width, "
            f"channel]; got rows of shape {data.image_shape}. Leave it out for tables."
        )
    if getattr(settings, "patience", None) is not None and not len(data.validation):
        raise InputError(
            f"patience={settings.patience} counts validations, and there are no validation images. "
            "Hold some out (validation_size), or leave patience out."
        )
    return _size(data, settings)


def _size(data: Dataset, settings: Any) -> int:
    if settings.support_size is not None:
        if settings.support_size > len(data.train):
            raise InputError(
                f"a support of {settings.support_size} images is larger than the training set of "
                f"{len(data.train)}. Ask for fewer."
            )
        return settings.support_size
    per_class = settings.images_per_class
    if per_class is None:
        per_class = settings.default_images_per_class
    check_per_class(data, per_class)
    return per_class * data.num_classes


def check_per_class(data: Dataset, per_class: int) -> None:
    """Raises InputError where a class has fewer training images."""
    counts = np.bincount(data.train.labels, minlength=data.num_classes)
    scarcest = int(counts.argmin())
    if per_class > counts[scarcest]:
        raise InputError(
            f"{per_class} images per class were asked for; class {data.class_names[scarcest]!r} "
            f"has {counts[scarcest]} for training. Ask for fewer, or hold out fewer for "
            "validation."
        )


def natural_support(
    start: str, key: PRNGKeyArray, train: Split, size: int
) -> tuple[Float[np.ndarray, "s *shape"], Int[np.ndarray, "s"]]:
    """Training images and their classes, sorted by class: herded for the start "herding", else
    drawn, as many of each class as of any other."""
    draw = herded_support if start == "herding" else real_support
    return draw(key, train, size)


def noise_support(key: PRNGKeyArray, train: Split, size: int) -> Float[np.ndarray, "s *shape"]:
    """Gaussian noise of the magnitude of the training images."""
    magnitude = np.sqrt(np.mean(train.images**2, dtype=np.float64))
    shape = (size, *train.images.shape[1:])
    return np.asarray(magnitude * jax.random.normal(key, shape, jnp.float32))


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


def herded_support(
    key: PRNGKeyArray, train: Split, size: int
) -> tuple[Float[np.ndarray, "s *shape"], Int[np.ndarray, "s"]]:
    """Training images near the mean of their class, and their classes, sorted by class.

    Args:
        key: draws which classes have one more, where the size is no multiple of their number.
        train: where they come from.
        size: how many.
    """
    labels = train.labels[ClassBalanced(train).draw(key, size)]  # class by class
    chosen = []
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        (members,) = np.nonzero(train.labels == label)
        rows = train.images[members].reshape(len(members), -1).astype(np.float64)
        chosen.append(members[herding(rows, int(count))])
    return train.images[np.concatenate(chosen)], labels


def herding(rows: Float[np.ndarray, "n feature"], count: int) -> Int[np.ndarray, "count"]:
    """Rows whose mean, as they are added one by one, stays as near as can be to that of all.

    Source: Welling 2009; without repetition, as Rebuffi et al. 2017 (iCaRL), on the rows
    themselves where they take a network's features.
    """
    mean = rows.mean(axis=0)
    squares = np.einsum("nf,nf->n", rows, rows)
    missing = np.zeros_like(mean)  # to k times the mean, from the sum of the k - 1 chosen
    free = np.ones(len(rows), bool)
    chosen = np.empty(count, int)
    for place in range(count):
        missing += mean
        # the squared distance of each row to it, but for what they have in common
        distances = squares - 2 * rows @ missing
        chosen[place] = np.where(free, distances, np.inf).argmin()
        free[chosen[place]] = False
        missing -= rows[chosen[place]]
    return chosen
