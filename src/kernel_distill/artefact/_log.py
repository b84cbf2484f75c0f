"""The log of a run: `metrics.jsonl`, a line a logged step."""

import json
from pathlib import Path
from typing import Any

from kernel_distill._errors import DamagedFileError
from kernel_distill._files import PathLike, append, write_atomically
from kernel_distill.artefact import _json

METRICS = "metrics.jsonl"


class Log:
    """The log in the folder of a run; one process writes there."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / METRICS

    def append(self, line: dict[str, Any]) -> None:
        """One line more, whole or not at all; it has a step, and a JSON form.

        Raises:
            StorageError: it could not be written; the earlier lines are whole.
        """
        append(self._path, (_json.text(line) + "\n").encode())

    def lines(self) -> list[dict[str, Any]]:
        """Those that are there, in their order. A last one that a kill cut short is left out.

        Raises:
            DamagedFileError: a line before the last is not what `append` writes.
        """
        if not self._path.exists():
            return []
        lines = self._path.read_bytes().splitlines(keepends=True)
        entries = []
        for number, line in enumerate(lines, start=1):
            entry = _entry(line)
            if entry is not None:
                entries.append(entry)
            elif number < len(lines):
                raise DamagedFileError(
                    f"line {number} of {self._path} is not a line of JSON with a step: "
                    f"{line[:60]!r}. Remove it, or restore the file from a copy."
                )
        return entries

    def rewind(self, step: int) -> None:
        """Drop the lines after `step`, and those that cannot be read."""
        if self._path.exists():
            lines = self._path.read_bytes().splitlines(keepends=True)
            kept = [line for line in lines if (entry := _entry(line)) and entry["step"] <= step]
            write_atomically(self._path, b"".join(kept))


def read_metrics(path: PathLike) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl` in the folder of a run, as `Run.metrics` gives them."""
    return Log(Path(path)).lines()


def _entry(line: bytes) -> dict[str, Any] | None:
    """The entry of a whole line, None for anything else."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    whole = line.endswith(b"\n") and isinstance(entry, dict) and isinstance(entry.get("step"), int)
    return entry if whole else None
