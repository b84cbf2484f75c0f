"""Watching a run on Weights & Biases: the test that skips without wandb, with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_with_wandb(tmp_path: Path) -> None:
    # beside the environment, for this test alone
    folder = tmp_path / "wandb"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", folder)
    subprocess.run([*pip, "wandb>=0.20"], check=True)
    pytest_alone = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "slow")
    tested = subprocess.run(
        [*pytest_alone, "tests/watchers/test_wandb.py"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout
    assert "1 passed" in tested.stdout
    assert "skipped" not in tested.stdout, tested.stdout
