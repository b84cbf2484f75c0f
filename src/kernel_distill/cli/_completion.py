"""`kernel-distill completion`"""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import tyro

from kernel_distill import data, foreign, kernels, kip, matching, networks, transfer
from kernel_distill._files import write_atomically
from kernel_distill.cli._distilled import DistilledOptions
from kernel_distill.cli._show import line

Shell = Literal["bash", "zsh", "fish"]

# where a shell looks for a user's completions by itself (zsh: by the convention of others),
# within XDG_DATA_HOME or XDG_CONFIG_HOME
_PLACES: dict[Shell, tuple[str, str, str]] = {
    "bash": ("XDG_DATA_HOME", ".local/share", "bash-completion/completions/kernel-distill"),
    "zsh": ("XDG_DATA_HOME", ".local/share", "zsh/site-functions/_kernel-distill"),
    "fish": ("XDG_CONFIG_HOME", ".config", "fish/completions/kernel-distill.fish"),
}


# of the hundreds that TensorFlow Datasets knows, which it takes seconds to list, those on which
# distillation is measured
_DATASETS = ("digits", "mnist", "fashion_mnist", "svhn_cropped", "cifar10", "cifar100")


@dataclass(frozen=True)
class Completion:
    """Complete commands, options and their values with the Tab key.

    Prints a script for the shell, or puts it where the shell looks for it (--install). The script
    has all options in it: to complete starts no Python. After an update, install it again.

    For example: kernel-distill completion bash --install
    """

    shell: tyro.conf.Positional[Shell]
    """Which shell."""

    install: bool = False
    """Write the script to the user's own folder of completions."""

    def run(self) -> None:
        text = script(self.shell)
        if not self.install:
            print(text)
            return
        place = _place(self.shell)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, text.encode())
        line(f"{place}: new shells complete kernel-distill.")
        line(_condition(self.shell, place))


def script(shell: Shell) -> str:
    """The script that completes the command line; nothing else is needed to run it."""
    import shtab

    parser = argument_parser()
    known = _known_values()
    for command, action in _actions(parser):
        name = action.dest.rpartition(".")[2]
        if action.choices is not None:  # a Literal says itself what there is
            continue
        if name == "preprocessing" and _takes_foreign_sets(command):
            action.choices = foreign.PREPROCESSINGS  # as no data set of ours is, too
        elif name in known:
            action.choices = known[name]
        elif name == "dataset":
            action.complete = _dataset()
        elif "PATH" in str(action.metavar) or name == "data_dir":
            action.complete = shtab.FILE
    return shtab.complete(parser, shell)


def argument_parser() -> Any:
    """The command line in the form of argparse, for what reads options of that form.

    tyro's own scripts of completion start Python at every key, complete no paths of positional
    arguments, and break at help of several lines.
    """
    # here, because this command is one of them
    from kernel_distill.cli import _commands as commands
    from kernel_distill.cli._match import match_with_all

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return tyro.extras.get_parser(commands.union(match=match_with_all()), **commands.settings())


def _takes_foreign_sets(command: str) -> bool:
    from kernel_distill.cli._commands import COMMANDS

    return any(field.type is DistilledOptions for field in fields(COMMANDS[command]))


def _actions(parser: Any, command: str = "") -> Iterator[tuple[str, Any]]:
    """The options of a parser and of those of its commands, each with its first command."""
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for name, inner in action.choices.items():
                yield from _actions(inner, command or name)
        else:
            yield command, action


def _known_values() -> dict[str, Sequence[str]]:
    """What options are given that take names, and not only these."""
    return {
        "architecture": kernels.NAMES,
        "network": (*networks.NAMES, "all"),
        "method": tuple(matching.METHODS),
        "optimizer": kip.optimizer_names(),
        "schedule": tuple(kip.SCHEDULES),
        "augment": tuple(data.AUGMENTATIONS),
        "preprocessing": data.PREPROCESSINGS,
        "baselines": (*transfer.BASELINES, *transfer.NEAREST, "all", "none"),
    }


def _dataset() -> dict[str, Any]:
    """In the form of shtab: the names of data sets, or a path."""
    function, names = "_kernel_distill_dataset", " ".join(_DATASETS)
    return {
        "bash": function,
        "zsh": function,
        "fish": f"({function})",
        "preamble": {
            "bash": f'{function}() {{ compgen -W "{names}" -- "$1"; compgen -f -- "$1"; }}',
            "zsh": f"{function}() {{ _alternative 'names:data set:({names})' 'files::_files' }}",
            "fish": f"function {function}\n"
            f"  string split ' ' '{names}'\n  __fish_complete_path (commandline -ct)\nend",
        },
    }


def _place(shell: Shell) -> Path:
    variable, usual, rest = _PLACES[shell]
    return Path(os.environ.get(variable) or Path.home() / usual) / rest


def _condition(shell: Shell, place: Path) -> str:
    """What a shell must have to find the script."""
    if shell == "bash":
        return f"They need the package bash-completion; without it: source {place}"
    if shell == "zsh":
        return (
            "It must know the folder, by a line in ~/.zshrc above its `compinit`: "
            f"fpath=({place.parent} $fpath)"
        )
    return "This one does too, from now on."
