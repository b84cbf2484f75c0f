"""`kernel-distill choose`"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import jax
import tyro

from kernel_distill._errors import InputError
from kernel_distill._files import write_atomically
from kernel_distill.cli._compare import show
from kernel_distill.cli._distilled import DistilledOptions
from kernel_distill.cli._networks import SEARCHED, NetworkOptions
from kernel_distill.cli._show import line, paths, waiting
from kernel_distill.transfer import (
    TrainingSettings,
    compare,
    doubts,
    rank_correlations,
    ranked_columns,
    save_comparison,
)


@dataclass(frozen=True)
class Choose:
    """Rank architectures by training each on a distilled set only.

    Beside it on as many random images, and on all training images, whose ranking is the true one:
    the rank correlation with it says what the few images are good for. Accuracies are those on test
    images: that of a network chosen by this table wants others.

    For example: kernel-distill choose runs/digits --network fc1 fc2 fc3 --out runs/choice
    """

    run_directory: tyro.conf.Positional[Path]
    """A run directory, a distilled .npz, or a file of others (see import)."""

    out: Path
    """The folder for table.md, table.csv, table.png, choice.json and comparison.json, where what is
    measured already is kept."""

    networks: NetworkOptions = field(default_factory=NetworkOptions)

    seeds: int = 3
    """How many times each network is trained on each set."""

    seed: int = 0
    """All randomness follows from it."""

    data: DistilledOptions = field(default_factory=DistilledOptions)

    training: TrainingSettings = SEARCHED

    def run(self) -> None:
        chosen = self.networks.named()
        if len(chosen) < 3:
            raise InputError(
                f"a ranking needs three networks or more; got {len(chosen)}: name them with "
                "--network"
            )
        distilled, dataset = self.data.open(self.run_directory)
        with waiting("training") as report:
            comparison = compare(
                [(str(self.run_directory), distilled, dataset)],
                baselines=("random", "full"),
                networks=chosen,
                settings=self.training,
                seeds=self.seeds,
                key=jax.random.key(self.seed),
                folder=self.out,
                report=report,
            )
        title = f"Test accuracy on {dataset.name}"
        save_comparison(self.out, comparison, title=title)
        show(comparison, title=title)
        ceiling = comparison.rows[-1]
        names = [comparison.doors[column] for column in ranked_columns(ceiling)]
        correlations = [
            {"learned_from": row.name, "images": row.images, "rank_correlation": value}
            for row, value in rank_correlations(comparison)
        ]
        text = json.dumps(
            {"networks": names, "rank_correlations": correlations}, indent=2, allow_nan=False
        )
        write_atomically(self.out / "choice.json", (text + "\n").encode())
        line(f"Rank correlation with training on all images, of {', '.join(names)}:")
        for each in correlations:
            value = each["rank_correlation"]
            line(f"  {each['learned_from']}: {'undefined' if value is None else f'{value:.2f}'}")
        for doubt in doubts(comparison):
            line(doubt)
        files = ("table.md", "table.csv", "table.png", "choice.json", "comparison.json")
        paths(self.out, files)
