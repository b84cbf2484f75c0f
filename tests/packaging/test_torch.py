"""The files of others that want PyTorch: the tests that skip without it, with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_files_of_torch(tmp_path: Path) -> None:
    # beside the environment, for this test alone; this version by itself comes without CUDA's
    # gigabytes, and reads what the versions that pyproject.toml admits write
    folder = tmp_path / "torch"
    pip = ("-m", "pip", "install", "--quiet", "--no-compile", "--target", folder, "torch==2.13.0")
    subprocess.run([sys.executable, *pip], check=True)
    # of it single files are tested: together they want much more, and an older NumPy
    subprocess.run([sys.executable, *pip[:-1], "--no-deps", "ddranking==0.2.0"], check=True)
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/foreign"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout
    assert "skipped" not in tested.stdout, tested.stdout
