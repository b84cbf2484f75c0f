"""How large an archive of a distilled set that anybody may have made may be, and what it names."""

import zipfile
from pathlib import Path, PurePosixPath

from kernel_distill._errors import InputError

LARGEST = 2**32
"""Bytes of a distilled set: fifty float32 images of 64x64x3 of a thousand classes take 2.5e9."""


def check_archive(path: Path, *, own: bool = False) -> None:
    """Raise `InputError` for a file that is no distilled set by its size, packed or unpacked.

    And for an archive with names that lead out of it: nothing here unpacks by name, but others may.

    Args:
        path: the file.
        own: in this project's format, which packs nothing: what takes no more than the file itself
            is none that swells, however large.
    """
    names: list[str] = []
    unpacked = 0
    try:
        size = path.stat().st_size
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                # members say how large they are, and are never unpacked beyond that
                unpacked = sum(member.file_size for member in file.infolist())
                names = file.namelist()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}. Check the path.") from error
    except Exception:  # with damaged bytes zipfile raises almost anything
        return  # for the reader to say
    if not own or unpacked > size:
        refuse_large(max(size, unpacked), path)
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
