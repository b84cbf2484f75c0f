"""Arrays in an .npz: KIP's release (channels last), RFAD (channels first), and anybody's."""

from pathlib import Path

import numpy as np

from kernel_distill._errors import InputError
from kernel_distill._npz import open_npz
from kernel_distill.foreign._held import Held, check_size

_RIDGE, _SCALE = "jit", "k"  # what RFAD writes beside images and labels


def read_npz(path: Path) -> Held:
    """`images` and `labels`; of RFAD also its ridge.

    Raises:
        InputError: one of the two is missing, is pickled, or is larger than distilled sets are.
        DamagedFileError: the file is truncated, altered, or no .npz.
    """
    check_size(path)
    instead = "Save it again from where you trust it, with numeric arrays only."
    with open_npz(path, instead=instead) as opened:
        names = set(opened.files)
        arrays = {name: opened[name] for name in names & {"images", "labels", _RIDGE}}
    if missing := {"images", "labels"} - names:
        raise InputError(
            f"a distilled set in an .npz must have the arrays images and labels; {path} lacks "
            f"{', '.join(sorted(missing))} and holds {', '.join(sorted(names)) or 'nothing'}. "
            "Save it again with these names: numpy.savez(path, images=images, labels=labels)."
        )
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # NumPy hands on the bytes of what is no .npy
            raise InputError(
                f"{name} in {path} must be an array; it is no .npy. Save it again with "
                "numpy.savez(path, images=images, labels=labels)."
            )
    images, labels = arrays["images"], arrays["labels"]
    if {_RIDGE, _SCALE} <= names and arrays[_RIDGE].size == 1:
        # its own evaluation is that of a ConvNet without KIP's first layer
        return Held(
            images,
            labels,
            "RFAD's .npz",
            method="rfad",
            architecture="convnet3",
            kernel="nngp",
            ridge=float(arrays[_RIDGE].item()),
        )
    return Held(images, labels, "an .npz")
