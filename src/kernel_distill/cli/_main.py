"""From the command line to a command, and from an error to an exit status."""

import argparse
import contextlib
import io
import os
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import tyro

from kernel_distill import _hosts as hosts
from kernel_distill._errors import KernelDistillError, unknown_name
from kernel_distill._interrupt import Interrupted
from kernel_distill.artefact import holds_run
from kernel_distill.cli import _commands as commands
from kernel_distill.cli._commands import COMMANDS
from kernel_distill.cli._estimate import METHODS
from kernel_distill.cli._jax import configure, out_of_memory
from kernel_distill.cli._match import Match, match_of, match_with, method_of
from kernel_distill.cli._options import arguments_of_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit status: 0, 1 for an error, 130 or 143 when stopped.

    One of several processes does not return, but ends: where it failed or was stopped the others
    cannot go on without it and are not to wait for it.
    """
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments))
    except BaseException:
        if hosts.joined():
            traceback.print_exc()
            hosts.leave(1)
        raise
    if hosts.joined():
        hosts.leave(status)
    return status


def _run(given: list[str]) -> int:
    command: Any = None
    configure()
    before = signal.signal(signal.SIGTERM, _raise_interrupted)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            command = _parse(_with_config(given))
            with hosts.losses(), out_of_memory():
                command.run()
        except KernelDistillError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except SystemExit as stop:  # tyro has said why
            return 1 if stop.code else 0
        except KeyboardInterrupt as stop:
            number = stop.signal_number if isinstance(stop, Interrupted) else signal.SIGINT
            print(_how_to_resume(command), file=sys.stderr)
            return 128 + number
        except BrokenPipeError:  # nobody reads the output any more, as after `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        finally:
            signal.signal(signal.SIGTERM, before)
    return 0


def _parse(arguments: list[str]) -> Any:
    """The command with its options, an instance of one of `COMMANDS`.

    Raises:
        InputError: no such command, or an option's value is out of range.
        SystemExit: another error in the options, or help; it is printed already.
    """
    name = arguments[0] if arguments else None
    if name and not name.startswith("-") and name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    match = match_with(method_of(arguments)) if name == "match" else Match
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(
                commands.union(name, match=match), args=arguments, **commands.settings()
            )
    except SystemExit as stop:
        # tyro reports the errors of the settings dataclasses too, in a frame and by the names of
        # its own inner fields: they go out as those that are raised later do
        for error in _chain(stop):
            if isinstance(error, KernelDistillError):
                raise error from None
        sys.stderr.write(printed.getvalue())
        if not stop.code and name in COMMANDS:
            print(f"For example:\n    {commands.example(name)}")
        raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


def _with_config(arguments: list[str]) -> list[str]:
    """The arguments with those of the configuration file before them: later ones win.

    A run that goes on takes the configuration it began with.
    """
    words = 2 if arguments[:1] == ["estimate"] else 1
    command, rest = arguments[:words], arguments[words:]
    settings = METHODS if words == 2 else COMMANDS
    name = command[-1] if command else ""
    if name not in ("kip", "label-solve", "match"):
        return arguments
    early = _output_options(rest)
    config = early.config
    if config is None and early.resume and early.out and holds_run(early.out):
        config = early.out / "config.yaml"
    if config is None:
        return arguments
    chosen = settings[name]
    if chosen is Match:
        chosen = match_of(rest, config)
    return [*command, *arguments_of_config(config, name, chosen, given=rest), *rest]


def _output_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    # a value that is missing is for tyro to complain about
    parser.add_argument("--config", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, nargs="?")
    parser.add_argument("--resume", action="store_true")
    return parser.parse_known_args(arguments)[0]


def _how_to_resume(command: Any) -> str:
    """Args: the command; None where it was stopped before it was read."""
    if not hosts.is_first():
        return "stopped; process 0 says how to go on"
    output = getattr(command, "output", None)
    if output is None or not holds_run(output.out):
        return (
            "stopped before the first step: the same command begins again, and takes over what is "
            "there, such as experts"
        )
    out = shlex.quote(str(output.out))
    (name,) = (name for name, known in COMMANDS.items() if isinstance(command, known))
    # what config.yaml does not hold
    said = {
        "insecure": hasattr(command, "devices") and command.devices.insecure,
        "tensorboard": output.tensorboard,
        "wandb": output.wandb,
    }
    again = "".join(f" --{option}" for option, given in said.items() if given)
    return f"stopped; go on with: kernel-distill {name} --out {out} --resume{again}" + (
        "\n(in each process with the --coordinator and numbers of before, or in one alone)"
        if hosts.joined()
        else ""
    )


def _raise_interrupted(number: int, frame: FrameType | None) -> None:
    del frame
    raise Interrupted(number)


def _show_warning(message: Warning | str, *origin: Any, **more: Any) -> None:
    """In place of `warnings.showwarning`: a line for people, without the line of code."""
    del origin, more
    print(f"warning: {message}", file=sys.stderr)
