"""`kernel-distill transfer`"""

from dataclasses import dataclass, field
from pathlib import Path

import jax
import tyro

from kernel_distill._errors import InputError, NumericalError
from kernel_distill.artefact import Distilled, holds_run
from kernel_distill.cli._distilled import DistilledOptions
from kernel_distill.cli._networks import SEARCHED, NetworkOptions
from kernel_distill.cli._show import line, paths, progress_bar, table
from kernel_distill.data import Dataset
from kernel_distill.networks import Network
from kernel_distill.transfer import (
    TrainingSettings,
    Transfer,
    check_match,
    check_training,
    per_cent,
    save_transfer,
    transfer,
)


@dataclass(frozen=True)
class TransferCommand:
    """Train networks of finite width on a distilled set, and test them.

    For example: kernel-distill transfer runs/digits --network fc1 --seeds 3
    """

    run_directory: tyro.conf.Positional[Path]
    """A run directory, a distilled .npz, or a file of others (see import)."""

    networks: NetworkOptions = field(default_factory=lambda: NetworkOptions(("convnet",)))

    seeds: int = 5
    """How many times each network is trained."""

    seed: int = 0
    """All randomness follows from it."""

    out: Path | None = None
    """Where transfer.json and transfer.png go: by default the run directory. Earlier results of
    other networks and widths stay there; those of the same are replaced."""

    data: DistilledOptions = field(default_factory=DistilledOptions)

    training: TrainingSettings = SEARCHED

    def run(self) -> None:
        out = self._folder()
        if not (chosen := self.networks.named()):
            raise InputError("no network to train: name one or more with --network, or all")
        distilled, dataset = self.data.open(self.run_directory)
        check_match(distilled, dataset)
        chosen = self._trainable(chosen, distilled, dataset)
        if "unrolled" in distilled.metadata:
            line(
                "The images were distilled for a few steps at learned rates, which networks here "
                "do not take: kernel_distill.matching.performance.follow does, from Python."
            )
        title = f"{len(distilled)} distilled images of {dataset.name}"
        rows, failures, replaced = [], [], []
        for network in chosen:
            try:
                with progress_bar(network.name) as report:
                    result = transfer(
                        network,
                        distilled,
                        dataset,
                        settings=self.training,
                        seeds=self.seeds,
                        key=jax.random.key(self.seed),
                        report=report,
                    )
            except NumericalError as error:
                failures.append(error)
                rows.append(_row(network, "failed"))
                continue
            if save_transfer(out, result, title=title):
                replaced.append(network.label)
            rows.append(_row(network, *_found(result)))
        header = ("network", "width", "test accuracy", "rate", "l2", "label scale", "time")
        if len(failures) == len(chosen):
            raise NumericalError("; ".join(map(str, failures)))
        table(title, rows, header)
        for failure in failures:
            line(str(failure))
        if replaced:
            line(f"Earlier results of {', '.join(replaced)} are replaced.")
        line("The accuracies of all seeds, the settings and the curves:")
        paths(out, ("transfer.json", "transfer.png"))

    def _trainable(
        self, chosen: list[Network], distilled: Distilled, dataset: Dataset
    ) -> list[Network]:
        """The networks, of all those that the images and the memory suffice for."""
        found: list[Network] = []
        refused: list[str] = []
        for network in chosen:
            try:
                check_training(
                    network, dataset, len(distilled), settings=self.training, seeds=self.seeds
                )
                found.append(network)
            except InputError as error:
                if not self.networks.all or len(refused) == len(chosen) - 1:
                    raise
                refused.append(f"{network.name} is left out: {error}")
        for each in refused:
            line(each)
        return found

    def _folder(self) -> Path:
        if self.seeds < 1:
            raise InputError(f"seeds must be 1 or more; got {self.seeds}")
        if not self.run_directory.exists():
            raise InputError(f"{self.run_directory} does not exist: give a run directory or a file")
        if self.out is not None:
            return self.out
        if not holds_run(self.run_directory):
            raise InputError(
                f"{self.run_directory} is no run directory: say with --out which folder the "
                "results go to"
            )
        return self.run_directory


def _row(network: Network, *found: str) -> tuple[str, ...]:
    return (network.name, str(network.width or "fixed"), *found, *("",) * (5 - len(found)))


def _found(result: Transfer) -> tuple[str, ...]:
    return (
        f"{per_cent(result.accuracies)} %",
        f"{result.learning_rates.mean():.3g}",
        f"{result.settings.l2[0]:g}",
        f"{result.settings.label_scale[0]:g}",
        f"{result.seconds:.0f} s",
    )
