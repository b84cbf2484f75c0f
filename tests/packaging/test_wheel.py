"""The built wheel: it holds every module, and works away from the repository."""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_REPOSITORY = r"https://(?:github|raw\.githubusercontent)\.com/kernel-distill/kernel-distill"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, as an index would have it."""
    folder = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder, ROOT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert len(list(folder.glob("*.tar.gz"))) == 1
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.slow
def test_wheel_holds_the_files_of_the_package_and_no_others(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    source = ROOT / "src"
    on_disk = {
        str(path.relative_to(source))
        for path in (source / "kernel_distill").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == on_disk


@pytest.mark.slow
def test_links_of_the_description_lead_out(wheel: Path) -> None:
    """An index shows README.md without the files beside it."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        description = archive.read(name).decode().partition("\n\n")[2]
    readme = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\((.*?)\)", description)
    assert len(links) == len(re.findall(r"\]\((.*?)\)", readme)) > 10
    for link in links:
        assert link.startswith("https://"), link
        # those into the repository lead to files that are there
        if found := re.fullmatch(rf"{_REPOSITORY}/(?:blob/)?main/([^#]+)(?:#.*)?", link):
            assert (ROOT / found[1]).exists(), link
    assert "![Ten images of MNIST before and after](https://raw." in description


@pytest.mark.slow
def test_an_index_accepts_both_distributions(wheel: Path, beside: Any) -> None:
    beside.install("twine>=6.1")  # it brings a dozen packages
    checked = beside.run("twine", "check", "--strict", *wheel.parent.iterdir())
    assert checked.count("PASSED") == 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_wheel_works_outside_the_repository(
    wheel: Path, new_environment: Callable[[str], Any], tmp_path: Path
) -> None:
    environment = new_environment(sys.executable)
    environment.install("--constraint", ROOT / "constraints.txt", wheel)

    where = environment.run("python", "-c", "import kernel_distill as k; print(k.__file__)")
    assert Path(where.strip()).is_relative_to(environment.folder)
    assert "jax" in environment.run("kernel-distill", "env")
    environment.run("kernel-distill", "kip", "--steps", "3", "--out", tmp_path / "run")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["steps"] == 3
    assert 0 < result["test_accuracy"] <= 1
    assert (tmp_path / "run" / "report.html").exists()  # its template is in the wheel

    pinned = {_normal(line) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    installed = environment.run("pip", "list", "--format=freeze", "--exclude", "pip")
    installed_here = {_normal(line) for line in installed.splitlines() if "==" in line}
    own = {line for line in installed_here if line.startswith("kernel-distill==")}
    assert installed_here - own <= pinned, "`make constraints` pins what is missing"


def _normal(line: str) -> str:
    return line.strip().lower().replace("_", "-")
