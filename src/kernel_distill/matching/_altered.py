"""A network whose layers are changed after they are made, with the same weights."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import PRNGKeyArray

from kernel_distill.networks import Network
from kernel_distill.transfer import Model


@dataclass(frozen=True)
class Altered(Network):
    """A network, each part of whose module went through `change`.

    States of the one are those of the other.

    Attributes:
        network: what is changed.
        change: takes a part of a flax module and changes it in place, or leaves it. Networks
            compare and hash by it: a function of a module of Python, or a frozen dataclass.
    """

    network: Network
    change: Callable[[Any], None]

    def module(self, image_shape: tuple[int, ...], *, num_classes: int, key: PRNGKeyArray) -> Any:
        from flax import nnx

        module = self.network.module(image_shape, num_classes=num_classes, key=key)
        for _, each in nnx.iter_graph(module):
            self.change(each)
        return module

    def to_metadata(self) -> dict[str, Any]:
        return self.network.to_metadata()


def altered(model: Model, change: Callable[[Any], None]) -> Model:
    """The model of the network with that change."""
    network = model.network
    return replace(model, network=Altered(network.name, network.width, network, change))
