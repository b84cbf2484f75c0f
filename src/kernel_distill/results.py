"""What a distillation gives back, and what it leaves in its run directory."""

import functools
import heapq
import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from kernel_distill import _hosts as hosts
from kernel_distill._errors import NumericalError, StorageError
from kernel_distill.artefact import (
    Distilled,
    Run,
    Stage,
    device_description,
    package_versions,
    save_pictures,
)
from kernel_distill.data import LABEL_CONVENTION, Dataset, Split
from kernel_distill.evaluation import Precision, measure_labels
from kernel_distill.kernels import Kernel
from kernel_distill.report import FILE_NAME, save_report, tell
from kernel_distill.viewing import View


@dataclass(frozen=True)
class Outcome:
    """What an algorithm has found, before anything is tested.

    Attributes:
        support: what the result is: "images" [s, *shape], "labels" [s, class], and what was learned
            besides; float32.
        initial: the support that it began with, likewise.
        view: of the run.
        step: the step that the support is of.
        steps: steps done (blocks of targets for Label Solve).
        seconds: time they took.
        stages: the support at steps that the run has kept, ascending; read when they are asked for.
    """

    support: dict[str, np.ndarray]
    initial: dict[str, np.ndarray]
    view: View
    step: int
    steps: int
    seconds: float
    stages: Iterable[Stage] = ()

    @property
    def images(self) -> Float[np.ndarray, "s *shape"]:
        return self.support["images"]

    @property
    def labels(self) -> Float[np.ndarray, "s class"]:
        return self.support["labels"]


