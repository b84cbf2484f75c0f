"""A set that was exported from here becomes what it was, as far as its format holds that."""

from pathlib import Path
from typing import Any

import numpy as np

from kernel_distill._errors import InputError
from kernel_distill.artefact import Distilled
from kernel_distill.data import LABEL_CONVENTION, Dataset, one_hot
from kernel_distill.foreign._finite import finite
from kernel_distill.foreign._held import Held
from kernel_distill.foreign._labels import CLASSES

AS_THEY_WERE = "they were exported"


def check_told(path: Path, metadata: dict[str, Any], preprocessing: str | None) -> None:
    """Raise `InputError` where the user says another preprocessing than the metadata."""
    name = metadata["preprocessing"]["recipe"]["preprocessing"]
    if preprocessing not in (None, name):
        raise InputError(
            f"the images of {path} are preprocessed by {name!r}, as its metadata say; got "
            f"preprocessing={preprocessing!r}. Leave that out."
        )


def restored(path: Path, held: Held, metadata: dict[str, Any], dataset: Dataset) -> Distilled:
    """The distilled set, with the metadata that it had, and `origin`: where it was in between.

    Args:
        path: where it was read from.
        held: what is there; images have the channels last.
        metadata: that were exported with it.
        dataset: the data set that it was distilled from.

    Raises:
        InputError: the data set is another one, or was preprocessed otherwise; the arrays are not
            of its shapes, or not finite.
    """
    fingerprint = metadata["preprocessing"].get("fingerprint")
    if fingerprint != dataset.preprocessing.fingerprint:
        raise InputError(
            f"{path} goes with data of the fingerprint {fingerprint}; {dataset.name}, as it was "
            f"loaded, has {dataset.preprocessing.fingerprint}: another data set, version, split or "
            "preprocessing. Load it with foreign.load_data(path)."
        )
    images, labels, written = held.images, held.labels, AS_THEY_WERE
    exact = images.dtype == np.float32
    if images.dtype == np.uint8:
        images = dataset.preprocessing.apply(images)
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        labels, written = one_hot(labels.astype(np.int64), dataset.num_classes), CLASSES
    if labels.shape[1:] != (dataset.num_classes,):
        raise InputError(
            f"labels must be [n, {dataset.num_classes}], a column for each class of "
            f"{dataset.name}; {path} has {list(labels.shape)}. Take another copy of it."
        )
    kept = {key: value for key, value in metadata.items() if key != "export"}
    if not (exact and written == AS_THEY_WERE):
        kept.pop("metrics", None)  # they were measured on what it was before
    origin = {
        "file": path.resolve().name,
        "layout": f"{held.layout}, exported as {metadata['export']['format']}",
        "preprocessing": dataset.preprocessing.name,
        "labels": written,
        "sets": 1,
        "index": 0,
    }
    if "origin" in kept:
        origin["before"] = kept["origin"]
    kept |= {"origin": origin}
    if written == CLASSES:
        kept |= {"label_convention": LABEL_CONVENTION}
    images, labels = (
        finite(images, name="images", path=path),
        finite(labels, name="labels", path=path),
    )
    return Distilled(np.ascontiguousarray(images), labels, kept)
