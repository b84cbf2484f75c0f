"""Which covariances of a convolutional network its readout needs: a band, level by level.

A level is what happens at one size of the image: convolutions, each with its activation, and the
pooling after them. The covariance of pixel p of one image with pixel p + d of another stays at
its offset d through convolution and activation; a pooling of s x s takes an output at offset D
from inputs at offsets s D - (s - 1) ... s D + (s - 1) in each direction, and a convolution of
every s-th pixel from offset s D alone. A flattening readout needs offset 0 only, so that, from
there back, the offsets that matter are few.

A convolution with a stride is one without, of whose pixels those between are left out.

A global average pooling pairs every position with every other: it needs all offsets.
"""

import itertools
import re
from dataclasses import dataclass, replace

from kernel_distill.kernels._layers import (
    Activation,
    ActivationName,
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
        taken: the pixel of every window, down and across, that is taken in place of their average,
            where there is a stride; windows at the rim need not be full then.
        radius: the largest offset that matters here, down and across.
        pooled_radius: the same after the pooling.
    """

    size: Size
    convolutions: int
    pooling: int
    taken: Size | None = None
    radius: Size = (0, 0)
    pooled_radius: Size = (0, 0)

    @property
    def pooled_size(self) -> Size:
        rest = 0 if self.taken is None else self.pooling - 1
        return (self.size[0] + rest) // self.pooling, (self.size[1] + rest) // self.pooling

    @property
    def step(self) -> int:
        """From one offset that matters to the next."""
        return 1 if self.taken is None else self.pooling

    @property
    def pixels(self) -> tuple[tuple[int, int], ...]:
        """Those of a window that count, down and across."""
        if self.taken is not None:
            return (self.taken,)
        return tuple(itertools.product(range(self.pooling), range(self.pooling)))


def has_levels(layers: tuple[Layer, ...]) -> bool:
    """Whether the network is what `make_levels` can describe."""
    letters = {Convolution: "c", Activation: "a", AveragePooling: "p", Flatten: "f", Dense: "d"}
    sequence = "".join(letters.get(type(layer), "?") for layer in layers)
    sizes = {layer.size for layer in layers if isinstance(layer, Convolution)}
    activations = {layer for layer in layers if isinstance(layer, Activation)}
    known = re.fullmatch("ca(ca|p)*fd", sequence) is not None
    return known and sizes == {Convolution().size} and len(activations) == 1


def activation(layers: tuple[Layer, ...]) -> ActivationName:
    """The one that all convolutions have, where `has_levels` holds."""
    return next(layer.name for layer in layers if isinstance(layer, Activation))


def make_levels(layers: tuple[Layer, ...], size: Size) -> tuple[Level, ...]:
    """The levels of a network for images of `size`.

    Args:
        layers: of an architecture for which `has_levels` holds.
        size: height and width of the images.
    """
    levels: list[Level] = []
    convolutions = 0
    for layer in layers:
        following = None
        match layer:
            case Convolution(stride=stride):
                convolutions += 1
                if stride > 1:
                    taken = _first_centre(size[0], layer), _first_centre(size[1], layer)
                    following = Level(size, convolutions, stride, taken)
            case AveragePooling(size=side):
                following = Level(size, convolutions, side)
        if following is not None:
            levels.append(following)
            size, convolutions = following.pooled_size, 0
    if convolutions:
        levels.append(Level(size, convolutions, 1))
    return with_radii(tuple(levels))


def _first_centre(length: int, convolution: Convolution) -> int:
    """The pixel under the middle of the filter where it is applied first ("SAME")."""
    size, stride = convolution.size, convolution.stride
    padding = max((-(-length // stride) - 1) * stride + size - length, 0)
    return size // 2 - padding // 2


def with_radii(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    """The levels with the offsets that matter where only offset 0 of what the last gives does."""
    radius = (0, 0)
    backwards = []
    for level in reversed(levels):
        pooled_radius = radius
        reach = [level.pooling * r + level.pooling - level.step for r in pooled_radius]
        radius = (min(reach[0], level.size[0] - 1), min(reach[1], level.size[1] - 1))
        backwards.append(replace(level, radius=radius, pooled_radius=pooled_radius))
    return tuple(reversed(backwards))
