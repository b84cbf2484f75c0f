"""`kernel-distill match`"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Any

import jax

from kernel_distill import data, matching
from kernel_distill._errors import InputError
from kernel_distill.artefact import check_folder, read_config
from kernel_distill.cli._distilling import show_result
from kernel_distill.cli._networks import NetworkOptions
from kernel_distill.cli._options import OutputOptions
from kernel_distill.cli._show import line, progress_bar, waiting
from kernel_distill.data import Settings as DataSettings
from kernel_distill.matching import METHODS, MatchingSettings

DEFAULT_METHOD = "distribution"


@dataclass(frozen=True)
class MethodOption:
    """Which method."""

    method: str = DEFAULT_METHOD
    """unrolled (dataset distillation: training on the images, differentiated), gradient (DC, and
    DSA with --augment), trajectory (MTT), distribution (DM), or features (FRePo). Each has
    settings of its own: --method NAME --help lists them."""


@dataclass(frozen=True)
class LearnerOptions(NetworkOptions):
    """Which network the images are to teach."""

    network: tuple[str, ...] = ("convnet3-in",)
    """One network: an architecture, mlp, lenet, alexnet, vgg11, convnet3-in (of 3 blocks; any
    number goes), resnet18-in, resnet18-bn."""


@dataclass(frozen=True)
class Match:
    """Learn images by methods whose inner learner is a network of finite width.

    For example: kernel-distill match --method distribution --network mlp --out runs/matched
    """

    output: OutputOptions
    data: DataSettings = field(default_factory=DataSettings)
    chosen: MethodOption = field(default_factory=MethodOption)
    learner: LearnerOptions = field(default_factory=LearnerOptions)
    settings: MatchingSettings = field(default_factory=MatchingSettings)

    def run(self) -> None:
        networks = self.learner.named()
        if len(networks) != 1:
            raise InputError(f"match takes one network; got {', '.join(self.learner.network)}")
        groups = (self.data, self.chosen, self.learner, self.settings)
        output = self.output
        check_folder(output.out, resume=output.resume, overwrite=output.overwrite)
        watchers = output.watchers()
        with waiting(f"loading and preprocessing {self.data.dataset}"):
            dataset = data.load(**vars(self.data))
        method = self.chosen.method
        with progress_bar(f"preparing {method}") as report:
            prepared = matching.prepare(
                networks[0],
                dataset,
                method=method,
                key=jax.random.key(output.seed),
                report=report,
                **vars(self.settings),
            )
        if prepared.rests_on:
            line(f"The run rests on {prepared.rests_on}.")
        with (
            output.open("match", groups, watchers) as run,
            progress_bar(f"{method} {dataset.name}") as report,
        ):
            result = prepared.distill(run=run, report=report)
        show_result(result, dataset, output)


def match_with(method: str) -> type[Match]:
    """The command with the settings of a method.

    Raises:
        UnknownNameError: there is no such method.
    """
    return _with_settings(matching.method_named(method).settings_type, MethodOption(method))


def match_of(arguments: Sequence[str], config: Path) -> type[Match]:
    """The command with the settings of the method that a configuration file is of.

    Raises:
        InputError: the command line names another one.
        UnknownNameError: there is no such method.
    """
    held = read_config(config).get("method")
    chosen = method_of(arguments, held)
    if held is not None and chosen != held:
        raise InputError(
            f"{config} holds the settings of the method {held}, not of {chosen}: leave --method "
            "out, or give another file"
        )
    return match_with(chosen)


def match_with_all() -> type[Match]:
    """The command with the settings of every method, for what lists options."""
    known: dict[str, Any] = {}
    for method in METHODS.values():
        for each in fields(method.settings_type):
            known.setdefault(each.name, (each.name, each.type, each.default))
    every: Any = make_dataclass("Settings", known.values(), frozen=True)
    return _with_settings(every, MethodOption())


def method_of(arguments: Sequence[str], held: str | None = None) -> str:
    """The method that the command line names, or else the one of a configuration file."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--method", nargs="?")
    given = parser.parse_known_args(list(arguments))[0].method
    return str(given or held or DEFAULT_METHOD)


def _with_settings(settings: type[Any], chosen: MethodOption) -> type[Match]:
    made: Any = make_dataclass(
        "Match",
        [
            ("chosen", MethodOption, field(default=chosen)),
            ("settings", settings, field(default_factory=settings)),
        ],
        bases=(Match,),
        frozen=True,
    )
    return made
