"""What several commands take: the kernel, the run directory; and configuration files."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from kernel_distill._errors import InputError, unknown_name
from kernel_distill.artefact import RESULT, Run, Watcher, read_config
from kernel_distill.cli._show import line
from kernel_distill.kernels import Kernel, mixture, named
from kernel_distill.watchers import TensorBoard, WeightsAndBiases


@dataclass(frozen=True)
class KernelOptions:
    """Which kernel."""

    architecture: tuple[str, ...] = ("fc1",)
    """fc1, fc2, ... (fully connected, by hidden layers), convnet (KIP's, with the prepended
    layer), convnet3, ... (without), myrtle5, myrtle7, myrtle10. KIP draws one a step where
    several are given."""

    kernel: Literal["ntk", "nngp"] = "ntk"
    """The tangent kernel, or that of the random network."""

    w_std: float = 2**0.5
    """Standard deviation of the weights."""

    b_std: float = 0.1
    """Standard deviation of the biases."""

    activation: Literal["relu", "erf", "gelu"] = "relu"
    """Of every hidden layer."""

    implementation: Literal["auto", "exact", "neural_tangents"] = "auto"
    """The project's closed form where there is one (auto), only it, or neural-tangents."""

    def build(self) -> Kernel:
        """The kernel, or the mixture of several.

        Raises:
            UnknownNameError: no such architecture.
        """
        kernels = [
            named(name, w_std=self.w_std, b_std=self.b_std, activation=self.activation).kernel(
                self.kernel, implementation=self.implementation
            )
            for name in self.architecture
        ]
        return kernels[0] if len(kernels) == 1 else mixture(*kernels)


@dataclass(frozen=True)
class OutputOptions:
    """Where the run goes."""

    out: Path
    """The run directory."""

    seed: int = 0
    """All randomness of the run follows from it."""

    config: Path | None = None
    """Settings from the config.yaml of another run; options on the command line go first."""

    resume: bool = False
    """Go on with the run in the directory, from its last checkpoint, to the same numbers."""

    overwrite: bool = False
    """Begin anew and lose the run in the directory."""

    tensorboard: bool = False
    """Write figures and images for TensorBoard as the run goes on, to tensorboard/ in the
    directory. A run that is resumed with it is shown from its start, watched before or not."""

    wandb: bool = False
    """Show them on Weights & Biases; WANDB_PROJECT, WANDB_ENTITY and WANDB_MODE say where, and
    whether online. Needs pip install 'kernel-distill[wandb]'."""

    def watchers(self) -> list[Watcher]:
        """Who looks on as the run goes on.

        Raises:
            MissingExtraError: wandb is not installed.
        """
        chosen: list[Watcher] = []
        if self.tensorboard:
            chosen.append(TensorBoard())
        if self.wandb:
            chosen.append(WeightsAndBiases())
        return chosen

    def open(self, command: str, settings: Iterable[Any], watchers: Sequence[Watcher]) -> Run:
        """The run directory, with every setting of the run in its config.yaml.

        Raises:
            InputError: the folder holds a run already, or another than is to be resumed.
        """
        config: dict[str, Any] = {"command": command}
        defaults: dict[str, Any] = {}
        for group in settings:
            config |= asdict(group)
            defaults |= asdict(type(group)())
        config |= asdict(self)
        config = {name: str(v) if isinstance(v, Path) else v for name, v in config.items()}
        has_result = self.resume and (self.out / RESULT).exists()
        run = Run.create(
            self.out,
            config,
            resume=self.resume,
            overwrite=self.overwrite,
            defaults=defaults,
            watchers=watchers,
        )
        if has_result:
            line(
                f"The run in {self.out} has a result already: what is left of its steps, mostly "
                "none, is done, and the result is written again."
            )
        return run


# options that stand in place of others, which a configuration file may have
_INSTEAD = {
    "memory": {"tile"},
    "tile": {"memory"},
    "ray": {"devices"},
    "devices": {"ray", "group"},
    "coordinator": {"ray", "group"},
}


def arguments_of_config(
    path: Path, command: str, settings: type, *, given: Sequence[str] = ()
) -> list[str]:
    """A configuration file as command line arguments: it is options written down.

    Args:
        path: config.yaml of a run, or one written by hand; every key is optional.
        command: its name.
        settings: the dataclass of the command, which nests the settings by groups.
        given: the arguments of the command line; what these stand in place of is left out.

    Raises:
        InputError: it is no mapping, or belongs to another command.
        UnknownNameError: a key is no setting of the command.
    """
    config = read_config(path)
    meant = config.pop("command", command)
    if meant != command:
        raise InputError(
            f"{path} holds the settings of {meant}, not of {command}: run "
            f"`kernel-distill {meant} --config {path}`"
        )
    known = {
        field.name
        for group in fields(settings)
        if is_dataclass(group.type)
        for field in fields(group.type)
    }
    if config.pop("insecure", False):
        warnings.warn(
            f"{path} has insecure: true, which a file cannot say: give --insecure", stacklevel=2
        )
    options = {each.removeprefix("--").split("=")[0] for each in given if each.startswith("--")}
    replaced = set().union(*(_INSTEAD.get(option, set()) for option in options))
    arguments: list[str] = []
    for name, value in config.items():
        if name not in known:
            raise unknown_name(f"setting in {path}", name, known)
        if name in replaced:
            continue
        arguments += _as_arguments(name.replace("_", "-"), value)
    return arguments


def _as_arguments(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, list):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}", str(value)]
