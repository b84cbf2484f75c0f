"""Runs beside baselines with as many images, through the same doors, in one table."""

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from kernel_distill._errors import DamagedFileError, InputError, NumericalError, unknown_name
from kernel_distill._files import PathLike, write_atomically
from kernel_distill.artefact import Distilled, device_description, package_versions
from kernel_distill.data import Dataset
from kernel_distill.kernels import Kernel
from kernel_distill.networks import Network
from kernel_distill.transfer._baselines import BASELINES, NEAREST
from kernel_distill.transfer._doors import Door, NearestNeighbour, RidgeRegression, Training
from kernel_distill.transfer._entrants import Entrant, entrant_of_run, entrants_of_baselines
from kernel_distill.transfer._settings import TrainingSettings
from kernel_distill.transfer._statistics import deviation

FILE_NAME = "comparison.json"

USUAL_BASELINES = (*(name for name in BASELINES if name != "full"), *NEAREST)
"""The baselines of a comparison; all training images take far longer than a few do."""


@dataclass(frozen=True)
class Measured:
    """What a set reached through a door; accuracies are fractions.

    Attributes:
        accuracies: on the test set, one a draw or seed.
        images: how many images were learned from.
    """

    accuracies: tuple[float, ...]
    images: int

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def deviation(self) -> float | None:
        """The standard deviation (n - 1 in the denominator); None of a single accuracy."""
        return deviation(self.accuracies)


@dataclass(frozen=True)
class Failed:
    """That a set came through a door with no accuracy, and why."""

    reason: str


@dataclass(frozen=True)
class Row:
    """A set, and what it reached through each door; None where it does not go through it.

    Attributes:
        name: the run's, or the baseline's.
        data: the name of the data set, and that of its preprocessing.
        images: how many there are in the set.
        baseline: whether it is one.
        cells: one for each door.
    """

    name: str
    data: str
    images: int
    baseline: bool
    cells: tuple[Measured | Failed | None, ...]


@dataclass(frozen=True)
class Comparison:
    """The table: doors are its columns.

    Attributes:
        doors: their names.
        rows: a set each.
        seeds: how many draws, or trainings, its accuracies are of.
    """

    doors: tuple[str, ...]
    rows: tuple[Row, ...]
    seeds: int


def compare(
    runs: Sequence[tuple[str, Distilled, Dataset]],
    *,
    baselines: Sequence[str] = USUAL_BASELINES,
    kernels: Sequence[Kernel] = (),
    networks: Sequence[Network] = (),
    settings: TrainingSettings | None = None,
    seeds: int = 5,
    key: PRNGKeyArray,
    folder: PathLike,
    report: Callable[[str], None] | None = None,
) -> Comparison:
    """Test accuracies of distilled sets and of baselines with as many images.

    A baseline that is drawn at random is drawn once a seed, the same sets for every door, and a
    network is trained on each; on every other set, it is trained once a seed. Where the images of a
    run are no multiple of its classes, baselines have the next larger number.

    Every accuracy is written to `comparison.json` once it is known, and one that is there already,
    with the same sets and settings, is not measured again. Where a solve is not finite or all
    trainings diverge, the cell says so, likewise for good, and the others go on.

    Args:
        runs: a name, the distilled set and its data set, of each.
        baselines: names of `BASELINES` and `NEAREST`.
        kernels: those of kernel ridge regression.
        networks: those that are trained.
        settings: of their training, by default `TrainingSettings()`.
        seeds: how many draws and trainings.
        key: the randomness of the whole.
        folder: where `comparison.json` is, or will be.
        report: told what is measured next.

    Returns:
        A row for each run, each followed by the baselines with as many images, unless an earlier
        run has them.

    Raises:
        UnknownNameError: there is no such baseline.
        InputError: before anything is measured: there are no runs; seeds is not positive; there are
            neither kernels nor networks, or two of one name; a set does not belong to its data;
            images do not fit a kernel or a network, or are too few for a baseline; settings, or the
            baseline "optimised", are to be chosen on validation images, and there are none.
        DamagedFileError: there is a `comparison.json` that this did not write.
        StorageError: it could not be written.
    """
    if not runs:
        raise InputError("there is nothing to compare: give one run or more")
    if seeds < 1:
        raise InputError(f"seeds must be 1 or more; got {seeds}")
    for name in baselines:
        if name not in (*BASELINES, *NEAREST):
            raise unknown_name("baseline", name, (*BASELINES, *NEAREST))
    kept = _Kept(Path(folder) / FILE_NAME)
    draw_key, door_key = jax.random.split(key)
    entrants = _entrants(runs, tuple(dict.fromkeys(baselines)), draw_key)
    chosen = settings or TrainingSettings()
    doors: list[Door] = [*map(RidgeRegression, kernels)]
    doors += [Training(network, chosen) for network in networks]
    if not doors:
        raise InputError("there is nothing to measure with: give kernels or networks")
    names = [*_headings(kernels), *(network.label for network in networks)]
    if len(set(names)) < len(names):
        raise InputError(f"columns must have different names; got {names}: leave one of them out")
    if any(entrant.classifies for entrant in entrants):
        doors += [NearestNeighbour()]
        names += [doors[-1].name]
    for door, entrant in itertools.product(doors, entrants):
        # what is kept has been checked, and to check takes a compilation
        if door.admits(entrant) and not kept.find(entrant, door, seeds=seeds, key=door_key):
            door.check(entrant)

    def cell(entrant: Entrant, door: Door) -> Measured | Failed | None:
        if not door.admits(entrant):
            return None
        if report:
            report(f"{entrant.name}, {entrant.images} images: {door.name}")
        return kept.measured(entrant, door, seeds=seeds, key=door_key)

    return Comparison(
        doors=tuple(names),
        rows=tuple(
            Row(
                name=entrant.name,
                data=f"{entrant.data.name}, {entrant.data.preprocessing.name}",
                images=entrant.images,
                baseline=entrant.baseline,
                cells=tuple(cell(entrant, door) for door in doors),
            )
            for entrant in entrants
        ),
        seeds=seeds,
    )


