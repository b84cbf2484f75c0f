"""A folder with a folder of PNG or JPEG images a class."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np

from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill.data._labels import in_order
from kernel_distill.data._resize import resize
from kernel_distill.data._source import Raw

_SUFFIXES = (".png", ".jpg", ".jpeg")
_FORMATS = ("PNG", "JPEG")  # for some others Pillow starts programs, whatever the file is called


def read_folder(path: Path, *, image_size: int | None) -> Raw:
    """FOLDER/CLASS/*.png, or FOLDER/train/CLASS/*.png and FOLDER/test/CLASS/*.png.

    Images are grey if all are, else RGB (transparency is dropped); rotated as their EXIF data say.
    The version is a hash of the training files, since JPEG decoders differ in the last bit.

    Raises:
        InputError: no class folders, a class folder without images, a class in test only, images
            of different sizes without `image_size`.
        DamagedFileError: a file is no whole image.
    """
    # a class may be called "train" too: then images lie in it, not folders
    has_parts = bool(_folders(path / "train"))
    train = _files(path / "train" if has_parts else path)
    test = _files(path / "test") if has_parts and (path / "test").is_dir() else {}
    class_names = in_order(train)
    for name in test:
        if name not in train:
            raise InputError(
                f"every class needs training examples; {path / 'test' / name} has no counterpart "
                f"in {path / 'train'}. Add images there, or remove it."
            )
    mode = _common_mode(
        [file for files in (*train.values(), *test.values()) for file in files], image_size
    )

    def read(parts: dict[str, list[Path]]) -> tuple[np.ndarray, list[str]]:
        labels = [name for name in class_names for _ in parts.get(name, [])]
        files = [file for name in class_names for file in parts.get(name, [])]
        return np.stack([_image(file, mode, image_size) for file in files]), labels

    train_images, train_labels = read(train)
    test_images, test_labels = read(test) if test else (None, None)
    return Raw(
        name=path.resolve().name,
        version=None,
        content=_hash(train, class_names, mode, image_size),
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=class_names,
        place=f"{path}: ",
    )


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(
        entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )


def _files(path: Path) -> dict[str, list[Path]]:
    """The image files of each class, in the order of their names."""
    folders = _folders(path)
    if not folders:
        raise InputError(
            f"{path} must hold a folder a class, with PNG or JPEG images in it; got no folders. "
            "Sort the images into folders named after their classes."
        )
    files = {
        folder.name: sorted(
            file
            for file in folder.iterdir()
            if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
        )
        for folder in folders
    }
    for folder in folders:
        if not files[folder.name]:
            raise InputError(
                f"every class needs examples; {folder} holds no PNG or JPEG images. Add some, or "
                "remove the folder."
            )
    return files


def _common_mode(files: list[Path], image_size: int | None) -> str:
    """ "L" or "RGB", from the files' headers."""
    from PIL import Image, UnidentifiedImageError

    sizes: Counter[tuple[int, int]] = Counter()
    grey = True
    for file in files:
        try:
            with Image.open(file, formats=_FORMATS) as image:
                # a quarter turn in the EXIF data (tag 274) changes height and width
                width, height = image.size
                turned = image.getexif().get(274, 1) >= 5
                sizes[(width, height) if turned else (height, width)] += 1
                grey = grey and image.mode in ("L", "LA", "1", "I;16", "I")
        except (UnidentifiedImageError, OSError) as error:
            raise _damaged(file, error) from error
    if len(sizes) > 1 and image_size is None:
        listed = ", ".join(
            f"{height}x{width} ({count})" for (height, width), count in sizes.most_common(4)
        )
        raise InputError(
            f"images must all have one size; got {listed}{', ...' if len(sizes) > 4 else ''} "
            "(height x width, number of images). Choose one with image_size, for example "
            "image_size=32 (--image-size 32): the central square is resized."
        )
    return "L" if grey else "RGB"


def _image(file: Path, mode: str, image_size: int | None) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(file, formats=_FORMATS) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode in ("I;16", "I"):  # 16 bits; convert("L") would cut them off
                pixels = (np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8)
                image = Image.fromarray(pixels)
            pixels = np.asarray(image.convert(mode))
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(file, error) from error
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels if image_size is None else resize(pixels, image_size)


def _damaged(file: Path, error: Exception) -> DamagedFileError:
    return DamagedFileError(
        f"{file} is no whole image ({error}). Take another copy of it, or remove it."
    )


def _hash(
    train: dict[str, list[Path]], class_names: tuple[str, ...], mode: str, image_size: int | None
) -> str:
    digest = hashlib.sha256(f"{mode} {image_size}".encode())
    for name in class_names:
        for file in train[name]:
            digest.update(f"\n{name}\n".encode())
            digest.update(file.read_bytes())
    return f"sha256:{digest.hexdigest()[:16]}"
