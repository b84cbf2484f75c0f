"""Whether a path is a distilled set of others, or one of this project's own."""

import zipfile
from pathlib import Path

from kernel_distill._errors import InputError
from kernel_distill.artefact import holds_run
from kernel_distill.foreign._folder import classes_of

TORCH = (".pt", ".pth")


def recognised(path: str | Path) -> bool:
    """True for a `.pt`, a folder of images, and an `.npz` without this project's metadata.

    False for all else: `kernel_distill.load` then says what is wrong, where something is.
    """
    path = Path(path)
    if path.is_dir():
        own = holds_run(path) or (path / "distilled.npz").exists()
        return not own and bool(classes_of(path))
    if not path.is_file():
        return False
    if path.suffix.lower() in TORCH:
        return True
    try:
        with zipfile.ZipFile(path) as file:
            return "metadata.npy" not in file.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


def kind_of(path: Path) -> str:
    """ "folder", "torch" or "npz".

    Raises:
        InputError: there is no such file, or it is this project's own.
    """
    if not path.exists():
        raise InputError(f"no such file: {path}. Check the path.")
    if not recognised(path):
        raise InputError(
            f"{path} is no distilled set of others: neither an .npz with images and labels, nor a "
            ".pt, nor a folder with a folder of PNG or JPEG images a class. Files of "
            "kernel-distill itself are read by kernel_distill.load."
        )
    if path.is_dir():
        return "folder"
    return "torch" if path.suffix.lower() in TORCH else "npz"
