"""Settings as YAML."""

import re
from pathlib import Path
from typing import Any

from kernel_distill._errors import InputError
from kernel_distill._files import PathLike
from kernel_distill.artefact import _json


def read_config(path: PathLike) -> dict[str, Any]:
    """The settings in a YAML file, such as a run's `config.yaml`.

    `1e-6` is a number here, as everybody expects, though not in YAML 1.1.

    Raises:
        InputError: the file cannot be read, is not YAML, or is not a mapping of names to values.
    """
    import yaml

    path = Path(path)
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), _with_numbers(yaml.SafeLoader))
    except OSError as error:
        raise InputError(f"cannot read the settings in {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} must be YAML: {error}") from error
    if config is None:
        return {}
    if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
        raise InputError(
            f"{path} must hold settings, a line `name: value` each; got a "
            f"{type(config).__name__}: {str(config)[:60]!r}"
        )
    return config


def dump_config(config: dict[str, Any]) -> str:
    """The settings as YAML, in their own order."""
    import yaml

    return yaml.dump(
        _json.plain(config),
        # it must put quotation marks around a text that the loader would take for a number
        Dumper=_with_numbers(yaml.SafeDumper),
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
    )


def differences(saved: Any, given: Any, *, ignored: frozenset[str]) -> list[str]:
    """What differs between two trees of settings, a line each: `kip.steps: saved 800, got 900`."""
    lines = []

    def compare(saved: Any, given: Any, path: str) -> None:
        if isinstance(saved, dict) and isinstance(given, dict):
            for key in dict.fromkeys([*saved, *given]):
                if not (path == "" and key in ignored):
                    below = f"{path}.{key}" if path else key
                    compare(saved.get(key, _ABSENT), given.get(key, _ABSENT), below)
        elif saved != given or isinstance(saved, bool) != isinstance(given, bool):
            lines.append(f"{path}: saved {_shown(saved)}, got {_shown(given)}")

    compare(saved, given, "")
    return lines


_ABSENT = object()


def _shown(value: Any) -> str:
    return "nothing" if value is _ABSENT else repr(value)


def _with_numbers(base: Any) -> Any:
    """A loader or dumper of YAML that knows the numbers of everyone else, such as 1e-6."""
    extended: Any = type(base.__name__, (base,), {})
    number = r"^(?:[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+)$"
    extended.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(number), list("-+.0123456789")
    )
    return extended
