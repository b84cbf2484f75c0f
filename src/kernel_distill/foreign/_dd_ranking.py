"""DD-Ranking's files: a tensor of images and one of labels, which its evaluators take."""

from pathlib import Path

import numpy as np

from kernel_distill.foreign._content import Content, channels_first
from kernel_distill.foreign._held import Held
from kernel_distill.foreign._scales import DC
from kernel_distill.foreign._torch import array_of, pickled, unpickled

_IMAGES, _LABELS, _MODEL, _NATURAL = (
    f"{name}.pt" for name in ("images", "labels", "model_images", "natural_images")
)
_LOSS = (
    "The labels are targets of a regression by mean squared error, not logits: take "
    "soft_label_criterion 'mse_gt' with mse_weight 1 and ce_weight 0; 'sce' and 'kl' take the "
    "softmax of labels, which of these is nearly uniform."
)


def is_dd_ranking(path: Path) -> bool:
    """Whether a folder holds images.pt and labels.pt."""
    return all((path / name).is_file() for name in (_IMAGES, _LABELS))


def read_dd_ranking(path: Path, *, own: bool) -> Held:
    """images.pt [s, c, h, w] and labels.pt, classes [s] or soft labels [s, class].

    Args:
        path: the folder.
        own: take the images that the export began with, which are there beside the others.

    Raises:
        MissingExtraError: torch is not installed.
        InputError, DamagedFileError: as `unpickled`; or they are no tensors.
    """
    images, labels = (
        array_of(unpickled(path / name, layout="torch.save(tensor, path)"), path / name)
        for name in (_MODEL if own else _IMAGES, _LABELS)
    )
    return Held(images, labels, "a folder of DD-Ranking")


def write_dd_ranking(content: Content, folder: Path) -> tuple[str, tuple[str, ...]]:
    """images.pt float32 [s, c, h, w] and labels.pt float32 [s, class], class by class.

    The images are standardised as DD-Ranking does its own. Its evaluators take the classes from the
    order: as many images of each, the first class first. Beside them are `model_images.pt` and
    `natural_images.pt` (uint8).

    Raises:
        InputError: the set is a table, or has not as many images of each class.
    """
    content.require_images("dd-ranking")
    content.per_class("dd-ranking")
    content = content.in_classes()
    images, notes = content.standardised(DC)
    tensors: dict[str, np.ndarray] = {
        _IMAGES: channels_first(images),
        _LABELS: content.distilled.labels,
        _MODEL: channels_first(content.distilled.images),
        _NATURAL: channels_first(content.natural),
    }
    for name, tensor in tensors.items():
        (folder / name).write_bytes(pickled(tensor))
    return ".", (*notes, _LOSS)
