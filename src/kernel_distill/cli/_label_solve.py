"""`kernel-distill label-solve`"""

from dataclasses import dataclass, field

from kernel_distill import label_solve
from kernel_distill._errors import InputError
from kernel_distill.cli._devices import DeviceOptions
from kernel_distill.cli._distilling import run_distillation
from kernel_distill.cli._options import KernelOptions, OutputOptions
from kernel_distill.data import Settings as DataSettings


@dataclass(frozen=True)
class LabelSolve:
    """Keep natural images and solve for their labels (Label Solve).

    For example: kernel-distill label-solve --dataset digits --support-size 50 --out runs/labels
    """

    output: OutputOptions
    data: DataSettings = field(default_factory=DataSettings)
    kernel: KernelOptions = field(default_factory=KernelOptions)
    devices: DeviceOptions = field(default_factory=DeviceOptions)
    method: label_solve.Settings = field(default_factory=label_solve.Settings)

    def run(self) -> None:
        if len(self.kernel.architecture) != 1:
            raise InputError(
                "Label Solve takes one architecture; got "
                f"{', '.join(self.kernel.architecture)}. Only kip draws from several."
            )
        run_distillation(
            "label-solve",
            label_solve.distill,
            data_settings=self.data,
            kernel_options=self.kernel,
            device_options=self.devices,
            settings=self.method,
            output=self.output,
        )
