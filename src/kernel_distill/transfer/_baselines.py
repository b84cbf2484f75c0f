"""What a distilled set is compared with: as many images, chosen or averaged without distilling."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from kernel_distill._errors import InputError, unknown_name
from kernel_distill.artefact import Distilled, package_versions
from kernel_distill.data import LABEL_CONVENTION, Dataset, numpy_generator, one_hot
from kernel_distill.evaluation import RIDGE, check_not_empty, measure
from kernel_distill.kernels import FullyConnected
from kernel_distill.supports import check_per_class, herded_support, real_support
from kernel_distill.transfer._match import check_match
from kernel_distill.transfer._prototypes import k_center, k_means

BASELINES = ("random", "optimised", "kmeans", "average", "herding", "kcenter", "full")
"""The sets that `baseline` makes."""

NEAREST = {"nearest-random": "random", "nearest-kmeans": "kmeans"}
"""Classifiers by the nearest image of a baseline (`nearest_neighbour`)."""

DRAWN = ("random", "optimised", "kmeans", *NEAREST)
"""Those that depend on the key."""

FIXED = ("average", "full")
"""Those that have a number of images of their own."""

_CANDIDATES, _BEST = 25, 5

Judge = Callable[[Distilled], float]


def baseline(
    name: str,
    data: Dataset,
    *,
    images_per_class: int,
    key: PRNGKeyArray,
    judge: Judge | None = None,
) -> Distilled:
    """A set of images to compare a distilled one with.

    The images are training images, or means of such, as the model takes them; so are distances.

    - "random": so many of each class, at random.
    - "optimised": one of the best fifth of 25 such sets. Wang et al. 2018 rank them by the
      networks that they train, here it is `judge` who does.
    - "kmeans": the centres of so many clusters of each class.
    - "average": the average image of each class; one, whatever images_per_class.
    - "herding": images of each class whose mean stays nearest to that of the class.
    - "kcenter": images of each class from which none of the class is far, chosen greedily.
    - "full": all training images, the ceiling; whatever images_per_class.

    Only the first three depend on the key.

    Args:
        name: one of `BASELINES`.
        data: where the images come from.
        images_per_class: how many.
        key: the randomness of the draw.
        judge: for "optimised", gives a set its rank, the larger the better; by default the
            accuracy on the validation images of kernel ridge regression with the tangent kernel
            of one hidden layer, which takes no training.

    Returns:
        The set, sorted by class, with one-hot labels minus 1/C, and metadata like those of a run.
        Having no architecture of its own, `evaluate` wants a kernel with it.

    Raises:
        UnknownNameError: no baseline has this name.
        InputError: images_per_class is not positive, or larger than a class (but of "average" and
            "full"); "optimised" without a judge and without validation images.
    """
    check_baseline(name, data, images_per_class=images_per_class, judge=judge)
    if name == "optimised":
        return _optimised(data, images_per_class, key, judge or _ridge_judge(data))
    train, size = data.train, images_per_class * data.num_classes
    if name == "random":
        images, labels = real_support(key, train, size)
    elif name == "herding":
        images, labels = herded_support(key, train, size)
    elif name == "full":
        order = np.argsort(train.labels, kind="stable")
        images, labels = train.images[order], train.labels[order]
    else:
        of_classes = [
            _of_class(name, train.images[train.labels == label], images_per_class, key, label)
            for label in range(data.num_classes)
        ]
        images = np.concatenate(of_classes).astype(np.float32)
        labels = np.repeat(np.arange(data.num_classes), [len(each) for each in of_classes])
    metadata = {
        "method": name,
        "dataset": data.to_metadata(),
        "label_convention": LABEL_CONVENTION,
        "preprocessing": data.preprocessing.to_metadata(),
        "seed": np.asarray(jax.random.key_data(key)).tolist(),
        "settings": {} if name in FIXED else {"images_per_class": images_per_class},
        "packages": package_versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Distilled(images, one_hot(labels, data.num_classes), metadata)


def check_baseline(
    name: str, data: Dataset, *, images_per_class: int, judge: Judge | None = None
) -> None:
    """Raises what `baseline` raises, before any work."""
    if name in NEAREST:
        raise InputError(
            f"{name} is a classifier, not a set of images: take nearest_neighbour of the baseline "
            f"{NEAREST[name]!r}"
        )
    if name not in BASELINES:
        raise unknown_name("baseline", name, BASELINES)
    if images_per_class < 1:
        raise InputError(f"images_per_class must be 1 or more; got {images_per_class}")
    if name not in FIXED:
        check_per_class(data, images_per_class)
    if name == "optimised" and judge is None and not len(data.validation):
        raise InputError(
            "the best of random sets are found on validation images, and there are none: hold some "
            "out (validation_size), or give a judge"
        )


def nearest_neighbour(distilled: Distilled, data: Dataset) -> float:
    """The fraction of test images whose nearest image of the set is of their class.

    Nearest by the Euclidean distance, as the model takes images; an image of the set is of the
    class of its largest label.

    Raises:
        InputError: the set does not belong to the data, or there are no test images.
    """
    from sklearn.neighbors import KNeighborsClassifier

    check_match(distilled, data)
    check_not_empty(data.test)
    classifier = KNeighborsClassifier(1, algorithm="brute")
    classifier.fit(_rows(distilled.images), distilled.labels.argmax(axis=1))
    return float(classifier.score(_rows(data.test.images), data.test.labels))


def _of_class(
    name: str,
    images: Float[np.ndarray, "n *shape"],
    count: int,
    key: PRNGKeyArray,
    label: int,
) -> Float[np.ndarray, "count *shape"]:
    """What stands for the images of a class, in float64 or as they are."""
    rows = _rows(images)
    if name == "kcenter":
        return images[k_center(rows.astype(np.float64), count)]
    if name == "average":
        centres = rows.mean(axis=0, keepdims=True, dtype=np.float64)
    else:
        seed = int(numpy_generator(jax.random.fold_in(key, label)).integers(2**31))
        centres = k_means(rows, count, seed=seed)  # float32, in half the time
    return centres.reshape(-1, *images.shape[1:])


def _optimised(data: Dataset, images_per_class: int, key: PRNGKeyArray, judge: Judge) -> Distilled:
    draw_key, choice_key = jax.random.split(key)
    sets = [
        baseline("random", data, images_per_class=images_per_class, key=each)
        for each in jax.random.split(draw_key, _CANDIDATES)
    ]
    order = np.argsort([-judge(each) for each in sets], kind="stable")
    chosen = sets[order[int(numpy_generator(choice_key).integers(_BEST))]]
    seed = np.asarray(jax.random.key_data(key)).tolist()
    return replace(chosen, metadata=chosen.metadata | {"method": "optimised", "seed": seed})


def _ridge_judge(data: Dataset) -> Judge:
    kernel = FullyConnected(depth=1).kernel("ntk")
    # hundreds of images are too many for float32 and so small a ridge
    return lambda each: (
        measure(
            kernel, each.images, each.labels, data.validation, ridge=RIDGE, precision="float64"
        ).accuracy
    )


def _rows(images: Float[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n feature"]:
    return images.reshape(len(images), -1)
