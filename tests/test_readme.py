"""What README.md and the pages of docs/ show is what happens."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from kernel_distill.cli._main import _parse

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = ["README.md", *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/*.md"))]


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


@pytest.mark.slow
@pytest.mark.parametrize("page", ["tutorial", "own_data", "methods"])
def test_python_of_the_site(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(), flags=re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, page, "exec"), {})
    before, after = (float(number) for number in re.findall(r"([\d.]+)%", printed.getvalue()))
    assert after > before


def test_commands_are_understood() -> None:
    commands = {
        page: re.findall(
            r"^    kernel-distill ((?:.*\\\n)*.*)$", (ROOT / page).read_text(), flags=re.MULTILINE
        )
        for page in PAGES
    }
    assert len(commands["README.md"]) >= 4
    assert len(commands["docs/tutorial.md"]) >= 4
    for command in {each for found in commands.values() for each in found}:
        assert callable(_parse(shlex.split(command.replace("\\\n", " "))).run)


@pytest.mark.parametrize("path", PAGES)
def test_links_lead_somewhere(path: str) -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / path).read_text()):
        assert ((ROOT / path).parent / link).exists(), link