def _headings(kernels: Sequence[Kernel]) -> Iterator[str]:
    """Their names; of those with one name, also the settings in which they differ."""
    alike = defaultdict(list)
    for kernel in kernels:
        alike[kernel.architecture.name, kernel.kind].append(kernel.architecture.to_metadata())
    for kernel in kernels:
        own, name = kernel.architecture.to_metadata(), (kernel.architecture.name, kernel.kind)
        differing = [
            f"{setting} {value}"
            for setting, value in own.items()
            if any(other[setting] != value for other in alike[name])
        ]
        yield ", ".join((" ".join(name), *differing))


def _entrants(
    runs: Sequence[tuple[str, Distilled, Dataset]], baselines: Sequence[str], key: PRNGKeyArray
) -> list[Entrant]:
    entrants: list[Entrant] = []
    for name, distilled, data in runs:
        entrants.append(entrant_of_run(name, distilled, data, key=key))
        per_class = math.ceil(len(distilled) / data.num_classes)
        known = [entrant.identity for entrant in entrants]
        entrants += [
            each
            for each in entrants_of_baselines(baselines, data, images_per_class=per_class, key=key)
            if each.identity not in known
        ]
    return entrants


class _Kept:
    """The accuracies of `comparison.json`: what was measured, and of what."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[dict[str, Any]] = []
        if not path.exists():
            return
        try:
            self._entries = list(json.loads(path.read_bytes())["measured"])
            for entry in self._entries:
                _read(entry)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DamagedFileError(
                f"{path} is not a file of results of compare ({error}): remove it, and they are "
                "measured again"
            ) from error

    def find(
        self, entrant: Entrant, door: Door, *, seeds: int, key: PRNGKeyArray
    ) -> Measured | Failed | None:
        """What is there of it already."""
        of = _of(entrant, door, seeds=seeds, key=key)
        found = (entry for entry in self._entries if of is not None and entry["of"] == of)
        return next(map(_read, found), None)

    def measured(
        self, entrant: Entrant, door: Door, *, seeds: int, key: PRNGKeyArray
    ) -> Measured | Failed:
        if known := self.find(entrant, door, seeds=seeds, key=key):
            return known
        found: dict[str, Any]
        try:
            outcome = door.measure(entrant, seeds=seeds, key=key)
            found = {"accuracies": list(outcome.accuracies), "chosen": outcome.settings}
        except NumericalError as error:
            found = {"failed": str(error)}
        of = _of(entrant, door, seeds=seeds, key=key)
        entry = {
            "name": entrant.name,
            "door": door.name,
            "of": of,
            **found,
            "images": door.images(entrant),
            "device": device_description(),
        }
        if of is not None:
            self._entries.append(entry)
            text = json.dumps({"measured": self._entries}, indent=2, allow_nan=False)
            write_atomically(self._path, (text + "\n").encode())
        return _outcome(entry)


def _of(entrant: Entrant, door: Door, *, seeds: int, key: PRNGKeyArray) -> dict[str, Any] | None:
    """All that an accuracy depends on; None where that cannot be written down."""
    identity = door.identity(entrant)
    if identity is None:
        return None
    of = {
        **entrant.identity,
        **identity,
        "seeds": seeds,
        "seed": jax.random.key_data(key).tolist(),
        "version": package_versions()["kernel_distill"],
    }
    return dict(json.loads(json.dumps(of)))  # as it will be read: lists for tuples


def _read(entry: Mapping[str, Any]) -> Measured | Failed:
    if not isinstance(entry["of"], dict):
        raise TypeError("an entry says nothing of what it is of")
    return _outcome(entry)


def _outcome(entry: Mapping[str, Any]) -> Measured | Failed:
    if "failed" in entry:
        return Failed(str(entry["failed"]))
    return Measured(tuple(map(float, entry["accuracies"])), int(entry["images"]))
