"""`kernel-distill evaluate`"""

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from kernel_distill.cli._devices import DeviceOptions
from kernel_distill.cli._distilled import DistilledOptions
from kernel_distill.cli._kernels import kernels_of
from kernel_distill.cli._show import table
from kernel_distill.evaluation import evaluate


@dataclass(frozen=True)
class Evaluate:
    """Test accuracy of kernel ridge regression on a distilled set.

    For example: kernel-distill evaluate runs/digits
    """

    run_directory: tyro.conf.Positional[Path]
    """A run directory, a distilled .npz, or a file of others (see import)."""

    data: DistilledOptions = field(default_factory=DistilledOptions)

    architecture: tuple[str, ...] = ()
    """By default those that the set was distilled with; needed where its file does not tell."""

    def run(self) -> None:
        distilled, dataset = self.data.open(self.run_directory)
        rows = []
        kernels = kernels_of(
            self.run_directory, distilled.metadata, architectures=self.architecture
        )
        for name, kernel in kernels:
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
