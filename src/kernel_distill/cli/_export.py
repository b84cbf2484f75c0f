"""`kernel-distill export`"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from kernel_distill._errors import InputError
from kernel_distill.artefact import load
from kernel_distill.cli._show import line


@dataclass(frozen=True)
class Export:
    """Write a distilled set as a file of its own.

    For example: kernel-distill export runs/mnist --format npz --out mnist10.npz
    """

    run_directory: tyro.conf.Positional[Path]
    """A run directory, or a distilled .npz."""

    out: Path
    """The file to write."""

    format: Literal["npz"] = "npz"
    """npz: `images`, `labels` and `metadata`, as `kernel_distill.load` reads them."""

    overwrite: bool = False
    """Replace the file if it is there."""

    def run(self) -> None:
        distilled = load(self.run_directory)
        if self.out.exists() and not self.overwrite:
            raise InputError(f"{self.out} exists: choose another --out, or give --overwrite")
        distilled.save(self.out)
        line(f"{self.out}: {len(distilled)} images {list(distilled.images.shape[1:])}")
