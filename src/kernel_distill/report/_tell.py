"""From a distilled set, and what its run has kept, to what a page tells."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np
from jaxtyping import Float

from kernel_distill.artefact import (
    Distilled,
    Stage,
    classes_of,
    dump_config,
    made_here,
    method_citation,
    method_name,
)
from kernel_distill.report._again import COMMANDS
from kernel_distill.report._sprites import Sprites, pack_stages
from kernel_distill.report._story import RIDGE_REGRESSION, Story

_SERIES = ("validation_accuracy", "validation_loss", "batch_accuracy", "loss")
_MOST_POINTS = 1000  # of a curve: more than a screen has dots for


def tell(
    distilled: Distilled,
    stages: Iterable[Stage],
    *,
    name: str,
    class_names: Sequence[str],
    labels_before: Float[np.ndarray, "s class"],
    result: Mapping[str, Any] | None = None,
    metrics: Sequence[Mapping[str, Any]] = (),
    config: Mapping[str, Any] | None = None,
) -> Story:
    """What a page tells of a run.

    Args:
        distilled: the set; its metadata say how it was made.
        stages: the support at its steps, ascending, that of `distilled` among them, in natural
            colours (see `pack_stages`).
        name: for the heading.
        class_names: a name for each class.
        labels_before: [s, class], at the start: they tell each image's class.
        result: what stands in the run's `result.json`.
        metrics: the lines of its `metrics.jsonl`.
        config: its settings, of `config.yaml`.

    Raises:
        InputError: a class has no name.
    """
    result, names = result or {}, tuple(map(str, class_names))
    step = int(distilled.metadata.get("step") or 0)
    sprites = pack_stages(stages, classes=classes_of(labels_before, names), result=step)
    at = [frame.step or 0 for frame in sprites.frames]
    story = _story(
        distilled,
        sprites,
        name=name,
        class_names=names,
        result=result,
        settings=config if config and "command" in config else _settings(distilled.metadata),
        command=str((config or {}).get("command", "")),
    )
    return replace(
        story,
        has_start=True,
        result=at.index(step) if step in at else len(at) - 1,
        steps=max(int(result.get("steps") or 0), *at),
        series={series: points for series in _SERIES if (points := _points(metrics, series))[0]},
    )


def tell_alone(
    distilled: Distilled,
    images: Float[np.ndarray, "s *shape"],
    *,
    name: str,
    class_names: Sequence[str],
) -> Story:
    """What a page tells of a distilled set without its run: there is nothing before it.

    Args:
        distilled: the set. The class of each image is the largest entry of its label.
        images: its images in natural colours (see `pack_stages`).
        name: for the heading.
        class_names: a name for each class.

    Raises:
        InputError: a class has no name.
    """
    names = tuple(map(str, class_names))
    alone = Stage(0, images, distilled.labels)
    sprites = pack_stages([alone], classes=classes_of(distilled.labels, names), result=0)
    step = distilled.metadata.get("step")
    frame = replace(sprites.frames[0], step=None if step is None else int(step))
    return _story(
        distilled,
        replace(sprites, frames=(frame,)),
        name=name,
        class_names=names,
        settings=_settings(distilled.metadata),
    )


def _story(
    distilled: Distilled,
    sprites: Sprites,
    *,
    name: str,
    class_names: tuple[str, ...],
    settings: Mapping[str, Any],
    result: Mapping[str, Any] | None = None,
    command: str = "",
) -> Story:
    """What a set and its metadata tell by themselves."""
    metadata = distilled.metadata
    measured = {**metadata.get("metrics", {}), **(result or {})}
    ours = made_here(metadata)
    packages = metadata.get("packages", {}) if ours else {}
    return Story(
        name=name,
        summary=_summary(distilled),
        sha256=distilled.sha256,
        class_names=class_names,
        sprites=sprites,
        has_start=False,
        result=0,
        steps=None,
        unit="block" if metadata.get("method") == "label-solve" else "step",
        series={},
        initial_accuracy=measured.get("initial_test_accuracy"),
        accuracy=measured.get("test_accuracy"),
        figures=dict(_figures(distilled, measured)),
        settings={key: _text(value) for key, value in settings.items()},
        config=dump_config(dict(settings)),
        command=command if ours and command in COMMANDS else "",
        packages={str(package): str(version) for package, version in packages.items()},
        citation=method_citation(str(metadata.get("method"))),
        learner=_network(metadata) or RIDGE_REGRESSION,
    )


def _summary(distilled: Distilled) -> str:
    metadata = distilled.metadata
    data = metadata.get("dataset", {})
    what = "rows" if distilled.images.ndim == 2 else "images"
    text = f"{len(distilled):,} {what}, distilled from {data.get('name', 'a data set')}"
    if size := data.get("train_size"):
        text += f" ({size:,} training {what})"
    return f"{text} by {method_name(metadata)}."


def _figures(distilled: Distilled, measured: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """The rows of the table of figures."""
    metadata = distilled.metadata
    data = metadata.get("dataset", {})
    packages = metadata.get("packages", {}) if made_here(metadata) else {}
    for name, key in (
        ("test accuracy, distilled", "test_accuracy"),
        ("test accuracy, before", "initial_test_accuracy"),
        ("validation accuracy", "validation_accuracy"),
    ):
        if (value := measured.get(key)) is not None:
            deviation = measured.get("test_deviation") if key == "test_accuracy" else None
            spread = "" if deviation is None else f" ± {100 * deviation:.2f}"
            yield name, f"{100 * value:.2f}{spread} %"
    rows: dict[str, Any] = {
        "images": len(distilled),
        "shape of an image": "x".join(map(str, distilled.images.shape[1:])),
        "steps done": measured.get("steps"),
        "step of the result": metadata.get("step"),
        "time": _duration(measured.get("wall_seconds")),
        "device": measured.get("device"),
        "data set": " ".join(
            str(data[key]) for key in ("name", "version") if data.get(key) is not None
        ),
        "training, validation, test images": ", ".join(
            f"{data[key]:,}"
            for key in ("train_size", "validation_size", "test_size")
            if key in data
        ),
        "architecture": ", ".join(
            f"{each['name']} ({each.get('kernel', metadata.get('kernel'))})"
            for each in metadata.get("architectures", ())
        ),
        "network": _network(metadata),
        "ridge": metadata.get("ridge"),
        "preprocessing": metadata.get("preprocessing", {}).get("name"),
        "label convention": metadata.get("label_convention"),
        "random key": metadata.get("seed"),
        "created": metadata.get("created"),
        "versions": ", ".join(f"{name} {version}" for name, version in packages.items()),
        "SHA-256 of the set": distilled.sha256,
    }
    for name, value in rows.items():
        if value is not None and value != "":
            yield name, _text(value)


def _network(metadata: Mapping[str, Any]) -> str:
    """The networks that a set was distilled for; empty of one that was distilled with a kernel."""
    one = [metadata.get("network") or {}]
    networks = metadata.get("unrolled", {}).get("networks") or one
    return ", ".join(
        " ".join(str(network[key]) for key in ("name", "width") if network.get(key) is not None)
        for network in networks
    )


def _settings(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a run from Python, which has no configuration file of the command line."""
    names = ("architectures", "kernel", "ridge", "random_key")
    # the numbers of a key are no seed of the command line's, though metadata call them so
    known = {**metadata, "random_key": metadata.get("seed")}
    kept: dict[str, Any] = {name: known[name] for name in names if known.get(name) is not None}
    if recipe := metadata.get("preprocessing", {}).get("recipe"):
        kept["data"] = {key: value for key, value in recipe.items() if key != "class_names"}
    return kept | metadata.get("settings", {})


def _points(
    metrics: Sequence[Mapping[str, Any]], name: str
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Steps and values of what was logged; of a step that came twice, the last."""
    values = {
        int(line["step"]): float(value)
        for line in metrics
        if isinstance(value := line.get(name), int | float) and isfinite(value)
    }
    steps = sorted(values)
    if len(steps) > _MOST_POINTS:
        every = -(-len(steps) // _MOST_POINTS)
        steps = [*steps[:-1:every], steps[-1]]
    return tuple(steps), tuple(values[step] for step in steps)


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_text(each)}" for key, each in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)
