"""`--ray`: a run whose kernel blocks are computed by the cores of a cluster."""

import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import psutil
import pytest

import kernel_distill as kd
from kernel_distill._errors import InputError
from kernel_distill.artefact import read_config
from kernel_distill.cli._devices import DeviceOptions


def run(*arguments, temporary="/tmp"):
    """In a process of its own, which knows of no cluster and no token."""
    environment = {name: text for name, text in os.environ.items() if "RAY_" not in name}
    ended = subprocess.run(
        [sys.executable, "-m", "kernel_distill.cli", *map(str, arguments)],
        env=environment | {"HOME": "/nonexistent", "RAY_TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return ended.returncode, ended.stdout, ended.stderr


def processes_in(folder):
    """Those of Ray's that keep their files there."""
    found = psutil.process_iter(["cmdline"])
    return [each.pid for each in found if str(folder) in " ".join(each.info["cmdline"] or ())]


@pytest.fixture
def temporary():
    """For Ray; the paths of its sockets must be short."""
    with tempfile.TemporaryDirectory(prefix="kd-", dir="/tmp", ignore_cleanup_errors=True) as path:
        yield path


def test_options_that_do_not_go_together():
    with pytest.raises(InputError, match="those of this machine, and ray names a cluster"):
        DeviceOptions(ray="auto", devices=2)
    with pytest.raises(InputError, match=r"insecure is about .*: give ray too"):
        DeviceOptions(insecure=True)
    with pytest.raises(InputError, match=r"group is about .*: give ray too"):
        DeviceOptions(group=9)


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
def test_a_cluster_that_is_started_for_the_run(own, tmp_path, temporary):
    plain, there, again = (tmp_path / name for name in ("plain", "there", "again"))
    options = ("--dataset", own, "--steps", 3, "--validation-size", 9)
    assert run("kip", *options, "--out", plain)[0] == 0
    on_ray = ("--ray", "local", "--tile", "9x9")
    status, _, err = run("kip", *options, *on_ray, "--out", there, temporary=temporary)
    assert (status, err) == (0, "")
    assert read_config(there / "config.yaml")["ray"] == "local"
    one, other = kd.load(plain), kd.load(there)
    np.testing.assert_allclose(one.images, other.images, rtol=1e-3, atol=1e-4)
    results = [json.loads((each / "result.json").read_text()) for each in (plain, there)]
    assert results[0]["test_accuracy"] == results[1]["test_accuracy"]
    settled = json.loads((there / "settled.json").read_text())
    assert len(settled) == 2  # values and gradients
    # goes on where it was, or elsewhere
    status, _, err = run("kip", "--out", there, "--resume", temporary=temporary)
    assert (status, err) == (0, "")
    # with a group that is given nothing is measured
    config = ("--config", there / "config.yaml", "--group", 9)
    status, _, err = run("kip", *config, "--out", again, temporary=temporary)
    assert (status, err) == (0, "")
    assert read_config(again / "config.yaml")["group"] == 9
    assert not (again / "settled.json").exists()
    assert os.listdir(temporary)
    deadline = time.monotonic() + 20
    while processes_in(temporary) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_in(temporary)
