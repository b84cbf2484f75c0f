"""The picture of benchmarks/methods.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter

from kernel_distill.artefact._style import BLUE, INK, SOFT, new_figure, save_picture, tidy

TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}


def draw(path: Path, results: Sequence[dict[str, Any]], datasets: Sequence[str]) -> None:
    """Accuracy against seconds, a panel a data set; natural images, which take none, as a line."""
    datasets = [name for name in datasets if any(each["dataset"] == name for each in results)]
    width = 4.6 * len(datasets)
    figure = new_figure(width, 4.0)
    panels = figure.subplots(1, len(datasets), squeeze=False)[0]
    figure.subplots_adjust(left=0.65 / width, right=0.97, top=0.88, bottom=0.14, wspace=0.22)
    for axes, dataset in zip(panels, datasets, strict=True):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        here = [each for each in results if each["dataset"] == dataset]
        distilled = [each for each in here if each["seconds"] is not None]
        for each in here:
            mean, deviation = 100 * each["mean"], 100 * each["deviation"]
            name = {"text": each["method"], "textcoords": "offset points", "size": 8, "color": INK}
            if (seconds := each["seconds"]) is not None:
                axes.errorbar(seconds, mean, deviation, fmt="o", color=BLUE, markersize=5)
                name |= {"xy": (seconds, mean), "xytext": (7, 0), "va": "center"}
                if any(is_beside(each, other) for other in distilled):
                    below = {"xytext": (0, -4), "ha": "center", "va": "top"}
                    name |= {"xy": (seconds, mean - deviation), **below}
            else:
                axes.axhline(mean, color=SOFT, linestyle="--", linewidth=1)
                name |= {"xy": (1, mean), "xytext": (-4, 4), "ha": "right"}
                name["xycoords"] = ("axes fraction", "data")
            axes.annotate(**name, path_effects=[withStroke(linewidth=2, foreground="white")])
        taken = [each["seconds"] for each in distilled]
        axes.margins(y=0.1)
        # with room for names to the right
        axes.set_xlim(min(taken, default=1) / 1.5, max(taken, default=1) * 3)
        axes.set_title(TITLES[dataset], loc="left", size=11, color=INK)
        axes.set_xlabel("seconds of distilling", color=SOFT, size=10)
        tidy(axes, grid=True)
    panels[0].set_ylabel("test accuracy (%)", color=SOFT, size=10)
    save_picture(path, figure)


def is_beside(each: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the other stands where a name to the right would be written."""
    further = other["seconds"] / each["seconds"]
    return 1 < further < 2 and abs(other["mean"] - each["mean"]) < 0.02
