"""A distilled table before and after: points of two features, or a heat map of more."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from kernel_distill.artefact._style import (
    INK,
    LINE,
    SOFT,
    class_colours,
    new_figure,
    shortened,
    text_width,
    tidy,
)


def table_picture(
    before: Float[np.ndarray, "s feature"],
    after: Float[np.ndarray, "s feature"],
    classes: Int[np.ndarray, "s"],
    names: tuple[str, ...],
    *,
    title: str,
    captions: tuple[str, str],
) -> Any:
    """The table's counterpart of `images_picture`, which checks the arguments."""
    draw = _points if before.shape[1] == 2 else _heat
    figure = draw(before, after, classes, names, captions)
    if title:
        figure.suptitle(title, x=0.03, y=0.97, ha="left", size=15, color=INK)
    return figure


def _points(
    before: Float[np.ndarray, "s 2"],
    after: Float[np.ndarray, "s 2"],
    classes: Int[np.ndarray, "s"],
    names: tuple[str, ...],
    captions: tuple[str, str],
) -> Any:
    figure = new_figure(10.5, 5.4)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    figure.subplots_adjust(left=0.075, right=0.985, top=0.82, bottom=0.16, wspace=0.06)
    present = np.unique(classes)
    colours = class_colours(len(present))
    size = float(np.clip(2500 / len(classes), 10, 90))
    for axes, table, caption in zip(panels, (before, after), captions, strict=True):
        for label, colour in zip(present, colours, strict=True):
            x, y = table[classes == label].T
            axes.scatter(
                x, y, s=size, color=colour, edgecolor="white", linewidth=0.8, label=names[label]
            )
        axes.set_title(caption, loc="left", size=12, weight="bold", color=INK, pad=10)
        axes.set_xlabel("feature 1", color=SOFT, size=9)
        axes.margins(0.08)
        axes.grid(color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        tidy(axes)
    panels[0].set_ylabel("feature 2", color=SOFT, size=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles[:20],
        [shortened(label, 9.0, 1.4) for label in labels[:20]],
        loc="lower center",
        ncols=min(10, len(handles)),
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handletextpad=0.2,
        columnspacing=1.4,
    )
    return figure


def _heat(
    before: Float[np.ndarray, "s feature"],
    after: Float[np.ndarray, "s feature"],
    classes: Int[np.ndarray, "s"],
    names: tuple[str, ...],
    captions: tuple[str, str],
) -> Any:
    order = np.argsort(classes, kind="stable")
    present, counts = np.unique(classes, return_counts=True)
    starts = np.cumsum(counts) - counts
    # features have units of their own: each is drawn from its mean, in its standard deviations
    both = np.concatenate([before, after]).astype(np.float64)
    spread = both.std(axis=0)
    centre, scale = both.mean(axis=0), np.where(spread > 0, spread, 1.0)
    height = float(np.clip(0.22 * len(classes), 3.2, 9.0))
    size = float(np.clip(72 * height / len(present) * 0.6, 4.5, 10))
    shown = [shortened(names[label], size, 1.6) for label in present]
    left = 0.45 + max(text_width(name, size) for name in shown)
    width = left + 9.6
    figure = new_figure(width, height + 1.75)
    panels = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(
        left=left / width,
        right=1 - 0.95 / width,
        top=1 - 0.95 / (height + 1.75),
        bottom=0.8 / (height + 1.75),
        wspace=0.05,
    )
    for axes, table, caption in zip(panels, (before, after), captions, strict=True):
        image = axes.imshow(
            ((table - centre) / scale)[order],
            cmap="RdBu_r",
            vmin=-2.5,
            vmax=2.5,
            aspect="auto",
            interpolation="nearest",
        )
        axes.set_title(caption, loc="left", size=12, weight="bold", color=INK, pad=10)
        axes.set_xlabel("feature", color=SOFT, size=9)
        tidy(axes)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        for start in starts[1:]:
            axes.axhline(start - 0.5, color="white", linewidth=1.2)
        axes.set_yticks(starts + (counts - 1) / 2, shown)
        axes.tick_params(axis="y", length=0, labelsize=size, labelcolor=INK)
    panels[1].tick_params(axis="y", labelleft=False)
    bar = figure.colorbar(
        image, ax=list(panels), fraction=0.02, pad=0.015, aspect=40, extend="both"
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=SOFT, labelsize=8, length=2)
    bar.set_label("standard deviations from the mean", color=SOFT, size=9)
    return figure
