"""The kernels that a distilled set is evaluated with."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kernel_distill._errors import InputError
from kernel_distill.kernels import Kernel, from_metadata, named


def kernels_of(
    path: Path, metadata: dict[str, Any], *, architectures: Sequence[str] = ()
) -> Iterator[tuple[str, Kernel]]:
    """The kernels, with the names of their architectures.

    Args:
        path: where the set comes from, for the message.
        metadata: of the set.
        architectures: names of those to take in place of the ones it was distilled with.

    Raises:
        InputError: the metadata tell of none, and none is given.
        UnknownNameError: there is no such architecture.
    """
    if architectures:
        for name in architectures:
            yield name, named(name).kernel(metadata.get("kernel", "ntk"))
        return
    if "network" in metadata and "architectures" not in metadata:
        network = metadata["network"]
        width = f" --width {network['width']}" if network.get("width") else ""
        raise InputError(
            f"{path} was distilled for a network, {network['name']}, and for no kernel: train that "
            f"on it with kernel-distill transfer {path} --network {network['name']}{width}, or "
            "give kernels all the same, one or several: --architecture convnet3 fc1"
        )
    if "architectures" not in metadata:
        raise InputError(
            f"{path} does not tell which architecture it was distilled with. "
            "Give one or several: --architecture convnet3 fc1"
        )
    for settings in map(dict, metadata["architectures"]):
        # what was written before mixtures of both kinds has one kernel for all
        kind = settings.pop("kernel", metadata["kernel"])
        yield settings["name"], from_metadata(settings).kernel(kind)
