"""What README.md shows is what happens."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from kernel_distill.cli._main import _parse

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_python_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    accuracy = float(printed.getvalue().strip().rstrip("%"))
    assert accuracy > 90  # ten natural images teach some 67 %
    assert (tmp_path / "digits10.npz").exists()


def test_commands_are_understood() -> None:
    commands = re.findall(r"^    kernel-distill (.*)$", README, flags=re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        assert callable(_parse(shlex.split(command)).run)


def test_links_lead_somewhere() -> None:
    root = Path(__file__).parents[1]
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (root / link).exists(), link
