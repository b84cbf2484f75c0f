"""The command line, called in this process, and a finished run of each method."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from kernel_distill.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str


def run_command(*arguments) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return Outcome(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def cli():
    """Calls the command line: `cli("kip", "--out", path).status`."""
    return run_command


@pytest.fixture(scope="session")
def kip_run(tmp_path_factory) -> tuple[Path, Outcome]:
    path = tmp_path_factory.mktemp("runs") / "kip"
    return path, run_command(
        *("kip", "--images-per-class", 2, "--steps", 12, "--seed", 3, "--out", path)
    )


@pytest.fixture(scope="session")
def label_solve_run(tmp_path_factory) -> tuple[Path, Outcome]:
    path = tmp_path_factory.mktemp("runs") / "label-solve"
    return path, run_command(
        *("label-solve", "--support-size", 25, "--block-size", 200, "--out", path)
    )


@pytest.fixture
def own(tmp_path) -> Path:
    """A user's own data: 90 grey 6x5 images of three classes in an .npz."""
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    images = random.random((3, 6, 5))[labels] + 0.2 * random.standard_normal((90, 6, 5))
    path = tmp_path / "own data.npz"
    np.savez(path, images=images, labels=labels)
    return path
