"""The steps of preprocessing: each is fitted on training images, applied, and undone for viewing.

All take and give blocks of images as [n, *shape] in float64.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32

from kernel_distill._errors import InputError
from kernel_distill.data._memory import require_memory

Blocks = Callable[[], Iterable[Float[np.ndarray, "n *shape"]]]
"""Called, it yields the training images block by block; a step may read them more than once."""

_NOTHING = 1e-7  # relative to the values: what float32 images cannot tell from no variation at all


@runtime_checkable
class Step(Protocol):
    """What a preprocessing is composed of."""

    def apply(self, images: Float[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n *shape"]: ...

    def undo(self, images: Float[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n *shape"]: ...


@dataclass(frozen=True, eq=False)
class Standardise:
    """Each channel (the last axis: of tables, each feature) to mean 0 and standard deviation 1.

    A channel without variation is only shifted.
    """

    mean: Float[np.ndarray, "channel"]
    std: Float[np.ndarray, "channel"]

    @classmethod
    def fit(cls, blocks: Blocks) -> "Standardise":
        mean = _channel_mean(blocks())
        std = np.sqrt(_channel_mean((block - mean) ** 2 for block in blocks()))
        return cls(mean, np.where(std > _NOTHING * np.abs(mean), std, 1.0))

    def apply(self, images: Float[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n *shape"]:
        return (images - self.mean) / self.std

    def undo(self, images: Float[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n *shape"]:
        return images * self.std + self.mean


@dataclass(frozen=True, eq=False)
class UnitNorm:
    """Each image less its own mean (over all pixels and channels), scaled to norm 1.

    A constant image becomes zero. Undone, every image gets the training set's average mean and
    norm, since its own are lost.
    """

    average_mean: float
    average_norm: float

    @classmethod
    def fit(cls, blocks: Blocks) -> "UnitNorm":
        total, sum_of_means, sum_of_norms = 0, 0.0, 0.0
        for block in blocks():
            mean = block.reshape(len(block), -1).mean(1)
            total += len(block)
            sum_of_means += mean.sum()
            sum_of_norms += np.linalg.norm(_rows(block) - mean[:, None], axis=1).sum()
        return cls(float(sum_of_means / total), float(sum_of_norms / total))

    def apply(self, images: Float[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n *shape"]:
        rows = _rows(images)
        centred = rows - rows.mean(1, keepdims=True)
        norm = np.linalg.norm(centred, axis=1, keepdims=True)
        something = norm > _NOTHING * np.linalg.norm(rows, axis=1, keepdims=True)
        return np.where(something, centred / np.where(something, norm, 1), 0).reshape(images.shape)

    def undo(self, images: Float[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n *shape"]:
        return self.apply(images) * self.average_norm + self.average_mean


@dataclass(frozen=True, eq=False)
class Whiten:
    """Regularised ZCA: images times (C + regularisation * trace(C)/d * I)^(-1/2).

    C = X^T X / n is the second moment of the training images, flattened to d numbers; not centred.

    Attributes:
        matrix: symmetric, float32; None where an artefact was loaded without it.

    Source: [KIPConv], section on experimental details; the authors' notebook dataset.ipynb.
    """

    matrix: Float32[np.ndarray, "d d"] | None

    @classmethod
    def fit(cls, blocks: Blocks, *, regularisation: float) -> "Whiten":
        """Fit in float64; the d x d eigendecomposition takes d^3 time (some 20 s for 3072)."""
        import scipy.linalg

        total, moment = 0, np.zeros(())
        for block in blocks():
            rows = _rows(block)
            if total == 0:  # three d x d matrices in float64 are alive in the decomposition
                require_memory(
                    24 * rows.shape[1] ** 2,
                    what=f"whitening of images with {rows.shape[1]} numbers",
                    remedy="Make the images smaller with image_size, or take 'standardise'.",
                )
            total += len(rows)
            moment = moment + rows.T @ rows
        moment /= total
        scale = np.trace(moment) / len(moment)
        if scale == 0:
            raise InputError(
                "whitening needs images that are not constant; every training image "
                "has one value only. Take preprocessing='none'."
            )
        values, vectors = scipy.linalg.eigh(
            moment, driver="evd", overwrite_a=True, check_finite=False
        )
        # rounding leaves eigenvalues that are zero slightly negative
        inverse_root = (np.maximum(values, 0) + regularisation * scale) ** -0.5
        return cls(((vectors * inverse_root) @ vectors.T).astype(np.float32))

    def apply(self, images: Float[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n *shape"]:
        whitened = _rows(images).astype(np.float32) @ self._known()
        return whitened.astype(np.float64).reshape(images.shape)

    def undo(self, images: Float[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n *shape"]:
        solved = np.linalg.solve(self._known().astype(np.float64), _rows(images).T)
        return solved.T.reshape(images.shape)

    def _known(self) -> Float32[np.ndarray, "d d"]:
        if self.matrix is None:
            raise InputError(
                "this preprocessing needs its whitening matrix, which is not in the artefact. "
                "Give preprocessing.npz from the same run's folder, or load the data set with the "
                "same settings, which fits it again."
            )
        return self.matrix


def _rows(images: Float[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n d"]:
    return images.reshape(len(images), -1)


def _channel_mean(blocks: Iterable[Float[np.ndarray, "n *shape"]]) -> Float[np.ndarray, "channel"]:
    count, total = 0, np.zeros(())
    for block in blocks:
        pixels = block.reshape(-1, block.shape[-1])
        count += len(pixels)
        total = total + pixels.sum(0)
    return total / count
