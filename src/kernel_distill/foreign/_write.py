"""A distilled set written for other tools."""

from collections.abc import Callable
from pathlib import Path

from kernel_distill._errors import InputError, unknown_name
from kernel_distill._files import folder_atomically
from kernel_distill.artefact import Distilled
from kernel_distill.data import Preprocessing
from kernel_distill.foreign._content import Content
from kernel_distill.foreign._dc import write_dc, write_dc_bench
from kernel_distill.foreign._dd_ranking import write_dd_ranking
from kernel_distill.foreign._description import FILE_NAME, described
from kernel_distill.foreign._folder import write_folder
from kernel_distill.foreign._npz import write_kip
from kernel_distill.foreign._parquet import write_parquet
from kernel_distill.foreign._tfds import write_tfds
from kernel_distill.foreign._torch import import_torch

Notes = tuple[str, ...]

FILES: dict[str, Callable[[Content, Path], Notes]] = {"dc": write_dc}
"""Formats of one file that says itself what it is, whatever its name, and what writes it."""

FOLDERS: dict[str, Callable[[Content, Path], tuple[str, Notes]]] = {
    "npz-kip": write_kip,
    "dc-bench": write_dc_bench,
    "dd-ranking": write_dd_ranking,
    "tfds": write_tfds,
    "parquet": write_parquet,
    "png": write_folder,
}
"""Formats of a folder, and what writes into an empty one; gives the path in it to be read again."""

FORMATS = ("npz", *FILES, *FOLDERS)

OF_TORCH = ("dc", "dc-bench", "dd-ranking")
"""Formats that are written with torch, an extra."""


def write(
    distilled: Distilled,
    path: str | Path,
    *,
    format: str,
    preprocessing: Preprocessing | None = None,
    overwrite: bool = False,
) -> Notes:
    """Write a distilled set as another tool loads it; `read` brings it back.

    | format | path | for |
    | --- | --- | --- |
    | `npz` | file | the artefact itself: `kernel_distill.load`, or `numpy.load` |
    | `npz-kip` | folder | code for the release of KIP's authors |
    | `dc` | file | DC, DSA, DM and what was built on them |
    | `dc-bench` | folder | DC-BENCH, below its `distilled_results` |
    | `dd-ranking` | folder | DD-Ranking's evaluators |
    | `tfds` | folder | `tensorflow_datasets.builder_from_directory` |
    | `parquet` | folder | Hugging Face's `datasets.load_dataset` |
    | `png` | folder | people, and whatever reads a folder of images a class |

    All but `npz` hold the images on natural scale too, and all that is known of the run: a folder
    in metadata.json, the file of DC in its `metadata`.

    Args:
        distilled: the set.
        path: the file or folder to write, whole or not at all.
        format: one of `FORMATS`.
        preprocessing: that its images went through, by default what its metadata tell: that is
            enough unless they are whitened, which needs the matrix.
        overwrite: replace a file, or the folder of an earlier export with nothing else in it.

    Returns:
        In sentences, what a person should know of what was written.

    Raises:
        UnknownNameError: no such format.
        InputError: `path` exists; the set is none that the format can hold; its metadata lack what
            the format tells; or its images are whitened and the matrix is not known.
        MissingExtraError: the format's library is not installed.
        StorageError: it could not be written; what was there before is whole.
    """
    path = Path(path)
    check_target(path, format=format, overwrite=overwrite)
    if format == "npz":
        distilled.save(path)
        return ()
    content = Content(distilled, preprocessing or _preprocessing(distilled))
    if format in FILES:
        return FILES[format](content, path)
    with folder_atomically(path) as folder:
        main, notes = FOLDERS[format](content, folder)
        names = [file for file in folder.rglob("*") if file.is_file()]
        files = sorted(file.relative_to(folder).as_posix() for file in names)
        text = content.describe(form=format, main=main, notes=notes, files=[*files, FILE_NAME])
        (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return notes


def _preprocessing(distilled: Distilled) -> Preprocessing:
    if "recipe" not in distilled.metadata.get("preprocessing", {}):
        raise InputError(
            "the metadata do not say how the images were preprocessed, and an export without that "
            "would be taken for what it is not: the format npz alone asks for nothing"
        )
    return Preprocessing.from_metadata(distilled.metadata["preprocessing"])


def check_target(path: str | Path, *, format: str, overwrite: bool = False) -> None:
    """Raise all that `write` does which is known before there is a set, as loading may take long.

    Args:
        path, format, overwrite: as for `write`.

    Raises:
        UnknownNameError, InputError, MissingExtraError: as `write`.
    """
    path = Path(path)
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    if format in OF_TORCH:
        import_torch(f"the format {format} needs")
    if not path.exists():
        return
    is_folder = format in FOLDERS
    if not overwrite:
        raise InputError(f"{path} exists: choose another --out, or give --overwrite")
    if path.is_dir() != is_folder:
        is_, wanted = ("a folder", "a file") if path.is_dir() else ("a file", "a folder")
        raise InputError(f"the format is {wanted}; {path} is {is_}. Choose another --out.")
    if is_folder and (strange := _not_exported(path)):
        raise InputError(
            f"only a folder with nothing but an earlier export in it is replaced; {path} holds "
            f"{strange}. Choose another --out, or remove it yourself."
        )


def _not_exported(folder: Path) -> str:
    """The name of a file there that no export wrote, empty where there is none."""
    metadata = described(folder)
    known = set() if metadata is None else set(metadata["export"]["files"])
    present = [file for file in folder.rglob("*") if not file.is_dir()]
    names = sorted(file.relative_to(folder).as_posix() for file in present)
    return next((name for name in names if name not in known), "")
