"""Images of 8 bits as PNG, and back."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from kernel_distill._errors import DamagedFileError, InputError

CHANNELS = (1, 3)  # grey and RGB
_FORMATS = ("PNG", "JPEG")  # for some others Pillow starts programs, whatever the file is called
_EIGHT_BITS = ("1", "L", "LA", "P", "RGB", "RGBA")


def png(image: UInt8[np.ndarray, "h w c"]) -> bytes:
    """The bytes of a PNG; one channel is grey, three are RGB."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, format="PNG")
    return buffer.getvalue()


def pixels(
    file: Path | bytes, image_shape: tuple[int, ...], *, place: str
) -> UInt8[np.ndarray, "h w c"]:
    """An image of a file, or of its bytes.

    Grey images may be stored as RGB with equal channels, as torchvision does.

    Args:
        file: PNG or JPEG.
        image_shape: (height, width, channel) that it must have: looked at in the header, before
            its pixels are read.
        place: where the image is, for messages.

    Raises:
        InputError: of another size, coloured although one channel is wanted, or not 8 bits.
        DamagedFileError: no whole image.
    """
    from PIL import Image

    height, width, channel = image_shape
    try:
        opened = io.BytesIO(file) if isinstance(file, bytes) else file
        with Image.open(opened, formats=_FORMATS) as image:
            if image.size != (width, height):
                raise InputError(
                    f"images must be {height}x{width}, as those of the data set are; {place} is "
                    f"{image.size[1]}x{image.size[0]}. Give the data set that they were distilled "
                    "from."
                )
            if image.mode not in _EIGHT_BITS:
                raise InputError(
                    f"images must have 8 bits a channel; {place} has mode {image.mode}. Convert it."
                )
            read: Any = np.asarray(image.convert("RGB"))
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedFileError(
            f"{place} is no whole image ({error}). Take another copy of it, or remove it."
        ) from error
    if channel == 1 and (read != read[..., :1]).any():
        raise InputError(
            f"images must be grey, as those of the data set are; {place} is coloured. Give the "
            "data set that they were distilled from."
        )
    return read[..., :channel]


def require_image_shape(image_shape: tuple[int, ...], path: Path) -> None:
    """Raise `InputError` for the images in `path` where the data set is a table."""
    if len(image_shape) != 3:
        raise InputError(
            f"{path} holds images; the data set is a table with rows of shape {image_shape}. Give "
            "the data set that they were distilled from."
        )
