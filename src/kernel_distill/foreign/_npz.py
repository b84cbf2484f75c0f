"""Arrays in an .npz: KIP's release (channels last), RFAD (channels first), and anybody's."""

import io
from pathlib import Path

import numpy as np

from kernel_distill._archive import check_archive
from kernel_distill._errors import InputError
from kernel_distill._npz import open_npz
from kernel_distill.foreign._content import Content
from kernel_distill.foreign._held import Held
from kernel_distill.foreign._names import Told, kip_name, told_by_name

_RIDGE, _SCALE = "jit", "k"  # what RFAD writes beside images and labels


def read_npz(path: Path) -> Held:
    """`images` and `labels`; of RFAD also its ridge.

    Raises:
        InputError: one of the two is missing, is pickled, or is larger than distilled sets are.
        DamagedFileError: the file is truncated, altered, or no .npz.
    """
    check_archive(path)
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


def kip_npz(content: Content) -> bytes:
    """The bytes of a file of KIP's release: `images` [s, h, w, c] and `labels` [s, class]."""
    buffer = io.BytesIO()
    np.savez(buffer, images=content.distilled.images, labels=content.distilled.labels)
    return buffer.getvalue()


def write_kip(content: Content, folder: Path) -> tuple[str, tuple[str, ...]]:
    """A file of KIP's release with the name that it would have there, and the natural images.

    Raises:
        InputError: the set is a table; images are preprocessed otherwise than names can tell; or
            the metadata do not tell the architecture or the step.
    """
    content.require_images("npz-kip")
    name = kip_name(_told(content))
    (folder / name).write_bytes(kip_npz(content))
    np.save(folder / "natural_images.npy", content.natural)
    return name, ()


def _told(content: Content) -> Told:
    metadata, preprocessing = content.metadata, content.preprocessing.name
    settings = metadata.get("settings", {})
    origin = told_by_name(metadata.get("origin", {}).get("file", ""))  # of one that was imported
    if preprocessing not in ("standardise", "zca"):
        raise InputError(
            "the names of KIP's release tell of images that are standardised (nozca) or whitened "
            f"(zca); this set has the preprocessing {preprocessing!r}, and would be taken for "
            "what it is not. Take another format."
        )
    step = metadata.get("step", origin.step)
    if "architecture" not in metadata or (step is None and content.method != "label-solve"):
        raise InputError(
            "the names of KIP's release tell the architecture and the step; the metadata of this "
            "set do not. Take another format."
        )
    return Told(
        method=content.method,
        preprocessing=preprocessing,
        architecture=metadata["architecture"]["name"],
        support_size=len(content.distilled),
        labels_learned=content.labels_learned,
        augmented=bool(settings.get("augment") or origin.augmented),
        step=step,
    )
