"""`kernel-distill compare`"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import jax
import tyro

from kernel_distill import foreign
from kernel_distill._errors import InputError
from kernel_distill.artefact import Distilled
from kernel_distill.cli._devices import DeviceOptions
from kernel_distill.cli._distilled import DistilledOptions
from kernel_distill.cli._kernels import kernels_of
from kernel_distill.cli._networks import FACTORS, NetworkOptions
from kernel_distill.cli._show import line, paths, table, waiting
from kernel_distill.data import Dataset
from kernel_distill.kernels import Kernel
from kernel_distill.transfer import (
    BASELINES,
    NEAREST,
    USUAL_BASELINES,
    Comparison,
    Failed,
    TrainingSettings,
    compare,
    legend,
    save_comparison,
    text_table,
)


def show(comparison: Comparison, *, title: str) -> None:
    """Prints the table, and below it what the numbers are, and why cells failed."""
    header, *rows = text_table(comparison)
    table(title, rows, header)
    line(legend(comparison))
    for row in comparison.rows:
        for door, cell in zip(comparison.doors, row.cells, strict=True):
            if isinstance(cell, Failed):
                line(f"{row.name}, {row.images} images, {door}: {cell.reason}")


@dataclass(frozen=True)
class Compare:
    """Compare distilled sets with each other and with as many images of the data set.

    All go through the same doors: kernel ridge regression, and the training of networks that are
    named. Accuracies that --out has already are not measured again.

    For example: kernel-distill compare runs/mnist --network lenet --seeds 5 --out comparison
    """

    run_directories: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories, distilled .npz, or files of others (see import)."""

    out: Path
    """The folder for table.md, table.csv, table.png and comparison.json."""

    baselines: tuple[str, ...] = USUAL_BASELINES
    """Which: random, optimised (the best fifth of random sets, judged on validation images),
    kmeans, average (of each class), herding, kcenter, full (all training images; for ridge
    regression, as many as are feasible), and the nearest neighbour of nearest-random and
    nearest-kmeans; all, or none."""

    architecture: tuple[str, ...] = ()
    """Of the kernels of ridge regression: by default those that the sets were distilled with."""

    networks: NetworkOptions = field(default_factory=NetworkOptions)

    seeds: int = 5
    """How many times baselines are drawn, and networks trained."""

    seed: int = 0
    """All randomness follows from it."""

    data: DistilledOptions = field(default_factory=DistilledOptions)

    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(factor=FACTORS))

    def run(self) -> None:
        if not self.run_directories:
            raise InputError("nothing to compare: give run directories, or distilled .npz")
        trained = self.networks.named()
        runs = self._open()
        kernels = self._kernels(runs)
        with waiting("comparing") as report:
            comparison = compare(
                runs,
                baselines=self._baselines(),
                kernels=kernels,
                networks=trained,
                settings=self.training,
                seeds=self.seeds,
                key=jax.random.key(self.seed),
                folder=self.out,
                report=report,
            )
        title = f"Test accuracy on {', '.join(dict.fromkeys(data.name for _, _, data in runs))}"
        save_comparison(self.out, comparison, title=title)
        show(comparison, title=title)
        line("The table as text and as a picture, and every accuracy:")
        paths(self.out, ("table.md", "table.csv", "table.png", "comparison.json"))

    def _open(self) -> list[tuple[str, Distilled, Dataset]]:
        """Each set with its data; those of the same data have them in common."""
        loaded: dict[str, Dataset] = {}
        runs = []
        for path in self.run_directories:
            # own files know their preprocessing: the option is for those of others beside them
            others = foreign.recognised(path)
            options = self.data if others else replace(self.data, preprocessing=None)
            distilled, data = options.open(path)
            known = data.preprocessing.fingerprint + data.test.content_hash
            data = loaded.setdefault(known, data)
            runs.append((str(path), distilled, data))
        return runs

    def _kernels(self, runs: Sequence[tuple[str, Distilled, Dataset]]) -> list[Kernel]:
        found: dict[tuple[str, str], Kernel] = {}
        for path, (_, distilled, _) in zip(self.run_directories, runs, strict=True):
            known = self.architecture or "architectures" in distilled.metadata
            if self.networks.network and not known:
                continue  # a set of others, which networks alone are trained on
            kernels = kernels_of(path, distilled.metadata, architectures=self.architecture)
            for _, kernel in kernels:
                found.setdefault((repr(kernel.architecture), kernel.kind), kernel)
        return [DeviceOptions().place(kernel) for kernel in found.values()]

    def _baselines(self) -> tuple[str, ...]:
        if self.baselines == ("none",):
            return ()
        return (*BASELINES, *NEAREST) if self.baselines == ("all",) else self.baselines
