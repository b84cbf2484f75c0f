"""How the images of others are preprocessed: a name that the file or the user gives, never a guess.

A wrong one yields 10 % on ten classes, without any error.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped

from kernel_distill import data
from kernel_distill._errors import InputError, unknown_name
from kernel_distill.data import Dataset
from kernel_distill.foreign._finite import finite
from kernel_distill.foreign._names import Told
from kernel_distill.foreign._scales import natural

PREPROCESSINGS = (*data.PREPROCESSINGS, "dc")


def which(path: Path, told: Told, given: str | None) -> str:
    """The preprocessing's name: what the file's name tells, or what the user gives.

    Raises:
        UnknownNameError: no preprocessing is called so.
        InputError: nobody tells, or the two differ.
    """
    if given is not None and given not in PREPROCESSINGS:
        raise unknown_name("preprocessing", given, PREPROCESSINGS)
    name = given or told.preprocessing
    if name is None:
        raise InputError(
            f"{path} does not tell how its images are preprocessed, and a wrong guess would yield "
            "mere chance. Say it as preprocessing (on the command line --preprocessing): "
            "'standardise' (each channel by its mean and deviation over the training images), "
            "'dc' (by the constants of DC, DSA and DM), 'zca' (KIP's whitening), 'whiten' (RFAD's, "
            "of CIFAR), 'none' (images in [0, 1]). Images of 8 bits are natural ones, and get the "
            "one that is said."
        )
    if told.preprocessing not in (None, name):
        raise InputError(
            f"the name of {path.name} tells of the preprocessing {told.preprocessing!r}; got "
            f"{given!r}. Leave it out; or rename the file, if its name is wrong."
        )
    return name


def setting_of(name: str) -> str:
    """The setting `preprocessing` of the data set that goes with images preprocessed by `name`."""
    return "standardise" if name == "dc" else name


def to_model(
    images: Shaped[np.ndarray, "n *shape"], *, name: str, dataset: Dataset, path: Path
) -> Float32[np.ndarray, "n *shape"]:
    """The images as the data set's own are: natural ones preprocessed, DC's brought to its scale.

    Raises:
        InputError: neither uint8 nor finite floats; floats that are natural images although a
            preprocessing is named; "dc" of a data set whose constants are not known.
    """
    if images.dtype == np.uint8:
        return dataset.preprocessing.apply(images)
    if images.dtype.kind != "f":
        raise InputError(
            f"images must be uint8 (natural ones) or floats (preprocessed); {path} has "
            f"{images.dtype}. Save them again as such."
        )
    if name != "none" and images.min() >= 0:
        raise InputError(
            f"images preprocessed by {name!r} have negative numbers; those of {path} go from "
            f"{images.min():.3g} to {images.max():.3g}, as natural ones do. If they are in [0, 1], "
            "the preprocessing is 'none'."
        )
    images = finite(images, name="images", path=path)
    return dataset.preprocessing.apply(natural(images, dataset.name)) if name == "dc" else images
