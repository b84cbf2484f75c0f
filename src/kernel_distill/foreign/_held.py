"""What a reader of a layout hands on, and how much of it may be read."""

import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Shaped

from kernel_distill._errors import InputError

LARGEST = 2**31
"""Bytes that a distilled set may take: fifty images of 64x64x3 of each of a thousand classes."""


@dataclass(frozen=True, eq=False)
class Held:
    """What a file holds, not yet fitted to a data set.

    Attributes:
        images: any order of axes; uint8 are natural ones.
        labels: [n] integers, [n] class names, or [n, class] floats.
        layout: what kind of file it is, for people.
        number: how many sets the file holds, of which this is one.
        method, architecture, kernel, ridge: what the layout itself tells.
    """

    images: Shaped[np.ndarray, "..."]
    labels: Shaped[np.ndarray, "..."]
    layout: str
    number: int = 1
    method: str | None = None
    architecture: str | None = None
    kernel: str | None = None
    ridge: float | None = None


def check_archive(path: Path) -> None:
    """Raise `InputError` for a file that is no distilled set by its size, packed or unpacked.

    And for an archive with names that lead out of it: nothing here unpacks by name, but others may.
    """
    names: list[str] = []
    try:
        size = path.stat().st_size
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                # members say how large they are, and are never unpacked beyond that
                size = max(size, sum(member.file_size for member in file.infolist()))
                names = file.namelist()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}. Check the path.") from error
    except zipfile.BadZipFile:
        return  # for the reader to say
    refuse_large(size, path)
    for name in names:
        if leads_out(name):
            raise InputError(
                f"the names in an archive must not lead out of it; {path} holds {name!r}, and is "
                "not read. Take another copy of it, from where you trust it."
            )


def leads_out(name: str) -> bool:
    """Whether a name in an archive or a list of files is absolute, or goes up by `..`."""
    parts = PurePosixPath(name.replace("\\", "/"))
    return parts.is_absolute() or ".." in parts.parts or name[1:2] == ":"


def refuse_large(size: int, path: Path) -> None:
    """Raise `InputError` where `size` bytes are more than a distilled set has."""
    if size > LARGEST:
        raise InputError(
            f"a distilled set must be at most {LARGEST // 2**30} GiB; {path} holds "
            f"{size / 2**30:.1f} GiB, and is not read. Whole data sets go through "
            "kernel_distill.data.load."
        )
