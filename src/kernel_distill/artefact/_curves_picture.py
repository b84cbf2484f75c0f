"""Accuracy and loss against steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from kernel_distill.artefact._style import BLUE, INK, ORANGE, SOFT, new_figure, tidy

_Series = tuple[np.ndarray, np.ndarray]  # steps, ascending, and values


def curves_picture(
    metrics: Sequence[Mapping[str, Any]], *, best_step: int | None = None, title: str = ""
) -> Any:
    """The course of a run: accuracy in per cent at the left, loss at the right.

    Args:
        metrics: the lines of `metrics.jsonl` (`Run.metrics()`): `step`, and of
            `validation_accuracy`, `validation_loss`, `batch_accuracy` and `loss` (on the target
            batch) what there is. Accuracies are fractions; what is None is left out.
        best_step: the step to mark; by default that of the best validation accuracy.
        title: above the whole.

    Returns:
        A matplotlib Figure, for `save_picture`.
    """
    figure = new_figure(11.0, 4.6)
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.06, right=0.97, top=0.78, bottom=0.13, wspace=0.16)
    if title:
        figure.suptitle(title, x=0.06 - 0.025, y=0.965, ha="left", size=14, color=INK)
    validation = _series(metrics, "validation_accuracy")
    best = _best_step(validation) if best_step is None else best_step
    for axes, heading, names in (
        (left, "Accuracy (%)", ("batch_accuracy", "validation_accuracy")),
        (right, "Loss", ("loss", "validation_loss")),
    ):
        train, held_out = (_series(metrics, name) for name in names)
        if axes is left:
            train, held_out = ((steps, 100 * values) for steps, values in (train, held_out))
        _draw(axes, train, held_out, best, unit="%" if axes is left else "")
        axes.set_title(heading, loc="left", size=12, weight="bold", color=INK, pad=26)
        axes.set_xlabel("step", color=SOFT, size=9)
        _scale_steps(axes, held_out[0] if len(held_out[0]) else train[0])
        tidy(axes, grid=True)
    losses = np.concatenate([_series(metrics, name)[1] for name in ("loss", "validation_loss")])
    if len(losses) and losses.min() > 0 and losses.max() > 3 * losses.min():
        from matplotlib.ticker import LogLocator

        right.set_yscale("log")
        right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        _plain_numbers(right.yaxis)
    return figure


def _series(metrics: Sequence[Mapping[str, Any]], name: str) -> _Series:
    """Steps and values of one metric, ascending; of a step that came twice, the last."""
    values = {int(line["step"]): float(line[name]) for line in metrics if _is_number(line, name)}
    steps = sorted(values)
    return np.array(steps, np.int64), np.array([values[step] for step in steps], np.float64)


def _is_number(line: Mapping[str, Any], name: str) -> bool:
    value = line.get(name)
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _best_step(validation: _Series) -> int | None:
    steps, values = validation
    return int(steps[values.argmax()]) if len(steps) else None


def _draw(axes: Any, train: _Series, held_out: _Series, best: int | None, *, unit: str) -> None:
    if len(train[0]):
        marker = "." if len(train[0]) == 1 else ""
        axes.plot(
            *train, color=ORANGE, linewidth=1.0, alpha=0.75, marker=marker, label="target batch"
        )
    if len(held_out[0]):
        axes.plot(
            *held_out, color=BLUE, linewidth=1.8, marker="o", markersize=3, label="validation"
        )
    if best is not None and best in held_out[0]:
        value = float(held_out[1][held_out[0] == best][0])
        shown = f"best: {value:.1f} % at" if unit else f"{value:.3g} at"
        axes.plot(
            [best],
            [value],
            linestyle="",
            marker="o",
            markersize=8,
            markerfacecolor="white",
            markeredgecolor=BLUE,
            markeredgewidth=2,
            label=f"{shown} step {best:,}",
            zorder=5,
        )
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(-0.01, 1.0),
            ncols=len(handles),
            frameon=False,
            fontsize=9,
            labelcolor=SOFT,
            handlelength=1.4,
            columnspacing=1.4,
            borderaxespad=0.2,
        )
    else:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=SOFT)
        axes.set_yticks([])


def _scale_steps(axes: Any, steps: Int[np.ndarray, "n"]) -> None:
    if len(steps) > 2 and steps[-1] >= 30 and np.median(steps) < 0.35 * steps[-1]:
        # validation at log-spaced steps: an even axis would press most of it to the left edge
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(left=-0.15)
        _plain_numbers(axes.xaxis)
    else:
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(steps) > 1:
            axes.set_xlim(left=min(0, int(steps[0])))


def _plain_numbers(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())
