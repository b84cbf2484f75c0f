"""Whether a path is a distilled set of others, or one of this project's own."""

import zipfile
from pathlib import Path

from kernel_distill._errors import InputError
from kernel_distill.artefact import holds_run
from kernel_distill.foreign._dd_ranking import is_dd_ranking
from kernel_distill.foreign._description import main_of
from kernel_distill.foreign._folder import classes_of
from kernel_distill.foreign._parquet import parquet_files
from kernel_distill.foreign._tfds import is_tfds
from kernel_distill.foreign._torch import SUFFIXES


def recognised(path: str | Path) -> bool:
    """True for what `read` takes: files and folders of others, not this project's own artefacts.

    False for all else: `kernel_distill.load` then says what is wrong, where something is.

    Raises:
        InputError, DamagedFileError: the metadata.json of an export is not whole.
    """
    return _kind(main_of(Path(path))) is not None


def kind_of(path: Path) -> str:
    """ "npz", "torch", "dd-ranking", "tfds", "parquet" or "folder".

    Args:
        path: as `main_of` gives it.

    Raises:
        InputError: there is no such file, or it is this project's own.
    """
    if not path.exists():
        raise InputError(f"no such file: {path}. Check the path.")
    kind = _kind(path)
    if kind is None:
        raise InputError(
            f"{path} is no distilled set of others: neither an .npz with images and labels, nor a "
            ".pt, nor a folder with a folder of PNG or JPEG images a class, of DD-Ranking, of "
            "TensorFlow Datasets or of Parquet files. Files of kernel-distill itself are read by "
            "kernel_distill.load."
        )
    return kind


def _kind(path: Path) -> str | None:
    if path.is_dir():
        return _kind_of_folder(path)
    if not path.is_file():
        return None
    if path.suffix.lower() in SUFFIXES:
        return "torch"
    try:
        with zipfile.ZipFile(path) as file:
            return None if "metadata.npy" in file.namelist() else "npz"
    except Exception:  # no zip file; with damaged bytes zipfile raises almost anything
        return None


def _kind_of_folder(path: Path) -> str | None:
    if holds_run(path) or (path / "distilled.npz").exists():
        return None
    if is_dd_ranking(path):
        return "dd-ranking"
    if is_tfds(path):
        return "tfds"
    if parquet_files(path):
        return "parquet"
    return "folder" if classes_of(path) else None
