"""The files of others that want PyTorch: the tests that skip without it, with it."""

from typing import Any

import pytest


@pytest.mark.slow
def test_files_of_torch(beside: Any) -> None:
    # this version by itself comes without CUDA's gigabytes, and reads what the versions that
    # pyproject.toml admits write
    beside.install("torch==2.13.0")
    # of it single files are tested: together they want much more, and an older NumPy
    beside.install("--no-deps", "ddranking==0.2.0")
    tested = beside.run("pytest", "-p", "no:cacheprovider", "tests/foreign")
    assert "skipped" not in tested, tested
