"""Validation accuracy of networks against the steps of their training."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from kernel_distill.artefact._style import LINE, SOFT, class_colours, new_figure, tidy


def transfer_picture(
    curves: Mapping[str, tuple[Int[np.ndarray, "point"], Float[np.ndarray, "seed point"]]],
    *,
    title: str = "",
    across: str = "step",
    upwards: str = "validation accuracy (%)",
) -> Any:
    """A line a network, the mean of its seeds, with one standard deviation to either side.

    Args:
        curves: by the network's name: steps, and accuracies (fractions) of each seed there.
        title: above the whole.
        across: what the steps are, where they are none.
        upwards: what the accuracies are.

    Returns:
        A matplotlib Figure, for `save_picture`.
    """
    figure = new_figure(7.5, 4.6)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.09, right=0.74, top=0.86, bottom=0.12)
    colours = class_colours(len(curves))
    for (name, (steps, accuracies)), colour in zip(curves.items(), colours, strict=True):
        mean = 100 * accuracies.mean(axis=0)
        deviation = 100 * accuracies.std(axis=0, ddof=1) if len(accuracies) > 1 else 0 * mean
        axes.fill_between(steps, mean - deviation, mean + deviation, color=colour, alpha=0.15, lw=0)
        axes.plot(steps, mean, color=colour, linewidth=1.8, marker="o", markersize=3, label=name)
    axes.set_title(title, loc="left", size=12, weight="bold", pad=14)
    axes.set_xlabel(across, color=SOFT, size=9)
    axes.set_ylabel(upwards, color=SOFT, size=9)
    axes.grid(color=LINE, linewidth=0.7)
    tidy(axes)
    if curves:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    return figure
