"""`kernel-distill import`"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import tyro

from kernel_distill._errors import InputError
from kernel_distill.cli._distilled import DistilledOptions
from kernel_distill.cli._show import line


@dataclass(frozen=True)
class Import:
    """Write a distilled set of others as a file of this project's own.

    Read are the .npz of KIP's release, of RFAD and others with images and labels; the .pt of DC,
    DSA and DM, and folders of DD-Ranking (with pip install 'kernel-distill[torch]'); folders with a
    folder of PNG or JPEG images a class, of TensorFlow Datasets, and of Parquet files. Images of
    floats are taken as preprocessed, those of 8 bits as natural. What export has written tells all
    that it was.

    For example: kernel-distill import exports/digits --out digits.npz
    """

    file: tyro.conf.Positional[Path]
    """The file or folder."""

    out: Path
    """The file to write."""

    data: DistilledOptions = field(default_factory=DistilledOptions)

    index: int = 0
    """Of several sets in a .pt, which one."""

    overwrite: bool = False
    """Replace the file if it is there."""

    def run(self) -> None:
        if self.out.exists() and not self.overwrite:
            raise InputError(f"{self.out} exists: choose another --out, or give --overwrite")
        distilled, _ = self.data.open_others(self.file, index=self.index)
        # here, so that a file that is read twice is the same set; an export tells of its run's
        created = {"created": datetime.now(UTC).isoformat(timespec="seconds")}
        replace(distilled, metadata=created | distilled.metadata).save(self.out)
        line(f"{self.out}: {len(distilled)} images {list(distilled.images.shape[1:])}")
