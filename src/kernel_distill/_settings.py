"""Settings dataclasses from keyword arguments, and the progress that a long run reports."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from math import inf
from typing import Any, TypeVar

from kernel_distill._errors import InputError, unknown_name

SettingsType = TypeVar("SettingsType")


def make_settings(settings: type[SettingsType], given: Mapping[str, Any]) -> SettingsType:
    """`settings(**given)`, with the nearest known names in the error about an unknown one.

    Raises:
        UnknownNameError: a name in `given` is no field of `settings`.
    """
    known = [entry.name for entry in fields(settings)]  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            raise unknown_name("setting", name, known)
    return settings(**given)


def check_common(settings: Any) -> None:
    """What the settings of methods with a kernel share: the size of the support, ridge, precision.

    Raises:
        InputError: one of them is out of range, or the size is given twice.
        UnknownNameError: the precision is none.
    """
    check_size(settings)
    if settings.precision not in ("float32", "float64"):
        raise unknown_name("precision", settings.precision, ("float32", "float64"))
    if not 0 <= settings.ridge < inf:
        raise InputError(f"ridge must be 0 or more, and finite; got {settings.ridge}")


def check_size(settings: Any) -> None:
    """Raises InputError where the size of the support is given twice, or is none."""
    if settings.images_per_class is not None and settings.support_size is not None:
        raise InputError(
            "images_per_class and support_size say the same thing twice; got "
            f"{settings.images_per_class} and {settings.support_size}: give one of them"
        )
    check_positive(settings, "images_per_class", "support_size")


def check_positive(settings: Any, *names: str) -> None:
    """Raises InputError where one of these settings is neither None nor 1 or more."""
    for name in names:
        if (value := getattr(settings, name)) is not None and value < 1:
            raise InputError(f"{name} must be 1 or more; got {value}")


def check_positive_finite(settings: Any, *names: str) -> None:
    """Raises InputError where one of these settings is not above 0, or is infinite."""
    for name in names:
        if not 0 < (value := getattr(settings, name)) < inf:
            raise InputError(f"{name} must be positive and finite; got {value}")


def make_tuples(settings: Any, *names: str) -> None:
    """Makes tuples of these settings where they are lists, as YAML gives them, or a user.

    Raises:
        InputError: one is no sequence; None stays.
    """
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, list):
            object.__setattr__(settings, name, tuple(value))
        elif not isinstance(value, tuple | None):
            raise InputError(f"{name} must be a tuple; got {value!r}: write ({value!r},)")


def check_start(settings: Any) -> None:
    """Raises UnknownNameError where there is no such first support."""
    if settings.start not in (known := ("real", "herding", "noise")):
        raise unknown_name("start", settings.start, known)


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: steps done (KIP), or blocks of targets (Label Solve).
        steps: how many there will be.
        metrics: what was last measured, by the names of metrics.jsonl.
    """

    step: int
    steps: int
    metrics: Mapping[str, float] = field(default_factory=dict)


Report = Callable[[Progress], None]


def log_spaced(step: int) -> bool:
    """Whether a step is one of the checkpoints: eight a decade up to 1,000, then every 500.

    Nguyen et al. 2021b checkpoint so; validation happens at the same steps.
    """
    if step >= 1000:
        return step % 500 == 0
    return step in _FIRST_THOUSAND


_FIRST_THOUSAND = {0} | {round(10 ** (eighth / 8)) for eighth in range(24)}
