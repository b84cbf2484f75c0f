"""Which finite networks are trained."""

from dataclasses import dataclass
from typing import Literal

from kernel_distill import networks
from kernel_distill.networks import Network
from kernel_distill.transfer import TrainingSettings

# the largest stable rate is too much for some networks, such as lenet, and the best for others;
# labels that were learned are drowned by what a wide network says before it is trained: ten digits
# of KIP teach fc1 of width 1024 48 % at the scale 1, and 88 % at 5
SEARCHED = TrainingSettings(factor=(0.01, 0.03, 0.1, 0.3, 1.0), label_scale=(1.0, 5.0))


@dataclass(frozen=True)
class NetworkOptions:
    """Networks by name, and how they are made."""

    network: tuple[str, ...] = ()
    """Names of networks: those of architectures, mlp, lenet, alexnet, vgg11, convnet3-in,
    resnet18-in, resnet18-bn; or all, for the usual ones of the field."""

    width: int = 128
    """Channels, or units, of every hidden layer, where the network leaves it open."""

    parameterization: Literal["standard", "ntk"] = "standard"
    """Of the networks that have a kernel."""

    @property
    def all(self) -> bool:
        """Whether the usual networks of the field are asked for, and none by its name."""
        return self.network == ("all",)

    def named(self) -> list[Network]:
        """The networks.

        Raises:
            UnknownNameError, InputError: as `networks.named`.
        """
        return [
            networks.named(name, width=self.width, parameterization=self.parameterization)
            for name in (networks.EVALUATION if self.all else self.network)
        ]
