"""`kernel-distill compare`"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import jax
import tyro

from kernel_distill import foreign
from kernel_distill._errors import DamagedFileError, InputError, KernelDistillError
from kernel_distill.artefact import Contrast, Distilled, holds_run
from kernel_distill.cli._devices import DeviceOptions
from kernel_distill.cli._distilled import DistilledOptions
from kernel_distill.cli._kernels import kernels_of
from kernel_distill.cli._networks import SEARCHED, NetworkOptions
from kernel_distill.cli._show import line, paths, table, waiting
from kernel_distill.data import Dataset
from kernel_distill.kernels import Kernel
from kernel_distill.report import (
    FILE_NAME,
    Page,
    Story,
    Table,
    is_page,
    read_page,
    save_report,
    tell_alone,
)
from kernel_distill.transfer import (
    BASELINES,
    NEAREST,
    USUAL_BASELINES,
    Comparison,
    Failed,
    TrainingSettings,
    compare,
    legend,
    save_comparison,
    text_table,
)


def show(comparison: Comparison, *, title: str) -> None:
    """Prints the table, and below it what the numbers are, and why cells failed."""
    header, *rows = text_table(comparison)
    table(title, rows, header)
    line(legend(comparison))
    for row in comparison.rows:
        for door, cell in zip(comparison.doors, row.cells, strict=True):
            if isinstance(cell, Failed):
                line(f"{row.name}, {row.images} images, {door}: {cell.reason}")


class _Sets:
    """Distilled sets with their data, each opened once; those of the same data share them."""

    def __init__(self, options: DistilledOptions) -> None:
        self._options = options
        self._opened: dict[Path, tuple[Distilled, Dataset]] = {}
        self._data: dict[str, Dataset] = {}

    def open(self, path: Path) -> tuple[Distilled, Dataset]:
        """Raises: as `DistilledOptions.open`."""
        if path not in self._opened:
            # own files know their preprocessing: the option is for those of others beside them
            others = foreign.recognised(path)
            options = self._options if others else replace(self._options, preprocessing=None)
            distilled, data = options.open(path)
            known = data.preprocessing.fingerprint + data.test.content_hash
            self._opened[path] = distilled, self._data.setdefault(known, data)
        return self._opened[path]


def _page(path: Path) -> Page | None:
    """What the page in a folder holds; None without one, and, which is said, of a damaged one."""
    if not (path / FILE_NAME).is_file():
        return None
    try:
        return read_page(path)
    except KernelDistillError as error:
        line(f"{error}; shown without it")
        return None


def _story(path: Path, page: Page | None, sets: _Sets) -> Story:
    """What the page of a run tells; of a set without one, what is known of it alone."""
    if page:
        return replace(page.stories[0], name=str(path))
    distilled, data = sets.open(path)
    images = distilled.images
    if images.ndim > 2 and distilled.metadata.get("method") != "label-solve":  # whose are natural
        images = Contrast.of(data.train.images).average().give(images)
    return tell_alone(
        distilled,
        data.preprocessing.invert_for_viewing(images),
        name=str(path),
        class_names=data.class_names,
    )


def _held(page: Path) -> Page | None:
    """What is on the page that another will replace.

    Raises:
        InputError: it is none of this command, and would be lost.
    """
    if not page.exists():
        return None
    try:
        held = read_page(page)
    except DamagedFileError as error:
        if is_page(page):
            return None
        raise InputError(
            f"{page} is no page of kernel-distill, and would be lost: choose another folder with "
            "--out"
        ) from error
    if held.of_run:
        raise InputError(
            f"{page} is the page of a run, and would be lost: choose another folder with --out"
        )
    return held


def _sets_of(stories: Sequence[Story]) -> list[tuple[str, str]]:
    return [(each.name, each.sha256) for each in stories]


@dataclass(frozen=True)
class Compare:
    """Compare distilled sets with each other and with as many images of the data set.

    A page shows them side by side, from what their runs have left, and is there at once. Then all
    go through the same doors: kernel ridge regression, and the training of networks that are named.
    Accuracies that --out has already are not measured again.

    For example: kernel-distill compare runs/digits --out runs/comparison
    """

    run_directories: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories, distilled .npz, or files of others (see import)."""

    out: Path = Path("comparison")
    """The folder for report.html, table.md, table.csv, table.png and comparison.json."""

    measure: bool = True
    """Whether to measure; without, the page is all."""

    baselines: tuple[str, ...] = USUAL_BASELINES
    """Which: random, optimised (the best fifth of random sets, judged on validation images),
    kmeans, average (of each class), herding, kcenter, full (all training images; for ridge
    regression, as many as are feasible), and the nearest neighbour of nearest-random and
    nearest-kmeans; all, or none."""

    architecture: tuple[str, ...] = ()
    """Of the kernels of ridge regression: by default those that the sets were distilled with."""

    networks: NetworkOptions = field(default_factory=NetworkOptions)

    seeds: int = 5
    """How many times baselines are drawn, and networks trained."""

    seed: int = 0
    """All randomness follows from it."""

    data: DistilledOptions = field(default_factory=DistilledOptions)

    training: TrainingSettings = SEARCHED

    def run(self) -> None:
        pages = {path: _page(path) for path in self.run_directories}
        # `runs/*` names what this command has left, beside the runs
        comparisons = [path for path, held in pages.items() if held and not held.of_run]
        for path in comparisons:
            line(f"{path} is a comparison, and is left out.")
        given = [path for path in self.run_directories if path not in comparisons]
        if not given:
            raise InputError("nothing to compare: give run directories, or distilled .npz")
        if holds_run(self.out):
            raise InputError(
                f"{self.out} holds a run, whose report.html would be lost: choose another folder "
                "with --out"
            )
        page = self.out / FILE_NAME
        held = _held(page)
        trained = self.networks.named()
        sets = _Sets(self.data)
        stories = [_story(path, pages[path], sets) for path in given]
        several = f"{len(stories)} distilled sets side by side" if len(stories) > 1 else ""
        same = held is not None and _sets_of(held.stories) == _sets_of(stories)
        # what was measured of the same sets stays until it is measured again
        known = held.table if held and same else None
        save_report(page, stories, title=several, table=known)
        line(f"What the runs have left, side by side: {page}")
        if held and not same:
            line(f"It replaces the comparison of {', '.join(each.name for each in held.stories)}.")
        if not self.measure:
            return
        runs = [(str(path), *sets.open(path)) for path in given]
        kernels = self._kernels(runs)
        with waiting("comparing") as report:
            comparison = compare(
                runs,
                baselines=self._baselines(),
                kernels=kernels,
                networks=trained,
                settings=self.training,
                seeds=self.seeds,
                key=jax.random.key(self.seed),
                folder=self.out,
                report=report,
            )
        title = f"Test accuracy on {', '.join(dict.fromkeys(data.name for _, _, data in runs))}"
        save_comparison(self.out, comparison, title=title)
        header, *rows = text_table(comparison)
        measured = Table(title, header, tuple(rows), note=legend(comparison))
        save_report(page, stories, title=several, table=measured)
        show(comparison, title=title)
        line("The table beside the images, as text and as a picture, and every accuracy:")
        paths(self.out, (FILE_NAME, "table.md", "table.csv", "table.png", "comparison.json"))

    def _kernels(self, runs: Sequence[tuple[str, Distilled, Dataset]]) -> list[Kernel]:
        found: dict[tuple[str, str], Kernel] = {}
        for name, distilled, _ in runs:
            known = self.architecture or "architectures" in distilled.metadata
            if self.networks.network and not known:
                continue  # a set of others, which networks alone are trained on
            kernels = kernels_of(Path(name), distilled.metadata, architectures=self.architecture)
            for _, kernel in kernels:
                found.setdefault((repr(kernel.architecture), kernel.kind), kernel)
        return [DeviceOptions().place(kernel) for kernel in found.values()]

    def _baselines(self) -> tuple[str, ...]:
        if self.baselines == ("none",):
            return ()
        return (*BASELINES, *NEAREST) if self.baselines == ("all",) else self.baselines
