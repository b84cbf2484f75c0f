"""The .pt of DC, DSA and DM, `{"data": [[images, labels], ...]}`, and DC-BENCH's folder of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kernel_distill._errors import InputError
from kernel_distill._files import write_atomically
from kernel_distill.foreign._content import HARD, Content, channels_first
from kernel_distill.foreign._description import parsed
from kernel_distill.foreign._held import Held
from kernel_distill.foreign._names import Told, dc_dataset, dc_method, dc_name, kip_name
from kernel_distill.foreign._npz import kip_npz
from kernel_distill.foreign._scales import DC, DC_BENCH, Constants
from kernel_distill.foreign._torch import array_of, pickled, unpickled

_LAYOUT = '{"data": [[images, labels], ...]}'
_OWN = _MODEL, _SOFT = "model_images", "soft_labels"  # added here; their programs look away
_METADATA = "metadata"

# justincui03/dc_benchmark, data_loader/kip_data_loader.py: by data set the architecture in the one
# name that it looks for
_KIP_LOADER = {"cifar10": "convnet3", "cifar100": "convnet"}


def read_dc(path: Path, *, index: int, own: bool) -> Held:
    """One of the sets in a file `{"data": [[images, labels], ...]}`.

    Args:
        path: the file.
        index: which of the sets, from 0: the authors save one a repetition.
        own: take the images and labels that an export began with.

    Raises:
        MissingExtraError: torch is not installed.
        InputError: the file holds other objects, has another layout, no such set, or is larger
            than distilled sets are.
        DamagedFileError: it is truncated, altered, or no file of torch's.
    """
    content = unpickled(path, layout=_LAYOUT)
    sets = content.get("data") if isinstance(content, dict) else None
    if not isinstance(sets, list) or not sets:
        raise InputError(f"{path} must hold {_LAYOUT}, as DC, DSA and DM do; got {_kind(content)}.")
    if not 0 <= index < len(sets):
        raise InputError(
            f"{path} holds {len(sets)} sets, numbered from 0 to {len(sets) - 1}; got {index}."
        )
    pair = [content.get(name) for name in _OWN] if own else sets[index]
    if not isinstance(pair, list | tuple) or len(pair) < 2:
        raise InputError(
            f"{path} must hold {_LAYOUT}, as DC, DSA and DM do; got data[{index}], {_kind(pair)}."
        )
    images, labels = (array_of(tensor, path) for tensor in pair[:2])
    return Held(images, labels, "a .pt of DC, DSA or DM", number=len(sets))


def exported_metadata(path: Path) -> dict[str, Any] | None:
    """The metadata in a file that was exported from here; None in one of others.

    Raises:
        MissingExtraError, InputError, DamagedFileError: as `unpickled`; or they are not whole.
    """
    content = unpickled(path, layout=_LAYOUT)
    metadata = content.get(_METADATA) if isinstance(content, dict) else None
    return None if metadata is None else parsed(metadata, path)


def write_dc(content: Content, path: Path) -> tuple[str, ...]:
    """A file as DC, DSA and DM save it, images [s, c, h, w] class by class, labels int64 [s].

    The images are standardised as they standardise theirs. Beside `data`, which is all that their
    programs look at, it holds `model_images`, `natural_images` (uint8), `soft_labels` and
    `metadata`.

    Raises:
        InputError: the set is a table.
        StorageError: the file could not be written.
    """
    content.require_images("dc")
    data, notes = _pt(content, form="dc", main=path.name, constants=DC)
    write_atomically(path, data)
    return notes


def write_dc_bench(content: Content, folder: Path) -> tuple[str, tuple[str, ...]]:
    """DC-BENCH's folder METHOD/DATASET/IPCn/ with a file as of DC, by its loader's constants.

    Whitened sets of CIFAR are there also as its loader of KIP's release wants them, by the one name
    that it looks for.

    Raises:
        InputError: the set is a table, or has not as many images of each class.
    """
    content.require_images("dc-bench")
    per_class = content.per_class("dc-bench")
    method, dataset = dc_method(content.method), dc_dataset(content.dataset)
    place = folder / method / dataset / f"IPC{per_class}"
    place.mkdir(parents=True)
    name = dc_name(content.method, content.dataset, per_class)
    data, notes = _pt(content, form="dc-bench", main=name, constants=DC_BENCH)
    (place / name).write_bytes(data)
    if content.preprocessing.name == "zca" and method == "KIP" and content.dataset in _KIP_LOADER:
        told = Told(
            method="kip",
            preprocessing="zca",
            architecture=_KIP_LOADER[content.dataset],
            support_size=len(content.distilled),
            labels_learned=False,
            augmented=False,
            step=1000,
        )
        loaded = f"kip_{content.dataset}_{kip_name(told)}"
        (place / loaded).write_bytes(kip_npz(content))
        notes += (
            f"Its --method kip looks for {loaded} alone: that file has the whitened images and the "
            "labels of this set, whatever else its name says.",
        )
    else:
        notes += (
            f"DC-BENCH learns of a new method by its docs/new_method.md: with {method} in place of "
            "DC, its DCDataLoader reads this folder.",
        )
    return (place / name).relative_to(folder).as_posix(), notes


def _pt(
    content: Content, *, form: str, main: str, constants: Mapping[str, Constants]
) -> tuple[bytes, tuple[str, ...]]:
    content = content.in_classes()
    images, notes = content.standardised(constants)
    if content.labels_learned:
        notes += (HARD + " They are in soft_labels.",)
    value = {
        "data": [[channels_first(images), content.classes.astype(np.int64)]],
        _MODEL: channels_first(content.distilled.images),
        "natural_images": channels_first(content.natural),
        _SOFT: content.distilled.labels,
        _METADATA: content.describe(form=form, main=main, notes=notes, files=[main]),
    }
    return pickled(value), notes


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(repr, value)) or 'nothing'}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
