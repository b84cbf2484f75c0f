"""The pictures of benchmarks/distributed.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pool_growth import Growth

from kernel_distill.artefact._style import BLUE, INK, ORANGE, SOFT, new_figure, save_picture, tidy

GREEN = "#3a9d5d"


def draw_memory(path: Path, measured: Sequence[dict[str, Any]], title: str) -> None:
    """The memory of blocks beyond their results, against their columns."""
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.12, right=0.97, top=0.84, bottom=0.14)
    for form, colour, label in (
        ("tiled", BLUE, "distributed.tiled"),
        ("whole", ORANGE, "the block in one piece"),
    ):
        some = [each for each in measured if each["form"] == form]
        values = [each["excess"] / 2**20 for each in some]
        axes.plot([each["columns"] for each in some], values, "o-", color=colour, label=label)
    tile = measured[0]["tile"] / 2**20
    axes.axhline(tile, color=SOFT, linestyle="--", linewidth=1, label="one tile, by the compiler")
    axes.set_ylim(0, 1.25 * max(tile, *(each["excess"] / 2**20 for each in measured)))
    axes.set_xlim(left=0)
    axes.set_xlabel("natural images n2", color=SOFT, size=10)
    axes.set_ylabel("MiB beyond images, K and gradient", color=SOFT, size=10)
    axes.set_title(title, loc="left", size=11, color=INK, pad=12)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    tidy(axes, grid=True)
    save_picture(path, figure)


def draw_growth(path: Path, growths: Sequence[Growth], title: str) -> None:
    """Steps an hour against workers, beside what they would be without any loss."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = new_figure(7.2, 5.0)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.12, right=0.97, top=0.87, bottom=0.12)
    for each, colour in zip(growths, (GREEN, BLUE, ORANGE), strict=True):
        workers = [step.workers for step in each.steps]
        ideal = [3600 / step.ideal for step in each.steps]
        rates = [3600 / step.seconds for step in each.steps]
        axes.plot(workers, ideal, "--", color=colour, linewidth=1, alpha=0.6)
        label = f"{each.support} support images"
        axes.plot(workers, rates, "o-", color=colour, markersize=4, label=label)
    axes.plot([], [], "--", color=SOFT, linewidth=1, label="workers never idle")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.yaxis.set_major_locator(LogLocator(base=10))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("workers, of one core each", color=SOFT, size=10)
    axes.set_ylabel("steps of KIP an hour", color=SOFT, size=10)
    axes.set_title(title, loc="left", size=11, color=INK, pad=12)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    tidy(axes, grid=True)
    save_picture(path, figure)
