"""New environments, and the Pythons that they are made with."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Environment:
    """A virtual environment that is apart from the one the tests run in."""

    folder: Path

    def install(self, *arguments: str | Path) -> None:
        self.run("pip", "install", "--quiet", "--no-compile", *arguments)

    def run(
        self, command: str, *arguments: str | Path, cwd: Path | None = None, **variables: str
    ) -> str:
        """What a command of the environment prints; the test fails with it if that fails."""
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        ended = subprocess.run(
            [self.folder / "bin" / command, *arguments],
            cwd=cwd or self.folder,  # not the repository, whose sources are not to be found
            env=environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"{command} {arguments}:\n{ended.stdout}"
        return ended.stdout


@pytest.fixture
def new_environment(tmp_path: Path) -> Iterator[Callable[[str], Environment]]:
    """Makes an environment with the Python given, and removes it after the test."""
    folder = tmp_path / "venv"

    def make(python: str) -> Environment:
        subprocess.run([python, "-m", "venv", folder], check=True)
        return Environment(folder)

    yield make
    shutil.rmtree(folder, ignore_errors=True)  # gigabytes, which pytest would keep


@dataclass(frozen=True)
class Beside:
    """Packages that most tests do without, in a folder beside the environment, for one test."""

    folder: Path

    def install(self, *arguments: str) -> None:
        pip = ("-m", "pip", "install", "--quiet", "--no-compile", "--target", self.folder)
        subprocess.run([sys.executable, *pip, *arguments], check=True)

    def run(self, *arguments: str | Path) -> str:
        """What `python -m` prints with them; the test fails with it if that fails."""
        ended = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PYTHONPATH": str(self.folder)},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout
        return ended.stdout


@pytest.fixture
def beside(tmp_path: Path) -> Beside:
    return Beside(tmp_path / "beside")


@pytest.fixture
def interpreter() -> Callable[[str], str]:
    """Finds the first of some versions of Python, or skips."""

    def find(*versions: str) -> str:
        for version in versions:
            for python in _candidates(version):
                if _version(python) == version:
                    return python
        pytest.skip(f"needs Python {' or '.join(versions)}: on the PATH, or installed by pyenv")

    return find


def _candidates(version: str) -> list[str]:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted((pyenv / "versions").glob(f"{version}.*/bin/python"))
    return [
        sys.executable,
        *filter(None, [shutil.which(f"python{version}")]),
        *map(str, installed),
    ]


def _version(python: str) -> str:
    """Its version, or nothing where it does not start (as pyenv's stand-ins may not)."""
    ask = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"
    answer = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
    return answer.stdout.strip()
