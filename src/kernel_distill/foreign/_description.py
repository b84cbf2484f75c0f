"""metadata.json, which lies beside what is exported: the artefact's metadata, and what was done.

A folder of an export is known by it, whatever is in it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kernel_distill._archive import leads_out
from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill.artefact import FORMAT_VERSION

FILE_NAME = "metadata.json"
_MARK = b'"export": {'
_LARGEST = 2**24  # bytes; a thousand class names take some ten thousand
_RECIPE = {"validation_size", "split_seed", "image_size", "preprocessing", "test_held_out"}
_WHITENINGS = ("zca", "whiten")


def description(
    metadata: dict[str, Any], *, form: str, main: str, notes: Sequence[str], files: Sequence[str]
) -> str:
    """The text of metadata.json.

    Args:
        metadata: of the artefact.
        form: the format's name.
        main: what `foreign.read` is to read, relative to the folder; "." for the folder itself.
        notes: what differs from the artefact, in sentences.
        files: all of the export, relative to the folder.
    """
    export = {"format": form, "main": main, "notes": list(notes), "files": list(files)}
    return json.dumps(metadata | {"export": export}, ensure_ascii=False, allow_nan=False, indent=1)


def parsed(text: str | bytes, path: Path) -> dict[str, Any]:
    """The metadata in `text`, checked for all that reading the set again relies on.

    Args:
        text: of `description`.
        path: where it comes from, for messages.

    Raises:
        InputError: it was written by a later version of this library.
        DamagedFileError: it is not whole, or was not written here.
    """
    try:
        metadata = json.loads(text)
        export, recipe = metadata["export"], metadata["preprocessing"]["recipe"]
        version = metadata["format_version"]
        names = metadata["dataset"]["class_names"]
        if (
            not all(isinstance(name, str) for name in [export["format"], export["main"], *names])
            or not all(isinstance(name, str) for name in export["files"])
            or not isinstance(version, int)
            or not isinstance(metadata["dataset"]["name"], str)
            or not recipe.keys() >= _RECIPE
            or ("zca_regularisation" not in recipe and recipe["preprocessing"] in _WHITENINGS)
        ):
            raise ValueError("values of other types")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedFileError(
            f"the metadata of {path} are not those of an export, or not whole "
            f"({type(error).__name__}: {error}). Take another copy; or remove {FILE_NAME}, and say "
            "yourself what it tells."
        ) from error
    if version > FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {version}; this kernel-distill reads up to "
            f"{FORMAT_VERSION}. Upgrade it: pip install --upgrade kernel-distill"
        )
    return metadata


def described(folder: Path) -> dict[str, Any] | None:
    """What metadata.json in a folder tells, None where there is none of an export.

    Raises:
        InputError: the file that it names lies outside the folder; or as `parsed`.
        DamagedFileError: as `parsed`.
    """
    file = folder / FILE_NAME
    if not file.is_file() or file.stat().st_size > _LARGEST:
        return None
    text = file.read_bytes()
    if _MARK not in text:  # another tool's file of that name
        return None
    metadata = parsed(text, file)
    for name in (metadata["export"]["main"], *metadata["export"]["files"]):
        if leads_out(name):
            raise InputError(
                f"the files that {file} names must lie in its folder; got {name!r}. Take another "
                "copy of it, from where you trust it."
            )
    return metadata


def main_of(path: Path) -> Path:
    """The file or folder to read: of the folder of an export, what its metadata.json names."""
    if not path.is_dir():
        return path
    metadata = described(path)
    return path if metadata is None else path / metadata["export"]["main"]


def description_of(path: Path) -> dict[str, Any] | None:
    """The metadata that lie beside a file, or in a folder, and are of it; None where none are.

    Args:
        path: as `main_of` gives it.
    """
    folder = path if path.is_dir() else path.parent
    metadata = described(folder)
    return metadata if metadata and folder / metadata["export"]["main"] == path else None
