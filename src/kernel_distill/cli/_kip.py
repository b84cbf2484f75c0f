"""`kernel-distill kip`"""

from dataclasses import dataclass, field

from kernel_distill import kip
from kernel_distill.cli._devices import DeviceOptions
from kernel_distill.cli._distilling import run_distillation
from kernel_distill.cli._options import KernelOptions, OutputOptions
from kernel_distill.data import Settings as DataSettings


@dataclass(frozen=True)
class Kip:
    """Learn images and labels (Kernel Inducing Points).

    For example: kernel-distill kip --dataset digits --images-per-class 1 --out runs/digits
    """

    output: OutputOptions
    data: DataSettings = field(default_factory=DataSettings)
    kernel: KernelOptions = field(default_factory=KernelOptions)
    devices: DeviceOptions = field(default_factory=DeviceOptions)
    method: kip.Settings = field(default_factory=kip.Settings)

    def run(self) -> None:
        run_distillation(
            "kip",
            kip.distill,
            data_settings=self.data,
            kernel_options=self.kernel,
            device_options=self.devices,
            settings=self.method,
            output=self.output,
        )
