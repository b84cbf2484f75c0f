"""What a page tells of a run, as it stands in the page itself."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from kernel_distill._errors import DamagedFileError
from kernel_distill.report._again import COMMANDS, commands
from kernel_distill.report._sprites import Frame, Sprites

RIDGE_REGRESSION = "kernel ridge regression"
"""What is tested unless a set tells of a network."""


@dataclass(frozen=True)
class Story:
    """A run as its page shows it; JSON can hold all of it.

    Attributes:
        name: of the run, in the heading.
        summary: what it did, in a sentence.
        sha256: of the distilled set.
        class_names: of all classes.
        sprites: the images shown and their labels, at each saved step.
        has_start: whether the first frame is the support that the run began with; of a set alone
            it is the result.
        result: the place of the frame in `sprites` that is the result.
        steps: steps done, or blocks of targets; None where that is not known.
        unit: "step", or "block".
        series: of `validation_accuracy`, `validation_loss`, `batch_accuracy` and `loss` what was
            logged: steps, ascending, and values. Accuracies are fractions.
        initial_accuracy, accuracy: on the test set, before and after, fractions; None where it was
            not measured.
        figures: what else was found, by name.
        settings: the configuration, by name.
        config: the same as the text of a YAML file.
        command: of the command line, what runs `config` again; empty where nothing does.
        packages: the versions that it was made with, as far as they are known.
        citation: BibTeX.
        learner: what was tested, having learned from the set.
    """

    name: str
    summary: str
    sha256: str
    class_names: tuple[str, ...]
    sprites: Sprites
    has_start: bool
    result: int
    steps: int | None
    unit: str
    series: dict[str, tuple[tuple[int, ...], tuple[float, ...]]]
    initial_accuracy: float | None
    accuracy: float | None
    figures: dict[str, str]
    settings: dict[str, str]
    config: str
    command: str
    packages: dict[str, str]
    citation: str
    learner: str = RIDGE_REGRESSION

    @property
    def again(self) -> str:
        """What to paste into a shell to make it again; empty where that is not known."""
        return commands(self.command, self.packages)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Story":
        """The story whose `to_json` went through JSON.

        Raises:
            DamagedFileError: it is not that.
        """
        try:
            return _story(values)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise DamagedFileError(
                f"this is not what a page tells of a run ({type(error).__name__}: {error})"
            ) from error


def _story(values: Mapping[str, Any]) -> Story:
    # pages that were written before there were other learners have no name for it
    values = {"learner": RIDGE_REGRESSION, **values}
    known = {field.name for field in fields(Story)}
    if set(values) != known:
        raise ValueError(f"other fields than expected: {sorted(set(values) ^ known)}")
    texts = ("name", "summary", "sha256", "unit", "config", "command", "citation", "learner")
    for name in texts:
        _check(values[name], str)
    sprites = _sprites(values["sprites"])
    class_names = tuple(_check(name, str) for name in values["class_names"])
    result = _check(values["result"], int)
    if not 0 <= result < len(sprites.frames) or max(sprites.classes) >= len(class_names):
        raise ValueError("a frame or a class that is not there")
    if values["command"] not in ("", *COMMANDS):
        raise ValueError(f"{values['command']!r:.40} runs nothing again")
    return Story(
        **{name: values[name] for name in texts},
        class_names=class_names,
        sprites=sprites,
        has_start=_check(values["has_start"], bool),
        result=result,
        steps=_number(values["steps"]),
        series={
            name: (
                tuple(_check(step, int) for step in steps),
                tuple(float(value) for value in found),
            )
            for name, (steps, found) in values["series"].items()
        },
        initial_accuracy=_fraction(values["initial_accuracy"]),
        accuracy=_fraction(values["accuracy"]),
        figures={name: _check(text, str) for name, text in values["figures"].items()},
        settings={name: _check(text, str) for name, text in values["settings"].items()},
        packages={name: _check(text, str) for name, text in values["packages"].items()},
    )


def _sprites(values: Mapping[str, Any]) -> Sprites:
    numbers = ("width", "height", "columns")
    frames = tuple(
        Frame(
            step=_number(frame["step"]),
            picture=_check(frame["picture"], str),
            labels=_check(frame["labels"], str),
            scale=float(frame["scale"]),
        )
        for frame in values["frames"]
    )
    sprites = Sprites(
        **{name: _check(values[name], int) for name in numbers},
        rows=tuple(_check(row, int) for row in values["rows"]),
        classes=tuple(_check(label, int) for label in values["classes"]),
        note=_check(values["note"], str),
        frames=frames,
    )
    if not frames or not sprites.rows or len(sprites.rows) != len(sprites.classes):
        raise ValueError("no frames, or images without a class")
    return sprites


def _check(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r:.40} is no {kind.__name__}")
    return value


def _number(value: Any) -> int | None:
    return None if value is None else int(_check(value, int))


def _fraction(value: Any) -> float | None:
    return None if value is None else float(value)
