"""How well a distilled set teaches: the accuracy of kernel ridge regression on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from kernel_distill._errors import InputError
from kernel_distill.artefact import Distilled
from kernel_distill.data import Split, one_hot
from kernel_distill.kernels import Kernel, RidgeRegression, Rows, from_metadata, ridge_regression

Precision = Literal["float32", "float64"]
Images = Float[np.ndarray, "n *shape"]

RIDGE = 1e-6
"""The papers', in proportion to the mean of the kernel's diagonal."""


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured.

    Attributes:
        accuracy: the fraction of images whose largest prediction is their class.
        loss: 0.5 times the mean squared error against the centred labels (one-hot minus 1/C).
        predictions: [n, class].
    """

    accuracy: float
    loss: float
    predictions: Float[np.ndarray, "n class"]


def evaluate(distilled: Distilled, split: Split, *, kernel: Kernel | None = None) -> Evaluation:
    """Accuracy of kernel ridge regression on a distilled set.

    Args:
        distilled: what to learn from.
        split: what to predict, preprocessed as the distilled set was.
        kernel: by default the one that the set was distilled with (of several, the first). The
            ridge and the precision are those of the distillation in any case; 1e-6 and float64
            where the artefact names none, as those of other methods.

    Raises:
        InputError: the split's preprocessing is not that of the distilled set, or the split
            is empty; or the artefact names no kernel that can be built from a file.
        NumericalError: the solve is not finite.
    """
    check_preprocessing(distilled, split)
    if kernel is None:
        if "architecture" not in distilled.metadata:
            raise InputError(
                "the artefact names no architecture, as it was not distilled with a kernel: pass "
                "one as kernel="
            )
        kernel = from_metadata(distilled.metadata["architecture"]).kernel(
            distilled.metadata["kernel"]
        )
    return measure(
        kernel,
        distilled.images,
        distilled.labels,
        split,
        ridge=distilled.metadata.get("ridge", RIDGE),
        precision=distilled.metadata.get("settings", {}).get("precision", "float64"),
    )


def check_preprocessing(distilled: Distilled, split: Split) -> None:
    """Raises InputError unless a split was preprocessed as the distilled set was."""
    expected = distilled.metadata["preprocessing"]["fingerprint"]
    if split.fingerprint != expected:
        raise InputError(
            f"the distilled set was made with preprocessing {expected}, the split has "
            f"{split.fingerprint}: load the data set with the settings that the artefact's "
            "metadata give under 'preprocessing'"
        )


def check_not_empty(split: Split) -> None:
    """Raises InputError where there is nothing to evaluate on."""
    if len(split) == 0:
        raise InputError("there is nothing to evaluate on: the split is empty")


def measure(
    kernel: Kernel,
    support_images: Float[np.ndarray, "s *shape"] | Float[Array, "s *shape"],
    support_labels: Float[np.ndarray, "s class"] | Float[Array, "s class"],
    split: Split,
    *,
    ridge: float,
    precision: Precision = "float32",
) -> Evaluation:
    """`evaluate` for a support that is no artefact (yet).

    Raises:
        InputError: the split is empty.
        NumericalError: the solve is not finite.
    """
    (evaluation,) = measure_labels(
        kernel, support_images, (support_labels,), split, ridge=ridge, precision=precision
    )
    return evaluation


def measure_labels(
    kernel: Kernel,
    support_images: Float[np.ndarray, "s *shape"] | Float[Array, "s *shape"],
    several: Sequence[Float[np.ndarray, "s class"] | Float[Array, "s class"]],
    split: Split,
    *,
    ridge: float,
    precision: Precision = "float32",
) -> list[Evaluation]:
    """`measure` for the same images with several labels: their kernel is computed once.

    Raises:
        InputError: the split is empty.
        NumericalError: the solve is not finite.
    """
    check_not_empty(split)
    with jax.enable_x64(True):
        support = jnp.asarray(support_images, precision)
        labels = jnp.concatenate([jnp.asarray(each) for each in several], axis=1)
        regression = ridge_regression(kernel(support), labels, ridge=ridge)
        predictions = _predictions(kernel, regression, support, split.images, precision)
    return [_judged(each, split) for each in np.split(predictions, len(several), axis=1)]


def _judged(predictions: Float[np.ndarray, "n class"], split: Split) -> Evaluation:
    difference = predictions - one_hot(split.labels, split.num_classes)
    return Evaluation(
        accuracy=float(np.mean(predictions.argmax(axis=1) == split.labels)),
        loss=0.5 * float(np.mean(difference**2)),
        predictions=predictions,
    )


def _blocks(images: Images, *, rows: int = 2000) -> list[Float[np.ndarray, "rows *shape"]]:
    """Blocks of one size, so that one compilation serves them; the last is padded by repeats."""
    rows = min(rows, len(images))
    starts = range(0, len(images), rows)
    return [
        images[start : start + rows]
        if start + rows <= len(images)
        else images[np.minimum(np.arange(start, start + rows), len(images) - 1)]
        for start in starts
    ]


def _predictions(
    kernel: Kernel,
    regression: RidgeRegression,
    support: Array,
    images: Images,
    precision: Precision,
) -> Float[np.ndarray, "n class"]:
    if not kernel.traceable:  # a pool divides the rows itself, and has the images already
        rows = Rows(images, np.arange(len(images))).astype(precision)
        return np.asarray(_prediction(kernel, regression, support, rows))
    blocks = _blocks(np.asarray(images, precision))
    predictions = [_predict(kernel, regression, support, block) for block in blocks]
    return np.concatenate(predictions)[: len(images)]


def _predict(
    kernel: Kernel, regression: RidgeRegression, support: Array, images: Images
) -> Float[np.ndarray, "n class"]:
    return np.asarray(_jitted_prediction(kernel, regression, support, images))


def _prediction(
    kernel: Kernel, regression: RidgeRegression, support: Array, images: Array | Images | Rows
) -> Array:
    return kernel.whole(regression.predict(kernel(images, support)))


_jitted_prediction = jax.jit(_prediction)
