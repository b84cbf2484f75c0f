"""Which covariances of a convolutional network its readout needs: a band, level by level.

A level is what happens at one size of the image: convolutions, each with its activation, and the
pooling after them. The covariance of pixel p of one image with pixel p + d of another stays at
its offset d through convolution and activation; a pooling of s x s takes an output at offset D
from inputs at offsets s D - (s - 1) ... s D + (s - 1) in each direction. A flattening readout
needs offset 0 only, so that, from there back, the offsets that matter are few.

A global average pooling pairs every position with every other: it needs all offsets.
"""

import re
from dataclasses import dataclass, replace

from kernel_distill.kernels._layers import (
    Activation,
    AveragePooling,
    Convolution,
    Dense,
    Flatten,
    Layer,
)

Size = tuple[int, int]


@dataclass(frozen=True)
class Level:
    """Convolutions with their activations at one size of the image, and the pooling after them.

    Attributes:
        size: height and width.
        convolutions: how many.
        pooling: the side of the pooling's windows.
        radius: the largest offset that matters here, down and across.
        pooled_radius: the same after the pooling.
    """

    size: Size
    convolutions: int
    pooling: int
    radius: Size = (0, 0)
    pooled_radius: Size = (0, 0)

    @property
    def pooled_size(self) -> Size:
        return self.size[0] // self.pooling, self.size[1] // self.pooling


def has_levels(layers: tuple[Layer, ...]) -> bool:
    """Whether the network is what `make_levels` can describe."""
    letters = {
        Convolution(): "c",
        Activation: "a",
        AveragePooling: "p",
        Flatten: "f",
        Dense: "d",
    }
    sequence = "".join(letters.get(layer) or letters.get(type(layer), "?") for layer in layers)
    activations = {layer for layer in layers if isinstance(layer, Activation)}
    return re.fullmatch("ca(ca|p)*fd", sequence) is not None and len(activations) == 1


def make_levels(layers: tuple[Layer, ...], size: Size) -> tuple[Level, ...]:
    """The levels of a network for images of `size`.

    Args:
        layers: of an architecture for which `has_levels` holds.
        size: height and width of the images.
    """
    levels: list[Level] = []
    convolutions = 0
    for layer in layers:
        if isinstance(layer, Convolution):
            convolutions += 1
        if isinstance(layer, AveragePooling):
            levels.append(Level(size, convolutions, layer.size))
            size, convolutions = levels[-1].pooled_size, 0
    if convolutions:
        levels.append(Level(size, convolutions, 1))
    return with_radii(tuple(levels))


def with_radii(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    """The levels with the offsets that matter where only offset 0 of what the last gives does."""
    radius = (0, 0)
    backwards = []
    for level in reversed(levels):
        pooled_radius = radius
        reach = [level.pooling * r + level.pooling - 1 for r in pooled_radius]
        radius = (min(reach[0], level.size[0] - 1), min(reach[1], level.size[1] - 1))
        backwards.append(replace(level, radius=radius, pooled_radius=pooled_radius))
    return tuple(reversed(backwards))
