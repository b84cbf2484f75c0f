"""The tables of README.md and docs/methods.md."""

import importlib
from pathlib import Path


def test_tables_are_those_of_what_was_measured(monkeypatch):
    """Where this fails, results were measured again: `make tables` puts them in."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "experiments")
    for path, text in importlib.import_module("tables").pages().items():
        assert path.read_text() == text
