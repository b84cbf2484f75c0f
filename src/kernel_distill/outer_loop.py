"""The outer loop of what learns a support step by step: validate, keep the best, save, go on."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np

from kernel_distill import _hosts as hosts
from kernel_distill._errors import DamagedFileError, NumericalError, PoolError
from kernel_distill._interrupt import HeldSignals
from kernel_distill._settings import Progress, Report, log_spaced
from kernel_distill.artefact import Checkpoint, Run, Stage, last_checkpoint, pack, spread, unpack
from kernel_distill.results import Outcome
from kernel_distill.viewing import View

_SAVED_EVERY = 120  # seconds, besides the steps that are kept


@dataclass(frozen=True)
class State:
    """What a checkpoint holds.

    Attributes:
        step: updates done.
        support: the images and labels now, and what is learned besides; arrays by name.
        optimizer_state: of the learned part of the support.
        best: the support with the best validation accuracy so far.
        memory: what the algorithm carries along besides, such as networks in training.
        best_step: when that was.
        best_accuracy: its validation accuracy; None where it was never measured.
        since_best: validations since then.
        seconds: time spent in the loop, of interrupted runs too.
    """

    step: int
    support: dict[str, Any]
    optimizer_state: Any
    best: dict[str, Any]
    memory: Any = field(default_factory=dict)
    best_step: int = 0
    best_accuracy: float | None = None
    since_best: int = 0
    seconds: float = 0.0

    _TENSORS = ("support", "optimizer_state", "best", "memory")

    def to_checkpoint(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        values = dict(self.__dict__)
        return pack({name: values.pop(name) for name in self._TENSORS}), values

    def from_checkpoint(self, checkpoint: Checkpoint) -> "State":
        template = {name: getattr(self, name) for name in self._TENSORS}
        return State(**unpack(template, checkpoint.tensors), **checkpoint.metadata)


class Algorithm(ABC):
    """What the loop asks of an algorithm.

    Attributes:
        steps: how many at most.
        patience: the loop ends after so many validations without a better accuracy; None: never.
        view: how its support is looked at.
        first: the state before the first step.
    """

    steps: int
    patience: int | None
    view: View
    first: State

    @abstractmethod
    def step(self, state: State) -> tuple[State, dict[str, float]]:
        """The state after the next step, and what to log of it. All that is random in it depends
        on the number of the step alone, so that a run can go on.

        Raises:
            NumericalError: something is not finite; says what to do.
        """

    @abstractmethod
    def is_kept(self, step: int) -> bool:
        """Whether the state after a step is validated, and its checkpoint kept; the last one is."""

    @abstractmethod
    def validate(self, state: State) -> dict[str, float]:
        """What is measured of a state that is kept, such as its "validation_accuracy".

        Raises:
            NumericalError: as `step`.
        """


def go_on(
    algorithm: Algorithm, *, run: Run | None, report: Report | None, held: HeldSignals
) -> Outcome:
    """From the last checkpoint of a run, or from the start, to the end.

    The outcome is the support with the best validation accuracy; the last one where none was
    measured.

    Args:
        algorithm: what is done.
        run: where checkpoints and metrics go.
        report: called after every step and validation.
        held: signals, which end the loop between two steps, once the state is saved.

    Raises:
        NumericalError: a step or a validation is not finite; the last finite state is saved.
        PoolError: workers, or other processes of the run, are gone; the state is saved.
        Interrupted: a signal arrived.
    """
    return _Loop(algorithm, run, report).go_on(held)


class _Loop:
    def __init__(self, algorithm: Algorithm, run: Run | None, report: Report | None) -> None:
        self._algorithm, self._run, self._report = algorithm, run, report
        self._saved_at = time.monotonic()

    def go_on(self, held: HeldSignals) -> Outcome:
        algorithm = self._algorithm
        state = self._restored() or self._validated(algorithm.first)
        while not self._ended(state):
            try:
                with hosts.losses():
                    if held.received() is not None:
                        self._save(state, keep=False)
                        held.raise_if_received()
                    following = self._stepped(state)
                    if self._is_kept(following.step):
                        following = self._validated(following)
                    elif time.monotonic() - self._saved_at > _SAVED_EVERY:
                        self._save(following, keep=False)
            except PoolError:
                # not the state that was to be validated: its validation would be left out
                self._save(state, keep=False)
                raise
            state = following
        if state.best_accuracy is None:
            state = replace(state, best=state.support, best_step=state.step)
        return Outcome(
            support=_arrays(state.best),
            initial=_arrays(algorithm.first.support),
            view=algorithm.view,
            step=state.best_step,
            steps=state.step,
            seconds=state.seconds,
            stages=self._stages(self._run, spread(self._run.checkpoints.steps()))
            if self._run
            else (),
        )

    def _stages(self, run: Run, steps: Iterable[int]) -> Iterator[Stage]:
        """The support at steps that there are checkpoints of."""
        for each in steps:
            try:
                yield _stage(self._algorithm.first.from_checkpoint(run.checkpoints.read(each)))
            except (DamagedFileError, OSError):
                continue  # one step less to look at

    def _is_kept(self, step: int) -> bool:
        return self._algorithm.is_kept(step) or step == self._algorithm.steps

    def _restored(self) -> State | None:
        checkpoint = last_checkpoint(self._run)
        if self._run:
            self._run.rewind(-1 if checkpoint is None else checkpoint.step)
            kept = filter(self._is_kept, self._run.checkpoints.steps())
            self._run.watch(self._algorithm.view.sheet, self._stages(self._run, kept))
        return None if checkpoint is None else self._algorithm.first.from_checkpoint(checkpoint)

    def _ended(self, state: State) -> bool:
        patience = self._algorithm.patience
        impatient = patience is not None and state.since_best >= patience
        return impatient or state.step >= self._algorithm.steps

    def _stepped(self, state: State) -> State:
        begin = time.monotonic()
        try:
            following, measured = self._algorithm.step(state)
        except NumericalError as error:
            self._fail(state, error)
        following = replace(
            following, step=state.step + 1, seconds=state.seconds + time.monotonic() - begin
        )
        if self._run and (following.step % 10 == 0 or log_spaced(following.step)):
            self._run.log(step=following.step, **measured)
        self._tell(following, measured)
        return following

    def _validated(self, state: State) -> State:
        """Measures the validation accuracy, keeps the best state, and saves a checkpoint."""
        begin = time.monotonic()
        try:
            metrics = self._algorithm.validate(state)
        except NumericalError as error:
            self._fail(state, error)
        accuracy = metrics.get("validation_accuracy")
        if accuracy is not None:
            if state.best_accuracy is None or accuracy > state.best_accuracy:
                state = replace(
                    state,
                    best=state.support,
                    best_step=state.step,
                    best_accuracy=accuracy,
                    since_best=0,
                )
            else:
                state = replace(state, since_best=state.since_best + 1)
        state = replace(state, seconds=state.seconds + time.monotonic() - begin)
        if self._run and metrics:
            self._run.log(step=state.step, **metrics)
        self._save(state, keep=True)
        if self._run:
            self._run.show(_stage(state))
        self._tell(state, metrics)
        return state

    def _fail(self, state: State, error: NumericalError) -> NoReturn:
        saved = ""
        if self._run:
            self._save(state, keep=False)
            saved = f" The last finite state, of step {state.step}, is saved in {self._run.path}."
        raise NumericalError(f"{error}{saved}") from error

    def _save(self, state: State, *, keep: bool) -> None:
        if self._run:
            tensors, metadata = state.to_checkpoint()
            self._run.checkpoints.save(state.step, tensors, metadata, keep=keep)
            self._saved_at = time.monotonic()

    def _tell(self, state: State, metrics: dict[str, float]) -> None:
        if self._report:
            self._report(Progress(state.step, self._algorithm.steps, metrics))


def _arrays(support: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, np.float32) for name, value in support.items()}


def _stage(state: State) -> Stage:
    support = _arrays(state.support)
    return Stage(state.step, support["images"], support["labels"])
