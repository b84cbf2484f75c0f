"""From the command line to a command, and from an error to an exit status."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import jax
import tyro

from kernel_distill._errors import KernelDistillError
from kernel_distill._interrupt import Interrupted
from kernel_distill.artefact import holds_run
from kernel_distill.cli._env import Env
from kernel_distill.cli._evaluate import Evaluate
from kernel_distill.cli._export import Export
from kernel_distill.cli._kip import Kip
from kernel_distill.cli._label_solve import LabelSolve
from kernel_distill.cli._options import arguments_of_config

_COMMANDS: dict[str, type] = {
    "kip": Kip,
    "label-solve": LabelSolve,
    "evaluate": Evaluate,
    "export": Export,
    "env": Env,
}
_DESCRIPTION = "Distil a data set into a handful of synthetic examples with neural kernels."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit status: 0, 1 for an error, 130 or 143 when stopped."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    jax.config.update("jax_enable_x64", True)
    signal.signal(signal.SIGTERM, _raise_interrupted)
    try:
        _parse(_with_config(given)).run()
    except KernelDistillError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        number = stop.signal_number if isinstance(stop, Interrupted) else signal.SIGINT
        print(_how_to_resume(given), file=sys.stderr)
        return 128 + number
    return 0


def _parse(arguments: list[str]) -> Any:
    union: Any = None
    for name, command in _COMMANDS.items():
        summary = (command.__doc__ or "").split("\n")[0]
        option: Any = Annotated[command, tyro.conf.subcommand(name, description=summary)]
        union = option if union is None else union | option
    return tyro.cli(
        union,
        args=arguments,
        prog="kernel-distill",
        description=_DESCRIPTION,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )


def _with_config(arguments: list[str]) -> list[str]:
    """The arguments with those of the configuration file before them: later ones win.

    A run that goes on takes the configuration it began with.
    """
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command not in ("kip", "label-solve"):
        return arguments
    early = _output_options(rest)
    config = early.config
    if config is None and early.resume and early.out and holds_run(early.out):
        config = early.out / "config.yaml"
    if config is None:
        return arguments
    return [command, *arguments_of_config(config, command, _COMMANDS[command]), *rest]


def _output_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--resume", action="store_true")
    return parser.parse_known_args(arguments)[0]


def _how_to_resume(arguments: list[str]) -> str:
    out = _output_options(arguments).out
    if out is None or not holds_run(out):
        return "stopped"
    return f"stopped; go on with: kernel-distill {arguments[0]} --out {out} --resume"


def _raise_interrupted(number: int, frame: FrameType | None) -> None:
    del frame
    raise Interrupted(number)
