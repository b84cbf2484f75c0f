"""Arrays in an .npz file."""

from pathlib import Path

import numpy as np

from kernel_distill._errors import InputError
from kernel_distill._npz import open_npz
from kernel_distill.data._source import Raw

_REQUIRED = ("images", "labels")
_OPTIONAL = ("test_images", "test_labels", "class_names")


def read_npz(path: Path) -> Raw:
    """`images`, `labels`, and if there are any `test_images`, `test_labels`, `class_names`.

    Raises:
        InputError: an array is missing, or a member is pickled (it would run code when read).
        DamagedFileError: the file is truncated, altered, or no .npz at all.
    """
    instead = "Save plain arrays: numbers, and labels as integers or str (not dtype=object)."
    with open_npz(path, instead=instead) as opened:
        if isinstance(opened, np.ndarray):
            raise InputError(f"{path} must be an .npz file; got a single array (.npy).")
        missing = [name for name in _REQUIRED if name not in opened.files]
        if missing:
            raise InputError(
                f"{path} must hold the arrays 'images' and 'labels' (and may hold "
                f"{', '.join(map(repr, _OPTIONAL))}); got {sorted(opened.files)}. Save it with "
                "numpy.savez_compressed(path, images=images, labels=labels)."
            )
        present = (name for name in (*_REQUIRED, *_OPTIONAL) if name in opened.files)
        arrays = {name: opened[name] for name in present}
    class_names = arrays.get("class_names")
    return Raw(
        name=path.stem,
        version=None,
        train_images=arrays["images"],
        train_labels=arrays["labels"],
        test_images=arrays.get("test_images"),
        test_labels=arrays.get("test_labels"),
        class_names=None if class_names is None else [str(name) for name in class_names],
        place=f"{path}: ",
    )
