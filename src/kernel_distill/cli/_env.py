"""`kernel-distill env`"""

import os
from dataclasses import dataclass
from pathlib import Path

import jax

from kernel_distill.artefact import device_description, package_versions
from kernel_distill.cli._show import table


@dataclass(frozen=True)
class Env:
    """Versions and devices, for a bug report.

    For example: kernel-distill env
    """

    def run(self) -> None:
        data_dir = os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets"
        rows = [
            *package_versions().items(),
            ("device", device_description()),
            ("JAX devices", ", ".join(map(str, jax.devices()))),
            ("data sets", str(data_dir)),
        ]
        table("kernel-distill", rows, ("what", "which"))
