"""Whether a distilled set belongs to the data that networks are to be tested on."""

from kernel_distill._errors import InputError
from kernel_distill.artefact import Distilled
from kernel_distill.data import Dataset
from kernel_distill.evaluation import check_preprocessing


def check_match(distilled: Distilled, data: Dataset) -> None:
    """Raises InputError unless the distilled set belongs to the data."""
    if "fingerprint" not in distilled.metadata.get("preprocessing", {}):
        raise InputError(
            "the distilled set does not say how its images were preprocessed, and without that a "
            "network learns them and fails on every test image: take a set whose metadata have "
            "'preprocessing', or read it in with its preprocessing named"
        )
    if distilled.images.shape[1:] != data.image_shape:
        raise InputError(
            f"distilled images and those of {data.name} must have the same size and channels; got "
            f"{list(distilled.images.shape[1:])} and {list(data.image_shape)}: give the data set "
            "that the distilled set was made from"
        )
    if distilled.labels.shape[1] != data.num_classes:
        raise InputError(
            f"the distilled labels and {data.name} must have the same classes; got "
            f"{distilled.labels.shape[1]} and {data.num_classes}: give the data set that the "
            "distilled set was made from"
        )
    check_preprocessing(distilled, data.test)
