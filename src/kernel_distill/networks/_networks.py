"""Networks of finite width by name: what is trained on a distilled set, described."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from kernel_distill import kernels
from kernel_distill._errors import InputError, UnknownNameError, unknown_name
from kernel_distill.kernels import Architecture
from kernel_distill.networks._finite import check_parameterization, check_sizes, finite

EVALUATION = (
    *("convnet3-in", "convnet3", "mlp", "lenet", "alexnet", "vgg11"),
    *("resnet18-in", "resnet18-bn"),
)
"""The networks of the cross-architecture tables of the field."""

NAMES = (*kernels.NAMES, *(name for name in EVALUATION if name not in kernels.NAMES))

_FIXED = ("lenet", "alexnet", "vgg11", "resnet18-in", "resnet18-bn")


@dataclass(frozen=True)
class Network(ABC):
    """A network of finite width, described; nothing is computed before `module` is called.

    Descriptions compare and hash by value.

    Attributes:
        name: the short name, as the command line takes it.
        width: channels, or units, of every hidden layer; None where the definition fixes the
            width of each.
    """

    name: str
    width: int | None

    def __post_init__(self) -> None:
        if self.width is not None:
            check_sizes(width=self.width)

    @property
    def label(self) -> str:
        """What tables and pictures call it."""
        return " ".join(str(part) for part in (self.name, self.width) if part)

    def to_metadata(self) -> dict[str, Any]:
        """What a file says of the network: all that tells it from others."""
        return {"name": self.name, "width": self.width}

    @abstractmethod
    def module(self, image_shape: tuple[int, ...], *, num_classes: int, key: PRNGKeyArray) -> Any:
        """The network itself, initialised.

        Args:
            image_shape: of one image, [height, width, channel], or of a row of a table, [feature].
            num_classes: outputs.
            key: the randomness of the weights; a traced one serves too (`jax.vmap`).

        Returns:
            A flax module (`nnx.Module`) in training mode: module(x [n, *image_shape]) ->
            [n, num_classes]. Parameters are `nnx.Param`, float32; running statistics of batch
            normalisation `nnx.BatchStat`.

        Raises:
            InputError: the images do not fit, or num_classes is not positive.
        """

    def parameter_count(self, image_shape: tuple[int, ...], num_classes: int) -> int:
        """How many numbers there are to train, found without allocating any of them.

        Raises:
            InputError: as `module`.
        """
        from flax import nnx

        def parameters(key: PRNGKeyArray) -> list[Any]:
            module = self.module(image_shape, num_classes=num_classes, key=key)
            return jax.tree.leaves(nnx.state(module, nnx.Param))

        return sum(leaf.size for leaf in jax.eval_shape(parameters, jax.random.key(0)))


@dataclass(frozen=True)
class Twin(Network):
    """The finite twin of an architecture that has a kernel; see `finite`."""

    architecture: Architecture
    parameterization: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parameterization(self.parameterization)

    @property
    def label(self) -> str:
        return super().label + (" ntk" if self.parameterization == "ntk" else "")

    def to_metadata(self) -> dict[str, Any]:
        return super().to_metadata() | {
            "parameterization": self.parameterization,
            "architecture": self.architecture.to_metadata(),
        }

    def module(self, image_shape: tuple[int, ...], *, num_classes: int, key: PRNGKeyArray) -> Any:
        assert self.width is not None
        return finite(
            self.architecture,
            width=self.width,
            num_classes=num_classes,
            image_shape=image_shape,
            parameterization=self.parameterization,
            key=key,
        )


@dataclass(frozen=True)
class EvaluationNetwork(Network):
    """One of the networks that the field evaluates distilled sets with; see `named`."""

    def module(self, image_shape: tuple[int, ...], *, num_classes: int, key: PRNGKeyArray) -> Any:
        check_sizes(num_classes=num_classes)
        from kernel_distill.networks._evaluation_modules import evaluation_module

        return evaluation_module(
            self.name, image_shape, width=self.width, num_classes=num_classes, key=key
        )


def twin(architecture: Architecture, *, width: int, parameterization: str = "standard") -> Network:
    """The description of an architecture's finite twin, of which `finite` makes a module.

    Raises:
        InputError: width is not positive.
        UnknownNameError: the parameterisation is neither "standard" nor "ntk".
    """
    return Twin(architecture.name, width, architecture, parameterization)


def named(name: str, *, width: int = 128, parameterization: str = "standard") -> Network:
    """The network of a short name.

    - The names of architectures (`kernels.named`): their finite twins, initialised with
      w_std = sqrt(2), b_std = 0.1.
    - "convnet3-in": ConvNet of depth 3 with instance normalisation, and with other depths likewise;
      "mlp": two hidden layers.
    - "lenet", "alexnet", "vgg11" (with instance normalisation), "resnet18-in", "resnet18-bn" (with
      instance and batch normalisation), whose widths are fixed: `width` is not theirs.

    All but the twins are as in the repository of dataset condensation (Zhao et al. 2021: DC, DSA)
    and those that took its networks over: convolutions pad images of 28x28 pixels to 32x32 first,
    and weights and biases are initialised as PyTorch does by default, uniform within
    +-1 / sqrt(fan-in). One thing is flax's: the running variance of batch normalisation is that
    of the batch, where PyTorch's is n / (n - 1) times as large.

    Args:
        name: the short name.
        width: channels, or units, of every hidden layer.
        parameterization: "standard", or "ntk" for a twin.

    Raises:
        UnknownNameError: no network has this name, or there is no such parameterisation.
        InputError: width is not positive, or the NTK parameterisation is asked for a network that
            has no kernel.
    """
    check_parameterization(parameterization)
    check_sizes(width=width)
    if name in _FIXED or name == "mlp" or re.fullmatch(r"convnet[1-9]\d*-in", name):
        if parameterization != "standard":
            raise InputError(
                f"the NTK parameterisation is for twins of kernels; {name} has no kernel. "
                'Take parameterization="standard".'
            )
        return EvaluationNetwork(name, None if name in _FIXED else width)
    try:
        architecture = kernels.named(name)
    except UnknownNameError:
        hint = "A number of layers may follow fc and convnet."
        raise unknown_name("network", name, NAMES, hint=hint) from None
    return twin(architecture, width=width, parameterization=parameterization)
