"""What every other part receives: a data set in three parts, preprocessed."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from kernel_distill.data._preprocessing import Preprocessing
from kernel_distill.data._source import content_hash


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set (training, validation or test), preprocessed.

    Attributes:
        images: float32, as the model takes them: [n, height, width, channel] or [n, feature].
        labels: int32 in [0, num_classes).
        num_classes: the data set's number of classes, whether or not each occurs in this part.
        fingerprint: of the preprocessing's recipe; data of another fingerprint do not belong
            together.
    """

    images: Float[np.ndarray, "n *shape"]
    labels: Int[np.ndarray, "n"]
    num_classes: int
    fingerprint: str

    @functools.cached_property
    def content_hash(self) -> str:
        """Of images and labels; the fingerprint is that of the training set they belong to."""
        return content_hash(self.images, self.labels)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"Split(images: float32 {list(self.images.shape)}, {self.num_classes} classes)"


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set, split and preprocessed.

    Attributes:
        name: of the data set, or of the file or folder it came from.
        version: TensorFlow Datasets' version; for a user's own data `sha256:` and the beginning of
            the hash of the training data.
        class_names: in the order of the labels.
        train: what is trained on; the validation images are not in it.
        validation: held out of the training set; empty for `validation_size=0`.
        test: touched once, at the end.
        preprocessing: takes natural images to the model's and back.
        test_held_out: whether the data came without a test set, so that `test` was held out of the
            training set.
        split_seed: the seed that chose the validation images.
    """

    name: str
    version: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    preprocessing: Preprocessing
    test_held_out: bool
    split_seed: int

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name} {self.version}: {len(self.train)} train, "
            f"{len(self.validation)} validation, {len(self.test)} test; "
            f"{list(self.image_shape)}, {self.num_classes} classes, {self.preprocessing.name})"
        )

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(height, width, channel), or (feature,) for tables."""
        return self.train.images.shape[1:]

    def to_metadata(self) -> dict[str, Any]:
        """What an artefact says of the data set it was made from; goes into JSON."""
        return {
            "name": self.name,
            "version": self.version,
            "class_names": list(self.class_names),
            "image_shape": list(self.image_shape),
            "num_classes": self.num_classes,
            "train_size": len(self.train),
            "validation_size": len(self.validation),
            "test_size": len(self.test),
            "test_held_out": self.test_held_out,
            "split_seed": self.split_seed,
        }
