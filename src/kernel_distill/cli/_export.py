"""`kernel-distill export`"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from kernel_distill import foreign
from kernel_distill._errors import InputError
from kernel_distill.artefact import load
from kernel_distill.cli._distilled import WhitenedOptions
from kernel_distill.cli._show import line


@dataclass(frozen=True)
class Export:
    """Write a distilled set as another tool loads it.

    For example: kernel-distill export runs/digits --format parquet --out exports/digits
    """

    run_directory: tyro.conf.Positional[Path]
    """A run directory, or a distilled .npz."""

    out: Path
    """The file (npz, dc) or the folder (all others) to write. Import reads it again."""

    format: Literal["npz", "npz-kip", "dc", "dc-bench", "dd-ranking", "tfds", "parquet", "png"] = (
        "npz"
    )
    """npz: the artefact, for kernel_distill.load and numpy.load.
    npz-kip: as in the release of KIP's authors, for code that loads that.
    dc: a .pt for DC, DSA, DM and what was built on them.
    dc-bench: METHOD/DATASET/IPCn/ for DC-BENCH's distilled_results.
    dd-ranking: images.pt and labels.pt for DD-Ranking's evaluators.
    tfds: for tensorflow_datasets.builder_from_directory.
    parquet: for Hugging Face's datasets.load_dataset, with a data card.
    png: a picture an image and a contact sheet, for people.
    dc, dc-bench and dd-ranking need pip install 'kernel-distill[torch]'."""

    data: WhitenedOptions = field(default_factory=WhitenedOptions)

    overwrite: bool = False
    """Replace the file, or the folder of an earlier export, if it is there."""

    def run(self) -> None:
        foreign.check_target(self.out, format=self.format, overwrite=self.overwrite)
        if foreign.recognised(self.run_directory):
            raise InputError(
                f"{self.run_directory} is a set of another tool: import it first "
                f"(kernel-distill import {self.run_directory} --out NAME.npz), and export that"
            )
        distilled = load(self.run_directory)
        preprocessing = None
        if self.format != "npz":
            preprocessing = self.data.preprocessing_of(self.run_directory, distilled)
        notes = foreign.write(
            distilled,
            self.out,
            format=self.format,
            preprocessing=preprocessing,
            overwrite=self.overwrite,
        )
        line(f"{self.out}: {len(distilled)} images {list(distilled.images.shape[1:])}")
        for note in notes:
            line(f"  {note}")