class Learner(ABC):
    """What learns from the support that a method distils, and shows what it teaches."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What titles call it."""

    @abstractmethod
    def metadata(self, support: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """What an artefact says of it, and of how to use the support."""

    @abstractmethod
    def measured(self, outcome: Outcome, data: Dataset) -> dict[str, Any]:
        """The figures of the outcome by the names that `Result` has for them: "test_accuracy",
        "initial_test_accuracy", "validation_accuracy", as fractions.

        Raises:
            NumericalError: a measurement is not finite.
        """


@dataclass(frozen=True)
class KernelLearner(Learner):
    """Kernel ridge regression.

    Attributes:
        kernel: a mixture is tested as the mean of its members.
        ridge: see `kernels.ridge_regression`.
        precision: of the kernel blocks.
    """

    kernel: Kernel
    ridge: float
    precision: Precision

    @property
    def name(self) -> str:
        return ", ".join(member.architecture.name for member in self.kernel.members)

    def metadata(self, support: Mapping[str, np.ndarray]) -> dict[str, Any]:
        del support
        return {
            "architecture": self.kernel.architecture.to_metadata(),
            "architectures": [
                member.architecture.to_metadata() | {"kernel": member.kind}
                for member in self.kernel.members
            ],
            "kernel": self.kernel.kind,
            "ridge": self.ridge,
        }

    def measured(self, outcome: Outcome, data: Dataset) -> dict[str, Any]:
        validation = None
        if len(data.validation):
            (validation,) = self._accuracies(outcome.images, (outcome.labels,), data.validation)
        initial = outcome.initial["images"], outcome.initial["labels"]
        if np.array_equal(outcome.images, initial[0]):
            both = (outcome.labels, initial[1])
            test, initial_test = self._accuracies(outcome.images, both, data.test)
        else:
            (test,) = self._accuracies(outcome.images, (outcome.labels,), data.test)
            (initial_test,) = self._accuracies(initial[0], (initial[1],), data.test)
        return {
            "test_accuracy": test,
            "initial_test_accuracy": initial_test,
            "validation_accuracy": validation,
        }

    def _accuracies(
        self, images: np.ndarray, labels: Sequence[np.ndarray], split: Split
    ) -> list[float]:
        """Of the same images with several labels."""
        evaluations = [
            measure_labels(
                member, images, labels, split, ridge=self.ridge, precision=self.precision
            )
            for member in self.kernel.members
        ]
        return [
            float(np.mean([evaluation.accuracy for evaluation in of_members]))
            for of_members in zip(*evaluations, strict=True)
        ]


@dataclass(frozen=True)
class Result:
    """A distilled data set and what it was found to teach; accuracies are fractions.

    Attributes:
        distilled: the distilled set, to save, evaluate or train on.
        initial: the support that it began with.
        initial_natural: whether its images are natural ones, without noise.
        test_accuracy: of kernel ridge regression on the distilled set; of methods with networks
            their mean.
        initial_test_accuracy: of the same on the initial support; None where no network learned
            from it.
        validation_accuracy: that of the distilled set; None without validation images.
        steps: steps done (blocks of targets for Label Solve).
        seconds: time they took, validation included.
        test_deviation: the standard deviation of the test accuracy over networks; None of a single
            one, and of kernels.
    """

    distilled: Distilled
    initial: Distilled
    initial_natural: bool
    test_accuracy: float
    initial_test_accuracy: float | None
    validation_accuracy: float | None
    steps: int
    seconds: float
    test_deviation: float | None = None

    @property
    def initial_name(self) -> str:
        """What to call the initial support: "natural", or "initial" where some of it is noise."""
        return "natural" if self.initial_natural else "initial"


def finish(
    outcome: Outcome,
    learner: Learner,
    *,
    method: str,
    data: Dataset,
    settings: Any,
    key: PRNGKeyArray,
    run: Run | None,
) -> Result:
    """Tests the outcome (the only look at the test set), and writes it down.

    Where the run has the same outcome already, having ended before, it has its accuracies too.

    Args:
        outcome: what the algorithm found.
        learner: what it was distilled for.
        method: its name, as in `artefact.METHOD_NAMES`.
        data: the data set that was distilled.
        settings: the settings dataclass of the method.
        key: the randomness of the run, for the metadata.
        run: where to write the artefact, the figures and the pictures.

    Raises:
        NumericalError: what the learner predicts is not finite.
        StorageError: a file could not be written.
    """
    common = {
        "label_convention": LABEL_CONVENTION,
        "preprocessing": data.preprocessing.to_metadata(),
        "seed": np.asarray(jax.random.key_data(key)).tolist(),
        "settings": asdict(settings),
        "packages": package_versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }

    def distilled(support: Mapping[str, np.ndarray], **found: Any) -> Distilled:
        made = {"method": method, "dataset": data.to_metadata(), **learner.metadata(support)}
        return Distilled(support["images"], support["labels"], made | common | found)

    state = "last" if outcome.step == outcome.steps else "best"
    last = functools.partial(distilled, outcome.support, step=outcome.step, state=state)
    metrics = _known(outcome, run)
    if not metrics:
        try:
            metrics = learner.measured(outcome, data)
        except NumericalError as error:
            if run is None:
                raise
            run.save_distilled(last(metrics={}))
            raise NumericalError(
                f"the distilled set is in {run.path}, but could not be tested: {error}"
            ) from error
    result = Result(
        distilled=last(metrics=metrics),
        initial=distilled(outcome.initial, step=0, state="initial"),
        initial_natural=outcome.view.natural,
        **metrics,
        steps=outcome.steps,
        seconds=outcome.seconds,
    )
    if run:
        found = _write(result, data=data, run=run)
        _draw(result, outcome, found, learner, data=data, run=run)
    return result


def _known(outcome: Outcome, run: Run | None) -> dict[str, Any] | None:
    """The accuracies where the run had ended before: it is not tested again."""
    saved = run.distilled() if run else None
    found = b""
    if saved is not None and (
        np.array_equal(saved.images, outcome.images)
        and np.array_equal(saved.labels, outcome.labels)
    ):
        found = json.dumps(saved.metadata["metrics"]).encode()
    known = hosts.from_first(found)
    return json.loads(known) if known else None


def _write(result: Result, *, data: Dataset, run: Run) -> dict[str, Any]:
    """What stands in result.json, once that and the artefact are on the disk."""
    run.save_distilled(result.distilled)
    if data.preprocessing.whitening is not None:
        data.preprocessing.save_whitening(run.path / "preprocessing.npz")
    found = {
        "test_accuracy": result.test_accuracy,
        "initial_test_accuracy": result.initial_test_accuracy,
        "validation_accuracy": result.validation_accuracy,
        **({} if result.test_deviation is None else {"test_deviation": result.test_deviation}),
        "support_size": len(result.distilled),
        "steps": result.steps,
        "wall_seconds": result.seconds,
        "device": device_description(),
    }
    run.save_result(found)
    return found


def _draw(
    result: Result,
    outcome: Outcome,
    found: dict[str, Any],
    learner: Learner,
    *,
    data: Dataset,
    run: Run,
) -> None:
    """The pictures and the page, once all else is on the disk."""
    before, after = result.initial.images, result.distilled.images
    caption = "The same, labels learned" if np.array_equal(before, after) else "Distilled"
    method = result.distilled.metadata["method"]
    title = f"{data.name} · {method} · {learner.name} · {len(after)} images"
    before_caption = result.initial_name.capitalize()
    if result.initial_test_accuracy is not None:
        before_caption += f" · {100 * result.initial_test_accuracy:.1f} % test accuracy"
    save_pictures(
        run,
        before=outcome.view.images(before),
        after=outcome.view.images(after),
        labels_before=result.initial.labels,
        labels_after=result.distilled.labels,
        class_names=data.class_names,
        best_step=result.distilled.metadata["step"],
        title=title,
        captions=(
            before_caption,
            f"{caption} · {100 * result.test_accuracy:.1f} %",
        ),
    )
    try:
        story = tell(
            result.distilled,
            _shown(outcome, result),
            name=title,
            class_names=data.class_names,
            labels_before=result.initial.labels,
            result=found,
            metrics=run.metrics(),
            config=run.config,
        )
        save_report(run.path / FILE_NAME, [story], of_run=True)
    except StorageError:
        raise
    except Exception as error:
        # what took hours is on the disk, and a page is not worth losing it for those who hold it
        warnings.warn(
            f"{run.path / FILE_NAME} could not be made ({type(error).__name__}: {error}); the "
            "results beside it are whole",
            stacklevel=2,
        )


def _shown(outcome: Outcome, result: Result) -> Iterator[Stage]:
    """The support at the start, at the steps between and as it is the result, for viewing."""
    ends = {0: result.initial, result.distilled.metadata["step"]: result.distilled}
    own = [Stage(step, each.images, each.labels) for step, each in sorted(ends.items())]
    between = (stage for stage in outcome.stages if stage.step not in ends)
    for stage in heapq.merge(own, between, key=lambda stage: stage.step):
        yield Stage(stage.step, outcome.view.images(stage.images), stage.labels)
