"""Whether a path is a distilled set of others, or one of this project's own."""

import zipfile
from pathlib import Path, PurePosixPath

from kernel_distill._errors import InputError
from kernel_distill.artefact import holds_run
from kernel_distill.foreign._dd_ranking import is_dd_ranking
from kernel_distill.foreign._description import main_of
from kernel_distill.foreign._folder import classes_of
from kernel_distill.foreign._parquet import parquet_files
from kernel_distill.foreign._tfds import is_tfds
from kernel_distill.foreign._torch import PICKLE, SUFFIXES

_OWN = "own"


def recognised(path: str | Path) -> bool:
    """True for what `read` takes: files and folders of others, not this project's own artefacts.

    False for all else: `kernel_distill.load` then says what is wrong, where something is.

    Raises:
        InputError, DamagedFileError: the metadata.json of an export is not whole.
    """
    return _kind(main_of(Path(path))) not in (None, _OWN)


def kind_of(path: Path) -> str:
    """ "npz", "torch", "dd-ranking", "tfds", "parquet" or "folder".

    Args:
        path: as `main_of` gives it.

    Raises:
        InputError: there is no such file, it is this project's own, or none of these.
    """
    if not path.exists():
        raise InputError(f"no such file: {path}. Check the path.")
    kind = _kind(path)
    if kind == _OWN:
        raise InputError(
            f"{path} is of kernel-distill itself and needs no import: `evaluate`, `transfer` and "
            "`export` take it as it is, and kernel_distill.load does."
        )
    if kind is None:
        raise InputError(
            f"{path} is no distilled set of others: neither an .npz with images and labels, nor a "
            ".pt, nor a folder with a folder of PNG or JPEG images a class, of DD-Ranking, of "
            "TensorFlow Datasets or of Parquet files. Choose another file."
        )
    return kind


def _kind(path: Path) -> str | None:
    """That of others, or `_OWN`; None of what is none of these."""
    if path.is_dir():
        return _kind_of_folder(path)
    if not path.is_file():
        return None
    if path.suffix.lower() in SUFFIXES:
        return "torch"
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except Exception:  # no zip file; with damaged bytes zipfile raises almost anything
        return None
    if "metadata.npy" in names:
        return _OWN
    return "torch" if any(PurePosixPath(name).name == PICKLE for name in names) else "npz"


def _kind_of_folder(path: Path) -> str | None:
    if holds_run(path) or (path / "distilled.npz").exists():
        return _OWN
    if is_dd_ranking(path):
        return "dd-ranking"
    if is_tfds(path):
        return "tfds"
    if parquet_files(path):
        return "parquet"
    return "folder" if classes_of(path) else None
