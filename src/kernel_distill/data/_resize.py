"""Images of any size, brought to one."""

import numpy as np
from jaxtyping import Num, UInt8


def resize(
    image: UInt8[np.ndarray, "height width channel"], size: int
) -> UInt8[np.ndarray, "size size channel"]:
    """The central square of an image at `size` x `size`, by area-aware bilinear interpolation."""
    return _resize(image, size).astype(np.uint8)


def resize_all(
    images: Num[np.ndarray, "n height width channel"], size: int
) -> Num[np.ndarray, "n size size channel"]:
    """Each image's central square at `size` x `size`; dtype kept."""
    if images.shape[1:3] == (size, size):
        return images
    resized = np.empty((len(images), size, size, images.shape[3]), images.dtype)
    for index, image in enumerate(images):
        resized[index] = _resize(image, size)
    return resized


def _resize(image: Num[np.ndarray, "height width channel"], size: int) -> np.ndarray:
    from PIL import Image

    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) / 2, (width - side) / 2
    channels = [
        Image.fromarray(np.ascontiguousarray(image[..., channel])).resize(
            (size, size),
            # reduces with a filter as wide as the source pixels that it covers: no aliasing
            Image.Resampling.BILINEAR,
            box=(left, top, left + side, top + side),
        )
        for channel in range(image.shape[2])
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)
