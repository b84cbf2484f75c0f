"""What README.md and docs/scaling.md show is what happens."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from kernel_distill.cli._main import _parse

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SCALING = (ROOT / "docs" / "scaling.md").read_text()


def test_python_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    of_ridge, of_network = (float(line.rstrip("%")) for line in printed.getvalue().splitlines())
    assert of_ridge > 90  # ten natural images teach some 67 %
    assert of_network > 75  # ten natural images teach it some 60 %
    assert (tmp_path / "digits10.npz").exists()


@pytest.mark.parametrize("text", [README, SCALING], ids=["README", "scaling"])
def test_commands_are_understood(text: str) -> None:
    commands = re.findall(r"^    kernel-distill (.*)$", text, flags=re.MULTILINE)
    assert len(commands) >= 4
    for command in commands:
        assert callable(_parse(shlex.split(command)).run)


@pytest.mark.parametrize("path", ["README.md", "docs/scaling.md"])
def test_links_lead_somewhere(path: str) -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / path).read_text()):
        assert ((ROOT / path).parent / link).exists(), link
