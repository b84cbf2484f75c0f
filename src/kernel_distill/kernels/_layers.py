"""The layers that architectures are made of: one description, from which every view is built.

neural-tangents' kernel, this project's closed forms and the networks of finite width all read
the same tuple of layers, so that they cannot drift apart.
"""

from dataclasses import dataclass
from typing import Literal

ActivationName = Literal["relu", "erf", "gelu"]


@dataclass(frozen=True)
class Dense:
    """A fully connected layer."""


@dataclass(frozen=True)
class Convolution:
    """A convolution with zero padding ("SAME"), of every `stride`-th pixel down and across."""

    size: int = 3
    stride: int = 1


@dataclass(frozen=True)
class Activation:
    """An elementwise nonlinearity."""

    name: ActivationName


@dataclass(frozen=True)
class AveragePooling:
    """An average over windows of `size` x `size`, which step by `size` (odd sizes: "VALID")."""

    size: int = 2


@dataclass(frozen=True)
class Flatten:
    """All pixels and channels in one vector: a readout that keeps positions apart."""


Layer = Dense | Convolution | Activation | AveragePooling | Flatten
