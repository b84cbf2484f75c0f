"""`kernel-distill continual`"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np
import tyro

from kernel_distill._errors import InputError
from kernel_distill._files import write_atomically
from kernel_distill.artefact import save_picture, transfer_picture
from kernel_distill.cli._distilled import DistilledOptions
from kernel_distill.cli._networks import SEARCHED, NetworkOptions
from kernel_distill.cli._show import paths, table, waiting
from kernel_distill.transfer import TrainingSettings, continual, per_cent


@dataclass(frozen=True)
class ContinualCommand:
    """Learn the classes in tasks, one after another, with a distilled set as the memory.

    Beside it with as many random images. After every task a network is trained from scratch on the
    memory, and tested on all classes that it has met.

    For example: kernel-distill continual runs/digits --network fc1 --out runs/continual
    """

    run_directory: tyro.conf.Positional[Path]
    """A run directory, a distilled .npz, or a file of others (see import)."""

    out: Path
    """The folder for continual.json and continual.png."""

    networks: NetworkOptions = field(default_factory=lambda: NetworkOptions(("convnet3",)))

    tasks: int = 5
    """How many the classes are shared out among, in their order."""

    seeds: int = 5
    """How many networks, and random memories."""

    seed: int = 0
    """All randomness follows from it."""

    data: DistilledOptions = field(default_factory=DistilledOptions)

    training: TrainingSettings = SEARCHED

    def run(self) -> None:
        if len(chosen := self.networks.named()) != 1:
            raise InputError(f"one network learns; got {len(chosen)}: name one with --network")
        distilled, dataset = self.data.open(self.run_directory)
        with waiting("training") as report:
            found = continual(
                chosen[0],
                distilled,
                dataset,
                tasks=self.tasks,
                settings=self.training,
                seeds=self.seeds,
                key=jax.random.key(self.seed),
                report=report,
            )
        text = json.dumps(found.to_json(), indent=2, allow_nan=False)
        write_atomically(self.out / "continual.json", (text + "\n").encode())
        title = f"{found.network.label} on {dataset.name}, {len(distilled)} images in memory"
        classes = np.array(found.classes)
        curves = {name: (classes, accuracies) for name, accuracies in found.accuracies.items()}
        picture = transfer_picture(
            curves, title=title, across="classes met", upwards="test accuracy on them (%)"
        )
        save_picture(self.out / "continual.png", picture)
        rows = [
            (name, *(per_cent(accuracies[:, task]) for task in range(len(classes))))
            for name, accuracies in found.accuracies.items()
        ]
        table(title, rows, ("memory", *(f"{count} classes (%)" for count in classes)))
        paths(self.out, ("continual.json", "continual.png"))
