"""The reader of each layout, and what an export says of itself."""

from pathlib import Path
from typing import Any

from kernel_distill._errors import InputError
from kernel_distill.foreign._dc import exported_metadata, read_dc
from kernel_distill.foreign._dd_ranking import read_dd_ranking
from kernel_distill.foreign._description import description_of
from kernel_distill.foreign._folder import read_folder
from kernel_distill.foreign._held import Held
from kernel_distill.foreign._npz import read_npz
from kernel_distill.foreign._parquet import read_parquet
from kernel_distill.foreign._tfds import read_tfds_folder


def held_in(path: Path, kind: str, *, image_shape: tuple[int, ...], index: int, own: bool) -> Held:
    """What a file or folder holds, by the reader of its kind.

    Args:
        path: as `main_of` gives it.
        kind: as `kind_of` gives it.
        image_shape: of the data set's images.
        index: of several sets in a `.pt`, which one.
        own: it was exported from here: the images and labels that the export began with are taken,
            where the format holds them beside what its tool looks at.

    Raises:
        InputError, DamagedFileError, MissingExtraError: as the readers.
    """
    if index and kind != "torch":
        raise InputError(f"{path} holds one set, number 0; got {index}.")
    if kind == "npz":
        return read_npz(path)
    if kind == "torch":
        return read_dc(path, index=index, own=own)
    if kind == "dd-ranking":
        return read_dd_ranking(path, own=own)
    reader = {"tfds": read_tfds_folder, "parquet": read_parquet, "folder": read_folder}[kind]
    return reader(path, image_shape=image_shape, own=own)


def metadata_in(path: Path, kind: str) -> dict[str, Any] | None:
    """The metadata of the set that was exported from here to `path`; None for files of others.

    Raises:
        InputError, DamagedFileError, MissingExtraError: they cannot be read, or are not whole.
    """
    return exported_metadata(path) if kind == "torch" else description_of(path)
