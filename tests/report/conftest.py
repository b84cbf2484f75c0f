"""Runs written by hand: arrays, and what their artefacts say of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from kernel_distill.artefact import Distilled, Stage
from kernel_distill.report import Story, tell

STEPS = (0, 1, 3, 10, 32)
CONFIG = {"command": "kip", "dataset": "mnist", "steps": 32, "augment": [], "ridge": 1e-6}


@dataclass(frozen=True)
class Written:
    """A run as its page tells it, and the arrays that it was told from."""

    story: Story
    stages: tuple[Stage, ...]
    class_names: tuple[str, ...]


def write(
    rows: int = 10,
    shape: tuple[int, ...] = (6, 5, 3),
    class_names: tuple[str, ...] = ("cat", "dog", "ant", "bee", "cow"),
    *,
    name: str = "a run",
    result: int = 10,
    steps: tuple[int, ...] = STEPS,
    seed: int = 0,
    config: dict[str, Any] = CONFIG,
    **metadata: Any,
) -> Written:
    """The images and labels of each step are random; image i is of class i modulo the classes."""
    rng = np.random.default_rng(seed)
    classes = len(class_names)
    one_hot = (np.eye(classes)[np.arange(rows) % classes] - 1 / classes).astype(np.float32)
    stages = tuple(
        Stage(
            step,
            rng.random((rows, *shape)).astype(np.float32),
            (one_hot + (step > 0) * rng.normal(size=one_hot.shape)).astype(np.float32),
        )
        for step in steps
    )
    chosen = stages[steps.index(result)]
    told = {
        "method": "kip",
        "dataset": {"name": "mnist", "version": "3.0.1", "train_size": 54_000},
        "architectures": [{"name": "fc1", "kernel": "ntk"}],
        "packages": {"python": "3.11.7", "kernel_distill": "0.1.0", "jax": "0.10.2"},
        "step": result,
        "seed": [0, 3],
    }
    metrics = [
        {"step": step, "validation_accuracy": 0.5 + step / 100, "loss": 1 / (1 + step)}
        for step in steps
    ]
    story = tell(
        Distilled(chosen.images, chosen.labels, told | metadata),
        stages,
        name=name,
        class_names=class_names,
        labels_before=one_hot,
        result={"test_accuracy": 0.9125, "initial_test_accuracy": 0.5, "steps": steps[-1]},
        metrics=metrics,
        config=config | {"seed": seed},
    )
    return Written(story, stages, class_names)


@pytest.fixture(scope="session")
def written():
    """Writes a run: `written(rows, shape, class_names, ...)`."""
    return write
