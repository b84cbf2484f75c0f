"""Architectures: what a network is, apart from how wide it is and how its kernel is computed."""

import re
from abc import abstractmethod
from dataclasses import asdict, dataclass, fields, replace
from math import inf
from typing import Any, Literal, get_args

from kernel_distill._errors import InputError, unknown_name
from kernel_distill.kernels._kernel import Kernel, KernelKind
from kernel_distill.kernels._layers import (
    Activation,
    ActivationName,
    AveragePooling,
    Convolution,
    Dense,
    Flatten,
    Layer,
)

Implementation = Literal["auto", "exact", "neural_tangents"]

_IN_THE_NAME = ("depth", "prepend", "strided")  # settings that the short name says


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network in the NTK parameterisation: its layers, and the standard deviations of weights.

    Args:
        w_std: standard deviation of the weights, before division by the square root of the fan-in.
        b_std: standard deviation of the biases.
        activation: "relu", "erf" or "gelu".
    """

    w_std: float = 2**0.5
    b_std: float = 0.1
    activation: ActivationName = "relu"

    def __post_init__(self) -> None:
        if self.activation not in get_args(ActivationName):
            raise unknown_name("activation", self.activation, get_args(ActivationName))
        if not (0 < self.w_std < inf and 0 <= self.b_std < inf):
            raise InputError(
                "w_std must be positive and b_std not negative, both finite; "
                f"got w_std={self.w_std}, b_std={self.b_std}"
            )
        # one of NumPy's makes float64 of what float32 images are computed to
        object.__setattr__(self, "w_std", float(self.w_std))
        object.__setattr__(self, "b_std", float(self.b_std))

    @property
    @abstractmethod
    def name(self) -> str:
        """The short name, as the command line takes it."""

    @property
    @abstractmethod
    def layers(self) -> tuple[Layer, ...]:
        """The layers from the input to the readout."""

    def check_images(self, shape: tuple[int, ...]) -> None:
        """Raises InputError where images of `shape`, without the batch, do not fit the layers."""
        if not any(isinstance(layer, Convolution) for layer in self.layers):
            return
        if len(shape) != 3:
            raise InputError(
                f"{self.name} needs images [n, height, width, channel]; got rows of shape "
                f"{shape}. Tables go with a fully connected kernel (fc1)."
            )
        need = 1
        for layer in reversed(self.layers):
            match layer:
                case AveragePooling(size=size):
                    need *= size
                case Convolution(stride=stride):
                    need = (need - 1) * stride + 1
        if min(shape[:2]) < need:
            poolings = sum(isinstance(layer, AveragePooling) for layer in self.layers)
            raise InputError(
                f"{self.name} pools the image {poolings} times and so needs at least "
                f"{need}x{need} pixels; got {shape[0]}x{shape[1]}. "
                "Take an architecture with fewer poolings."
            )

    def kernel(
        self, kind: KernelKind = "ntk", *, implementation: Implementation = "auto"
    ) -> Kernel:
        """The kernel of this architecture at infinite width.

        There is a closed form of `FullyConnected`, and of convolutions with a flattening readout:
        that takes only pairs of equal pixels, and what these come from, layer by layer back, is a
        band of near ones (`_levels`). Strides and poolings of any size keep to a band. A global
        average pooling does not: it pairs every position with every other, so that all offsets are
        needed, and neural-tangents computes them (no architecture here has one, but a network
        given to `from_stax` may). These too are left to neural-tangents:

        - a convolution whose filter is not 3x3;
        - a convolution with no activation right after it, an activation that follows none;
        - a pooling before the first convolution;
        - activations of several kinds in one network;
        - any other readout than one `Flatten` and one `Dense`.

        Args:
            kind: "ntk" (the network trained by gradient descent) or "nngp" (its readout alone).
            implementation: "exact" is this project's closed form, "neural_tangents" computes any
                architecture with that library, "auto" takes the exact one where there is one.

        Raises:
            UnknownNameError: `kind` or `implementation` is none of the above.
            InputError: "exact" is asked for where there is no closed form.
        """
        from kernel_distill.kernels._build import build_kernel

        return build_kernel(self, kind, implementation)

    def to_metadata(self) -> dict[str, Any]:
        """What an artefact says of the architecture; `from_metadata` reads it again."""
        return {"name": self.name} | {
            name: value for name, value in asdict(self).items() if name not in _IN_THE_NAME
        }


@dataclass(frozen=True, kw_only=True)
class FullyConnected(Architecture):
    """`depth` hidden layers and a linear readout; short names fc1, fc2, ..."""

    depth: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_depth(self.depth)

    @property
    def name(self) -> str:
        return f"fc{self.depth}"

    @property
    def layers(self) -> tuple[Layer, ...]:
        return (Flatten(), *(Dense(), Activation(self.activation)) * self.depth, Dense())


@dataclass(frozen=True, kw_only=True)
class ConvNet(Architecture):
    """`depth` times [3x3 convolution, activation, 2x2 average pooling], flattened to a readout.

    With `prepend`, one more convolution and activation come first: the "ConvNet" of KIP
    (Nguyen et al. 2021). With `strided`, convolutions of every second pixel take the place of the
    poolings. Short names: convnet (depth 3, prepended), convnet3 (without), and so on: convnet2,
    convnet2-prepend, convnet3-strided, convnet3-prepend-strided, ...
    """

    depth: int = 3
    prepend: bool = True
    strided: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_depth(self.depth)

    @property
    def name(self) -> str:
        if self == replace(self, depth=3, prepend=True, strided=False):
            return "convnet"
        prepend, strided = "-prepend" * self.prepend, "-strided" * self.strided
        return f"convnet{self.depth}{prepend}{strided}"

    @property
    def layers(self) -> tuple[Layer, ...]:
        activation = Activation(self.activation)
        halving: tuple[Layer, ...] = (Convolution(), activation, AveragePooling())
        if self.strided:
            halving = (Convolution(stride=2), activation)
        return (
            *((Convolution(), activation) if self.prepend else ()),
            *halving * self.depth,
            Flatten(),
            Dense(),
        )


_MYRTLE_CONVOLUTIONS = {5: (2, 1, 1), 7: (2, 2, 2), 10: (3, 3, 3)}


@dataclass(frozen=True, kw_only=True)
class Myrtle(Architecture):
    """The Myrtle networks of Shankar et al. 2020 ("Neural Kernels Without Tangents").

    Groups of 3x3 convolutions, a pooling after each of the first two groups and three after the
    last: images of 32x32. Short names myrtle5, myrtle7, myrtle10.
    """

    depth: Literal[5, 7, 10] = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth not in _MYRTLE_CONVOLUTIONS:
            raise InputError(f"a Myrtle network has depth 5, 7 or 10; got {self.depth}")

    @property
    def name(self) -> str:
        return f"myrtle{self.depth}"

    @property
    def layers(self) -> tuple[Layer, ...]:
        layers: list[Layer] = []
        for group in _MYRTLE_CONVOLUTIONS[self.depth]:
            layers += [*(Convolution(), Activation(self.activation)) * group, AveragePooling()]
        return (*layers, AveragePooling(), AveragePooling(), Flatten(), Dense())


def named(name: str, **settings: Any) -> Architecture:
    """The architecture of a short name such as "fc1", "convnet", "convnet3" or "myrtle5".

    Args:
        name: the short name.
        **settings: `w_std`, `b_std`, `activation`.

    Raises:
        UnknownNameError: no architecture has this name, or no setting.
    """
    for setting in settings:
        if setting not in (known := [field.name for field in fields(Architecture)]):
            raise unknown_name("setting of an architecture", setting, known)
    if match := re.fullmatch(r"fc([1-9]\d*)", name):
        return FullyConnected(depth=int(match[1]), **settings)
    if name == "convnet":
        return ConvNet(depth=3, prepend=True, **settings)
    if match := re.fullmatch(r"convnet([1-9]\d*)(-prepend)?(-strided)?", name):
        prepend, strided = (part is not None for part in match.groups()[1:])
        return ConvNet(depth=int(match[1]), prepend=prepend, strided=strided, **settings)
    if match := re.fullmatch(r"myrtle(5|7|10)", name):
        return Myrtle(depth=int(match[1]), **settings)  # type: ignore[arg-type]
    raise unknown_name(
        "architecture", name, NAMES, hint="A number of layers may follow fc and convnet."
    )


NAMES = (
    *("fc1", "fc2", "fc3"),
    *("convnet", "convnet1", "convnet2", "convnet3", "convnet4", "convnet3-strided"),
    *(f"myrtle{depth}" for depth in _MYRTLE_CONVOLUTIONS),
)


def from_metadata(metadata: dict[str, Any]) -> Architecture:
    """The architecture that an artefact was made with (the inverse of `to_metadata`)."""
    settings = {key: value for key, value in metadata.items() if key != "name"}
    if metadata["name"] == "custom":
        raise InputError(
            "the artefact was made with a network of the user's own, which a file cannot hold: "
            "pass its kernel (kernels.from_stax(...)) as kernel="
        )
    return named(metadata["name"], **settings)


def _check_depth(depth: int) -> None:
    if depth < 1:
        raise InputError(f"depth must be 1 or more; got {depth}")
