"""`kernel-distill estimate`"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from kernel_distill import data, kip, label_solve
from kernel_distill.cli._devices import DeviceOptions
from kernel_distill.cli._options import KernelOptions
from kernel_distill.cli._show import line, table, waiting
from kernel_distill.data import Settings as DataSettings


@dataclass(frozen=True)
class ConfigOptions:
    """Where the options come from."""

    config: Path | None = None
    """Settings from the config.yaml of a run; options on the command line go first."""

    seed: int = 0
    """As a run takes it; an estimate does not depend on it."""

    out: Path | None = None
    """As a run takes it; nothing is written."""


@dataclass(frozen=True)
class _Run:
    origin: ConfigOptions = field(default_factory=ConfigOptions)
    data: DataSettings = field(default_factory=DataSettings)
    kernel: KernelOptions = field(default_factory=KernelOptions)
    devices: DeviceOptions = field(default_factory=DeviceOptions)


@dataclass(frozen=True)
class EstimateKip(_Run):
    """A run of kip: give the options of the run."""

    method: kip.Settings = field(default_factory=kip.Settings)


@dataclass(frozen=True)
class EstimateLabelSolve(_Run):
    """A run of label-solve: give the options of the run."""

    method: label_solve.Settings = field(default_factory=label_solve.Settings)


METHODS = {"kip": EstimateKip, "label-solve": EstimateLabelSolve}


@dataclass(frozen=True)
class Estimate:
    """Time and memory of a whole run before it starts, from timing a part of it.

    For example: kernel-distill estimate kip --dataset digits --images-per-class 10
    """

    run_of: (
        Annotated[EstimateKip, tyro.conf.subcommand("kip")]
        | Annotated[EstimateLabelSolve, tyro.conf.subcommand("label-solve")]
    )

    def run(self) -> None:
        of = self.run_of
        # what a cluster, or several hosts, have is known to those who run them
        elsewhere = ("ray", "group", "coordinator", "num_processes", "process_id")
        alone: Any = dict.fromkeys(elsewhere)
        devices = replace(of.devices, **alone, insecure=False)
        kernel = devices.place(of.kernel.build())
        with waiting(f"loading and preprocessing {of.data.dataset}"):
            dataset = data.load(**vars(of.data))
        expect: Any = kip.estimate if isinstance(of, EstimateKip) else label_solve.estimate
        with waiting("timing a part of the run"):
            found = expect(kernel, dataset, **vars(of.method))
        rows = [
            ("a step" if isinstance(of, EstimateKip) else "a block of targets", _time(found.step)),
            ("compiling", _time(found.compiling)),
            ("the whole run", _time(found.seconds)),
            ("memory of a kernel block", _size(found.memory)),
        ]
        table(f"Expected on {dataset.name}", rows, ("what", "how much"))
        if of.devices.ray is not None:
            line("This is for this machine, not for the Ray cluster.")
        if of.devices.coordinator is not None:
            line("This is for this machine alone, not for all processes together.")


def _size(memory: int) -> str:
    return f"{memory / 2**20:.0f} MiB" if memory >= 2**20 else f"{memory / 2**10:.0f} KiB"


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
