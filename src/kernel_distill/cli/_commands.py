"""The commands, and their options as the command line takes them."""

import inspect
from typing import Annotated, Any

import tyro

from kernel_distill.cli._choose import Choose
from kernel_distill.cli._compare import Compare
from kernel_distill.cli._completion import Completion
from kernel_distill.cli._continual import ContinualCommand
from kernel_distill.cli._env import Env
from kernel_distill.cli._estimate import Estimate
from kernel_distill.cli._evaluate import Evaluate
from kernel_distill.cli._export import Export
from kernel_distill.cli._import import Import
from kernel_distill.cli._kip import Kip
from kernel_distill.cli._label_solve import LabelSolve
from kernel_distill.cli._match import Match
from kernel_distill.cli._transfer import TransferCommand

COMMANDS: dict[str, type] = {
    "kip": Kip,
    "label-solve": LabelSolve,
    "match": Match,
    "estimate": Estimate,
    "evaluate": Evaluate,
    "transfer": TransferCommand,
    "compare": Compare,
    "choose": Choose,
    "continual": ContinualCommand,
    "export": Export,
    "import": Import,
    "env": Env,
    "completion": Completion,
}
_DESCRIPTION = "Distil a data set into a handful of synthetic examples with neural kernels."
_EXAMPLE = "For example: "


def union(chosen: str | None = None, *, match: type[Match] = Match) -> Any:
    """The type that tyro reads the command line as: one of the commands.

    Args:
        chosen: the command that is told in full; of the others the first line is.
        match: that command with the settings of one of its methods.
    """
    made: Any = None
    for name, command in (COMMANDS | {"match": match}).items():
        text = description(name)
        if name != chosen:  # a line in the list of commands; all of it in its own help
            text = text.split("\n")[0]
        # a type made at run time, which no static checker can follow
        option: Any = Annotated[command, tyro.conf.subcommand(name, description=text)]
        made = option if made is None else made | option
    return made


def settings() -> dict[str, Any]:
    """How tyro names the program and its options."""
    return {
        "prog": "kernel-distill",
        "description": _DESCRIPTION,
        "config": (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    }


def description(name: str) -> str:
    """What the command does: its docstring, but for the example."""
    return _told(name)[0].strip()


def example(name: str) -> str:
    """A line that calls the command, as its docstring ends with it."""
    return _told(name)[2]


def _told(name: str) -> tuple[str, str, str]:
    return inspect.cleandoc(COMMANDS[name].__doc__ or "").partition(_EXAMPLE)
