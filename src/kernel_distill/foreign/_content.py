"""A distilled set as those that write it for other tools take it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, UInt8

from kernel_distill._errors import InputError
from kernel_distill.artefact import Distilled
from kernel_distill.data import Preprocessing, one_hot
from kernel_distill.foreign._description import description
from kernel_distill.foreign._scales import Constants

HARD = (
    "The labels are the classes alone: what each image teaches of the others, as it was learned, "
    "does not go into them."
)


@dataclass(frozen=True, eq=False)
class Content:
    """A distilled set, checked, in the forms in which tools want it.

    Attributes:
        distilled: the set.
        preprocessing: that its images went through.

    Raises:
        InputError: the metadata lack what an export tells, or have not as many different class
            names as the labels have classes.
    """

    distilled: Distilled
    preprocessing: Preprocessing

    def __post_init__(self) -> None:
        dataset = self.metadata.get("dataset", {})
        if not {"name", "class_names"} <= dataset.keys():
            raise InputError(
                "to be exported, a distilled set must tell what it was made from: the metadata "
                "need 'dataset' with 'name' and 'class_names'. The format npz asks for nothing."
            )
        if len(set(self.class_names)) < len(self.class_names):
            raise InputError(
                f"class names must differ from each other; got {self.class_names}. Correct the "
                "metadata."
            )
        columns = self.distilled.labels.shape[1]
        if len(self.class_names) != columns:
            raise InputError(
                f"every class needs a name: the labels have {columns} classes; got "
                f"{len(self.class_names)} names in metadata['dataset']['class_names']. Correct "
                "the metadata."
            )

    @property
    def metadata(self) -> dict[str, Any]:
        return self.distilled.metadata

    @property
    def method(self) -> str:
        return self.metadata.get("method", "foreign")

    @property
    def dataset(self) -> str:
        return self.metadata["dataset"]["name"]

    @property
    def class_names(self) -> list[str]:
        return self.metadata["dataset"]["class_names"]

    @cached_property
    def classes(self) -> Int[np.ndarray, "s"]:
        """The class of each image: the largest entry of its label."""
        return self.distilled.labels.argmax(axis=1)

    @cached_property
    def labels_learned(self) -> bool:
        """Whether the labels are more than the classes."""
        columns = self.distilled.labels.shape[1]
        return not np.array_equal(self.distilled.labels, one_hot(self.classes, columns))

    @cached_property
    def natural(self) -> UInt8[np.ndarray, "s h w c"]:
        """The images on natural scale, whitening undone."""
        viewed = self.preprocessing.invert_for_viewing(self.distilled.images)
        return np.rint(255 * viewed).astype(np.uint8)

    @property
    def whitened(self) -> bool:
        return self.preprocessing.name in ("zca", "whiten")

    @property
    def accuracy(self) -> float | None:
        """On the test set, a fraction; None where nobody measured it."""
        return self.metadata.get("metrics", {}).get("test_accuracy")

    def in_classes(self) -> "Content":
        """The same set, all images of a class after each other."""
        order = np.argsort(self.classes, kind="stable")
        images, labels = self.distilled.images[order], self.distilled.labels[order]
        return replace(self, distilled=replace(self.distilled, images=images, labels=labels))

    def standardised(
        self, constants: Mapping[str, Constants]
    ) -> tuple[Float32[np.ndarray, "s h w c"], tuple[str, ...]]:
        """The images as a tool standardises those that it tests on, and what that did to them.

        Args:
            constants: the tool's, by data set. Of another data set the tool knows nothing, and its
                own mean and deviation are taken.
        """
        natural = self.preprocessing.invert(self.distilled.images)
        own = self.preprocessing.to_metadata()
        mean, std = constants.get(self.dataset) or (own.get("mean", 0.0), own.get("std", 1.0))
        notes = [f"The images are standardised by mean {_text(mean)} and deviation {_text(std)}."]
        if self.whitened:
            notes.append(
                "Their whitening is undone, since the tool tests on images that are not whitened; "
                "each has the training set's average mean and norm, and may teach less. Those that "
                "are whitened are in model_images."
            )
        scaled = (natural - np.array(mean)) / np.array(std)
        return scaled.astype(np.float32), tuple(notes)

    def per_class(self, form: str) -> int:
        """How many images there are of each class.

        Args:
            form: the format's name, for messages.

        Raises:
            InputError: of one class more than of another.
        """
        counts = np.bincount(self.classes, minlength=len(self.class_names))
        if len(set(counts.tolist())) > 1:
            raise InputError(
                f"{form} takes sets with as many images of each class as of any other, by the "
                f"largest entry of their labels; got {counts.tolist()[:20]}. Distil with "
                "--images-per-class, or take another format."
            )
        return int(counts[0])

    def require_images(self, form: str, *, channels: Sequence[int] = ()) -> None:
        """Raise `InputError` for a table, or for images that the format has no colours for."""
        shape = self.distilled.images.shape[1:]
        if len(shape) != 3 or (channels and shape[-1] not in channels):
            allowed = f" with {' or '.join(map(str, channels))} channels" if channels else ""
            raise InputError(
                f"{form} takes images [height, width, channel]{allowed}; this set has "
                f"{list(shape)}. Take the format npz, which holds any."
            )

    def describe(self, *, form: str, main: str, notes: Sequence[str], files: Sequence[str]) -> str:
        """As `description`, of this set."""
        return description(self.metadata, form=form, main=main, notes=notes, files=files)


def channels_first(
    images: Float32[np.ndarray, "s h w c"] | UInt8[np.ndarray, "s h w c"],
) -> Float32[np.ndarray, "s c h w"] | UInt8[np.ndarray, "s c h w"]:
    """As torch has them, in memory of their own."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _text(numbers: Any) -> str:
    return ", ".join(f"{number:.4f}" for number in np.atleast_1d(numbers))
