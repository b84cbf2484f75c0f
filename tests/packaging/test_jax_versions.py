"""The kernels and the command line at both ends of what pyproject.toml admits."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
# what the tests of kernels need; all of the extra is twice as much
TOOLS = ("pytest", "pytest-timeout", "pytest-xdist", "beartype", "cloudpickle")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_oldest(
    new_environment: Callable[[str], Any], interpreter: Callable[..., str], tmp_path: Path
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = [
        f"{requirement.name}=={bound.version}"
        for requirement in map(Requirement, project["dependencies"])
        for bound in requirement.specifier
        if bound.operator == ">="
    ]
    environment = new_environment(interpreter("3.11"))
    environment.install(ROOT, *TOOLS, *oldest)
    assert f"jax=={_version(environment)}" in oldest
    _check(environment, tmp_path)


def test_newest(
    new_environment: Callable[[str], Any], interpreter: Callable[..., str], tmp_path: Path
) -> None:
    environment = new_environment(interpreter("3.13", "3.12"))
    listed = environment.run("pip", "index", "versions", "jax")
    (newest,) = re.findall(r"^jax \((.+)\)$", listed, re.MULTILINE)
    environment.install(ROOT, *TOOLS, f"jax=={newest}")
    assert _version(environment) == newest
    _check(environment, tmp_path)


def _version(environment: Any) -> str:
    return environment.run("python", "-c", "import jax; print(jax.__version__)").strip()


def _check(environment: Any, tmp_path: Path) -> None:
    tests = (
        "tests/kernels",
        "tests/distributed",
        "tests/networks",
        "tests/packaging/test_import.py",
    )
    quick = ("-m", "kernels and not slow", "--numprocesses", "2", "--dist", "loadfile")
    # to compile is most of it, and takes a third less time so
    flags = "--xla_backend_optimization_level=0"
    environment.run("python", "-m", "pytest", *quick, *tests, cwd=ROOT, XLA_FLAGS=flags)
    environment.run("kernel-distill", "kip", "--steps", "3", "--out", tmp_path / "run")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 3
    # a failure to make it is but a warning
    assert (tmp_path / "run" / "report.html").exists()
    assert "--dataset" in environment.run("kernel-distill", "completion", "fish")
