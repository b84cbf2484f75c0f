"""Those who look on as a run goes on, and what they are told."""

import contextlib
import functools
import heapq
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from kernel_distill.artefact._stage import Stage

Settled = Callable[[str, Callable[[], Any]], Any]
Picture = Callable[[Stage], UInt8[np.ndarray, "height width 3"] | None]


@runtime_checkable
class Watcher(Protocol):
    """Shows a run, while it goes on, elsewhere than in the files of its folder.

    A run that is resumed tells all again from its first step, and nothing twice: what was shown of
    it before is replaced, or left as it is where it cannot be.
    """

    name: str
    """As a person calls it."""

    def begin(self, folder: Path, config: Mapping[str, Any], settled: Settled) -> None:
        """Before all else.

        Args:
            folder: of the run.
            config: its settings, as saved.
            settled: `Run.settled`.
        """

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """What was measured after `step` steps; steps do not go back."""

    def show(self, step: int, images: UInt8[np.ndarray, "height width 3"]) -> None:
        """The images of the support after `step` steps, on one sheet."""

    def end(self, result: Mapping[str, Any]) -> None:
        """What stands in `result.json`."""

    def close(self) -> None:
        """After all else, or where the run has stopped."""


class Watchers:
    """Several of them, of which one that fails costs the run nothing but a warning."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._waiting = list(watchers)
        self._watching: list[Watcher] = []
        self._picture: Picture = lambda stage: None

    def __bool__(self) -> bool:
        """Whether anybody looks on."""
        return bool(self._waiting or self._watching)

    def begin(
        self, folder: Path, config: Mapping[str, Any], settled: Settled, picture: Picture
    ) -> None:
        """Let them begin; `picture` makes the sheet of a stage."""
        self._picture = picture
        self._watching, self._waiting = self._waiting, []
        self._each(lambda watcher: watcher.begin(folder, config, settled))

    def tell(self, lines: Iterable[Mapping[str, Any]], stages: Iterable[Stage]) -> None:
        """What has been so far: the lines of the log and the stages, each by step."""
        logged = ((line["step"], functools.partial(self.log, line)) for line in lines)
        shown = ((stage.step, functools.partial(self.show, stage)) for stage in stages)
        for _, tell in heapq.merge(logged, shown, key=lambda each: each[0]):
            tell()

    def log(self, line: Mapping[str, Any]) -> None:
        """A line of the log; what is no number in it is left out."""
        metrics = {
            name: float(value)
            for name, value in line.items()
            if name != "step" and isinstance(value, int | float)
        }
        self._each(lambda watcher: watcher.log(line["step"], metrics))

    def show(self, stage: Stage) -> None:
        """The support at a step."""
        picture = functools.cache(lambda: self._picture(stage))  # once for all, and for none never

        def show(watcher: Watcher) -> None:
            if (images := picture()) is not None:
                watcher.show(stage.step, images)

        self._each(show)

    def end(self, result: Mapping[str, Any]) -> None:
        """The result."""
        self._each(lambda watcher: watcher.end(result))

    def close(self) -> None:
        """Nobody looks on any more."""
        self._each(lambda watcher: watcher.close())
        self._watching = []

    def _each(self, act: Callable[[Watcher], None]) -> None:
        for watcher in list(self._watching):
            try:
                act(watcher)
            except Exception as error:
                self._watching.remove(watcher)
                with contextlib.suppress(Exception):
                    watcher.close()
                warnings.warn(
                    f"{watcher.name} watches the run no longer ({type(error).__name__}: {error}). "
                    "The run goes on; when it is resumed, all of it is shown again.",
                    stacklevel=3,
                )
