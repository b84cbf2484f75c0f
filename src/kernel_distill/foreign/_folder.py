"""A folder with a folder of PNG or JPEG images a class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill.foreign._held import Held, refuse_large

_SUFFIXES = (".png", ".jpg", ".jpeg")
_EIGHT_BITS = ("1", "L", "LA", "P", "RGB", "RGBA")


def classes_of(path: Path) -> list[Path]:
    """The folders in `path` that hold images."""
    return [
        folder
        for folder in sorted(path.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and _files(folder)
    ]


def read_folder(path: Path, *, image_shape: tuple[int, ...]) -> Held:
    """The images, as uint8, with the names of their folders as labels.

    Grey images may be stored as RGB with equal channels, as torchvision does.

    Args:
        path: the folder.
        image_shape: (height, width, channel) that they must have: looked at in a file's header,
            before its pixels are read.

    Raises:
        InputError: an image of another size, coloured ones of a grey data set, or not 8 bits.
        DamagedFileError: a file is no whole image.
    """
    if len(image_shape) != 3:
        raise InputError(
            f"{path} holds images; the data set is a table with rows of shape {image_shape}. Give "
            "the data set that they were distilled from."
        )
    folders = classes_of(path)
    files = [(file, folder.name) for folder in folders for file in _files(folder)]
    refuse_large(len(files) * int(np.prod(image_shape)), path)
    images = np.stack([_image(file, image_shape) for file, _ in files])
    return Held(images, np.array([name for _, name in files]), "a folder of images")


def numbered(labels: Sequence[str], class_names: Sequence[str], path: Path) -> np.ndarray:
    """The names of folders as integers: class names, or the numbers of the classes.

    Raises:
        InputError: a folder is named otherwise.
    """
    names = set(labels)
    if names <= set(class_names):
        number = {name: index for index, name in enumerate(class_names)}
    elif names <= {str(index) for index in range(len(class_names))}:
        number = {str(index): index for index in range(len(class_names))}
    else:
        strange = sorted(names - set(class_names))
        raise InputError(
            f"the folders in {path} must be named after the classes ({', '.join(class_names[:10])}"
            f"{', ...' if len(class_names) > 10 else ''}), or all by their numbers from 0; got "
            f"{', '.join(strange[:5])}. Rename them, or give the data set that they belong to."
        )
    return np.array([number[label] for label in labels], np.int32)


def _files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
    )


def _image(file: Path, image_shape: tuple[int, ...]) -> np.ndarray:
    from PIL import Image

    height, width, channel = image_shape
    try:
        with Image.open(file) as image:
            if image.size != (width, height):
                raise InputError(
                    f"images must be {height}x{width}, as those of the data set are; {file} is "
                    f"{image.size[1]}x{image.size[0]}. Give the data set that they were distilled "
                    "from."
                )
            if image.mode not in _EIGHT_BITS:
                raise InputError(
                    f"images must have 8 bits a channel; {file} has mode {image.mode}. Convert it."
                )
            pixels = np.asarray(image.convert("RGB"))
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedFileError(
            f"{file} is no whole image ({error}). Take another copy of it, or remove it."
        ) from error
    if channel == 1 and (pixels != pixels[..., :1]).any():
        raise InputError(
            f"images must be grey, as those of the data set are; {file} is coloured. Give the data "
            "set that they were distilled from."
        )
    return pixels[..., :channel]
