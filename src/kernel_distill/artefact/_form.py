"""The form of what metadata tell: anybody may have written them."""

from collections.abc import Mapping
from typing import Any

_NUMBER = float | int
_METRIC = _NUMBER | None

# of what is there and is relied on; what must be there, say those who rely on it
_FORM: Mapping[str, Any] = {
    "method": str,
    "step": int | None,
    "dataset": {"name": str, "class_names": [str]},
    "architecture": {"name": str},
    "network": {"name": str},
    "architectures": [{"name": str, "kernel": str}],
    "metrics": {
        "test_accuracy": _METRIC,
        "initial_test_accuracy": _METRIC,
        "validation_accuracy": _METRIC,
        "test_deviation": _METRIC,
    },
    "preprocessing": {"recipe": {"preprocessing": str}},
    "unrolled": {
        "distilled_steps": int,
        "epochs": int,
        "learning_rates": [[_NUMBER]],
        "networks": [
            {
                "name": str,
                "initialisation": str,
                "initialiser": str,
                "weights": str,
                "key": [int],
                "key_implementation": str,
                "some_weights": [_NUMBER],
            }
        ],
    },
    "settings": {},
    "packages": {},
    "origin": {"file": str},
}


def misformed(metadata: dict[str, Any]) -> str | None:
    """Where metadata have another form than what reads them relies on, in words; None: nowhere."""
    return _misformed(metadata, _FORM, "metadata")


def _misformed(value: Any, form: Any, place: str) -> str | None:
    if isinstance(form, Mapping):
        if not isinstance(value, dict):
            return _differs(value, "an object", place)
        parts = [(value[key], form[key], f"{place}[{key!r}]") for key in form if key in value]
    elif isinstance(form, list):
        if not isinstance(value, list):
            return _differs(value, "a list", place)
        parts = [(each, form[0], f"{place}[{index}]") for index, each in enumerate(value)]
    else:
        wanted = getattr(form, "__name__", form)
        return None if isinstance(value, form) else _differs(value, wanted, place)
    return next(filter(None, (_misformed(*part) for part in parts)), None)


def _differs(value: Any, wanted: Any, place: str) -> str:
    return f"{place} must be {wanted}; got {value!r:.80}"
