"""`kernel-distill evaluate`"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from kernel_distill import data
from kernel_distill.artefact import holds_run, load, read_config
from kernel_distill.cli._devices import DeviceOptions
from kernel_distill.cli._show import table
from kernel_distill.evaluation import evaluate
from kernel_distill.kernels import from_metadata


@dataclass(frozen=True)
class Evaluate:
    """Test accuracy of kernel ridge regression on a distilled set.

    For example: kernel-distill evaluate runs/mnist
    """

    run_directory: tyro.conf.Positional[Path]
    """A run directory, or a distilled .npz."""

    dataset: str | None = None
    """Where the data are now, if a file or folder of them has moved."""

    data_dir: str | None = None
    """Where TensorFlow Datasets keeps its prepared sets, if not where the run found them."""

    def run(self) -> None:
        distilled = load(self.run_directory)
        config = (
            read_config(self.run_directory / "config.yaml") if holds_run(self.run_directory) else {}
        )
        whitening = self.run_directory / "preprocessing.npz"
        dataset = data.load_again(
            distilled.metadata,
            dataset=self.dataset or config.get("dataset"),
            data_dir=self.data_dir or config.get("data_dir"),
            whitening=whitening if whitening.is_file() else None,
        )
        rows = []
        for metadata in map(dict, distilled.metadata["architectures"]):
            # what was written before mixtures of both kinds has one kernel for all
            kind = metadata.pop("kernel", distilled.metadata["kernel"])
            kernel = DeviceOptions().place(from_metadata(metadata).kernel(kind))
            evaluation = evaluate(distilled, dataset.test, kernel=kernel)
            rows.append(
                (
                    f"{metadata['name']} {kernel.kind}",
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
