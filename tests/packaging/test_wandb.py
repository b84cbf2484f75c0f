"""Watching a run on Weights & Biases: the test that skips without wandb, with it."""

from typing import Any

import pytest


@pytest.mark.slow
def test_with_wandb(beside: Any) -> None:
    beside.install("wandb>=0.20")
    quiet = ("-p", "no:cacheprovider")
    tested = beside.run("pytest", *quiet, "-m", "slow", "tests/watchers/test_wandb.py")
    assert "1 passed" in tested
    assert "skipped" not in tested, tested
