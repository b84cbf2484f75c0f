"""What the distilling commands have in common: from the options to the printed result."""

import contextlib
import io
import shlex
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import jax
import numpy as np

from kernel_distill import _hosts as hosts
from kernel_distill import data
from kernel_distill.artefact import check_folder, package_versions
from kernel_distill.cli._devices import DeviceOptions
from kernel_distill.cli._options import KernelOptions, OutputOptions
from kernel_distill.cli._show import line, paths, progress_bar, table, waiting
from kernel_distill.data import Dataset, one_hot
from kernel_distill.evaluation import measure
from kernel_distill.kernels import FullyConnected, Kernel
from kernel_distill.results import Result
from kernel_distill.supports import check_kernel

_PICTURES = ("report.html", "images.png", "curves.png", "labels.png")
_LARGEST_FULL_SOLVE = 5000


def run_distillation(
    command: str,
    distill: Callable[..., Result],
    *,
    data_settings: data.Settings,
    kernel_options: KernelOptions,
    device_options: DeviceOptions,
    settings: Any,
    output: OutputOptions,
) -> None:
    """Loads, distils, writes the run directory and prints the table.

    Where processes are joined, all of them compute, and the first alone writes and prints.

    Args:
        command: its name, as it stands in config.yaml.
        distill: `kip.distill` or `label_solve.distill`.
        data_settings: which data set.
        kernel_options: which kernel.
        device_options: where it is computed.
        settings: the settings dataclass of `distill`.
        output: where to.
    """
    device_options.join()
    first = hosts.is_first()
    with contextlib.nullcontext() if first else contextlib.redirect_stdout(io.StringIO()):
        groups = (data_settings, kernel_options, device_options, settings)
        # first of all: processes with other devices, or another kernel, would wait for each other
        hosts.check_same(_settings(command, groups, output))
        hosts.by_first(
            lambda: check_folder(output.out, resume=output.resume, overwrite=output.overwrite)
        )
        watchers = hosts.by_first(output.watchers) or ()
        kernel = device_options.place(kernel_options.build())
        with waiting(f"loading and preprocessing {data_settings.dataset}"):
            dataset = data.load(**vars(data_settings))
        check_kernel(kernel, dataset, settings)
        hosts.check_same(_identity(dataset))
        # all that can be said against the input has been: from here on a run is begun, or
        # overwritten
        run = hosts.by_first(lambda: output.open(command, groups, watchers))
        with run or contextlib.nullcontext():
            with progress_bar(f"{command} {dataset.name}", lambda: kernel.progress) as report:
                result = distill(
                    kernel,
                    dataset,
                    key=jax.random.key(output.seed),
                    run=run,
                    report=report,
                    **vars(settings),
                )
            all_images = _from_all(dataset, kernel, ridge=settings.ridge)
            show_result(result, dataset, output, beside=all_images)


def show_result(
    result: Result,
    dataset: Dataset,
    output: OutputOptions,
    *,
    beside: Sequence[tuple[str, str]] = (),
) -> None:
    """Prints the table of a run, and where its files are.

    Args:
        result: of the run.
        dataset: what was distilled.
        output: where to.
        beside: further rows of the table.
    """
    size = len(result.distilled)
    accuracy = _percent(result.test_accuracy)
    if result.test_deviation is not None:
        accuracy = f"{accuracy[:-2]} ± {_percent(result.test_deviation)}"
    rows = [
        (f"{size} {result.initial_name} images", _percent(result.initial_test_accuracy)),
        (f"{size} distilled images", accuracy),
        *beside,
    ]
    table(f"Test accuracy on {dataset.name}", rows, ("learned from", "accuracy"))
    if result.distilled.metadata["step"] == 0 and result.steps > 0:
        line(
            "Nothing was learned: on the validation images no later state was better than "
            "the first. Take a smaller learning rate."
        )
    elif result.test_accuracy < (result.initial_test_accuracy or 0):
        line(
            f"Networks learn less from the distilled images than from the {result.initial_name} "
            "ones: take more steps, or other learning rates."
        )
    line(f"The distilled set and its pictures ({result.seconds:.0f} s of distilling):")
    paths(output.out, ("distilled.npz", *_PICTURES))
    if output.tensorboard:
        # by itself it shows the images of ten steps, drawn at random
        shown = f"--logdir {shlex.quote(str(output.out))} --samples_per_plugin images=100"
        line(f"To look at all of it: tensorboard {shown}")


def _settings(command: str, groups: tuple[Any, ...], output: OutputOptions) -> dict[str, Any]:
    """What all processes of a run must have been given alike, and their versions."""
    settings: dict[str, Any] = {"command": command, "seed": output.seed}
    for group in groups:
        settings |= asdict(group)
    for own in ("data_dir", "coordinator", "num_processes", "process_id"):
        del settings[own]
    return settings | {
        f"version of {name}": version for name, version in package_versions().items()
    }


def _identity(dataset: Dataset) -> dict[str, Any]:
    """What tells a data set from others, but not the images: their last bits may differ between
    kinds of processors."""
    labels = np.ascontiguousarray(dataset.train.labels).tobytes()
    return {"data set": dataset.to_metadata(), "training labels": zlib.crc32(labels)}


def _from_all(dataset: Dataset, kernel: Kernel, *, ridge: float) -> list[tuple[str, str]]:
    """What all training images teach, as a row of the table, where that is found in no time."""
    train = dataset.train
    cheap = all(isinstance(member.architecture, FullyConnected) for member in kernel.members)
    # the solve is cubic: a second here, hours at 50,000
    if not cheap or len(train) > _LARGEST_FULL_SOLVE:
        return []
    labels = one_hot(train.labels, train.num_classes)
    accuracies = [
        measure(
            member, train.images, labels, dataset.test, ridge=ridge, precision="float64"
        ).accuracy
        for member in kernel.members
    ]
    return [(f"all {len(train)} training images", _percent(float(np.mean(accuracies))))]


def _percent(accuracy: float | None) -> str:
    if accuracy is None:
        return "diverged"
    return f"{100 * accuracy:.1f} %"
