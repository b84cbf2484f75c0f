"""`--ray`: a run whose kernel blocks are computed by the cores of a cluster."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

import kernel_distill as kd
from kernel_distill._errors import InputError
from kernel_distill.artefact import read_config
from kernel_distill.cli._devices import DeviceOptions


def run(*arguments):
    """In a process of its own, which knows of no cluster and no token."""
    environment = {name: text for name, text in os.environ.items() if "RAY_" not in name}
    ended = subprocess.run(
        [sys.executable, "-m", "kernel_distill.cli", *map(str, arguments)],
        env=environment | {"HOME": "/nonexistent", "RAY_TMPDIR": "/tmp"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return ended.returncode, ended.stdout, ended.stderr


def raylets():
    return {each.pid for each in psutil.process_iter(["name"]) if each.info["name"] == "raylet"}


def test_options_that_do_not_go_together():
    with pytest.raises(InputError, match="those of this machine, and ray names a cluster"):
        DeviceOptions(ray="auto", devices=2)
    with pytest.raises(InputError, match="give ray too"):
        DeviceOptions(insecure=True)


@pytest.mark.slow
@pytest.mark.ray
def test_no_token(own, tmp_path):
    status, _, err = run("kip", "--dataset", own, "--ray", "10.0.0.5:6379", "--out", tmp_path / "a")
    assert status == 1
    assert err.startswith("error: whoever reaches a Ray cluster without a token can run code on it")
    assert "--insecure" in err
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
@pytest.mark.ray
def test_a_cluster_that_is_started_for_the_run(own, tmp_path):
    before = raylets()
    plain, there = tmp_path / "plain", tmp_path / "there"
    options = ("--dataset", own, "--steps", 3, "--validation-size", 9)
    assert run("kip", *options, "--out", plain)[0] == 0
    status, _, err = run("kip", *options, "--ray", "local", "--tile", "9x9", "--out", there)
    assert (status, err) == (0, "")
    assert read_config(there / "config.yaml")["ray"] == "local"
    one, other = kd.load(plain), kd.load(there)
    np.testing.assert_allclose(one.images, other.images, rtol=1e-3, atol=1e-4)
    results = [json.loads((each / "result.json").read_text()) for each in (plain, there)]
    assert results[0]["test_accuracy"] == results[1]["test_accuracy"]
    settled = json.loads((there / "settled.json").read_text())
    assert len(settled) == 2  # values and gradients
    # goes on where it was, or elsewhere
    status, _, err = run("kip", "--out", there, "--resume")
    assert (status, err) == (0, "")
    deadline = time.monotonic() + 20
    while raylets() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not raylets() - before
