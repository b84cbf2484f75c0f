"""Runs whose steps are made up: images of one colour, which tells the step."""

from collections.abc import Callable, Iterable
from types import SimpleNamespace

import numpy as np
import pytest

from kernel_distill.artefact import Run, Stage


def _stage(step: int) -> Stage:
    return Stage(step, np.full((2, 4, 4, 1), step, np.float32), np.eye(2, dtype=np.float32))


def _begin(run: Run, step: int = -1) -> None:
    """What a method does first with a run whose last checkpoint is of `step`; -1: there is none."""
    run.rewind(step)
    run.watch(_picture, (_stage(each) for each in range(0, step + 1, 3)))


def _picture(stage: Stage) -> np.ndarray:
    return np.full((6, 5, 3), round(10 * stage.images.max()), np.uint8)


def _go(run: Run, steps: Iterable[int]) -> None:
    """As KIP does: figures of every step, and the validation and the support of every third."""
    for step in steps:
        run.log(step=step, loss=np.float32(2.0**-step), note="no number", rate=float("nan"))
        if step % 3 == 0:
            run.log(step=step, validation_accuracy=step / 16)
            run.show(_stage(step))


@pytest.fixture
def method() -> SimpleNamespace:
    """In place of a method: `begin(run, step)`, `go(run, steps)`."""
    functions: dict[str, Callable[..., None]] = {"begin": _begin, "go": _go}
    return SimpleNamespace(**functions)
