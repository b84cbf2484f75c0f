"""`kernel-distill evaluate`"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from kernel_distill._errors import InputError
from kernel_distill.cli._devices import DeviceOptions
from kernel_distill.cli._distilled import DistilledOptions
from kernel_distill.cli._show import table
from kernel_distill.evaluation import evaluate
from kernel_distill.kernels import Kernel, from_metadata, named


@dataclass(frozen=True)
class Evaluate:
    """Test accuracy of kernel ridge regression on a distilled set.

    For example: kernel-distill evaluate runs/mnist
    """

    run_directory: tyro.conf.Positional[Path]
    """A run directory, a distilled .npz, or a file of others (see import)."""

    data: DistilledOptions = field(default_factory=DistilledOptions)

    architecture: tuple[str, ...] = ()
    """By default those that the set was distilled with; needed where its file does not tell."""

    def run(self) -> None:
        distilled, dataset = self.data.open(self.run_directory)
        rows = []
        for name, kernel in self._kernels(distilled.metadata):
            placed = DeviceOptions().place(kernel)
            evaluation = evaluate(distilled, dataset.test, kernel=placed)
            rows.append(
                (
                    f"{name} {kernel.kind}",
                    f"{len(dataset.test)}",
                    f"{100 * evaluation.accuracy:.2f} %",
                    f"{evaluation.loss:.5f}",
                )
            )
        table(
            f"{len(distilled)} distilled images of {dataset.name}",
            rows,
            ("kernel", "test images", "accuracy", "loss"),
        )

    def _kernels(self, metadata: dict[str, Any]) -> Iterator[tuple[str, Kernel]]:
        """The kernels to evaluate with, and their architectures' names."""
        if self.architecture:
            for name in self.architecture:
                yield name, named(name).kernel(metadata.get("kernel", "ntk"))
            return
        if "architectures" not in metadata:
            raise InputError(
                f"{self.run_directory} does not tell which architecture it was distilled with. "
                "Give one or several: --architecture convnet3 fc1"
            )
        for settings in map(dict, metadata["architectures"]):
            # what was written before mixtures of both kinds has one kernel for all
            kind = settings.pop("kernel", metadata["kernel"])
            yield settings["name"], from_metadata(settings).kernel(kind)
