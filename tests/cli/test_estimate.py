"""`kernel-distill estimate`"""

import pytest

import kernel_distill as kd
from kernel_distill import distributed, kernels

FC = kernels.FullyConnected(depth=1).kernel()


def test_kip(cli, own):
    outcome = cli("estimate", "kip", "--dataset", own, "--steps", 20)
    assert outcome.status == 0
    for text in ("a step", "compiling", "the whole run", "memory of a kernel block", "iB"):
        assert text in outcome.out


def test_a_run_on_a_cluster(cli, own):
    outcome = cli("estimate", "kip", "--dataset", own, "--ray", "10.0.0.5:6379", "--group", 9)
    assert (outcome.status, outcome.err) == (0, "")
    assert "for this machine, not for the Ray cluster" in outcome.out


def test_a_run_of_several_processes(cli, own, tmp_path):
    together = ("--coordinator", "10.0.0.5:1234", "--num-processes", 4, "--process-id", 0)
    where = ("--out", tmp_path / "run")
    outcome = cli("estimate", "kip", "--dataset", own, "--steps", 3, *together, *where)
    assert outcome.status == 0, outcome.err
    assert "for this machine alone, not for all processes together" in outcome.out
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_label_solve_with_the_config_of_a_run(cli, label_solve_run):
    path, _ = label_solve_run
    outcome = cli("estimate", "label-solve", "--config", path / "config.yaml")
    assert (outcome.status, outcome.err) == (0, "")
    assert "a block of targets" in outcome.out


def test_what_a_run_would_refuse(cli, own):
    outcome = cli("estimate", "kip", "--dataset", own, "--images-per-class", 999)
    assert outcome.status == 1
    assert "999 images per class were asked for" in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("members", [1, 2])
def test_parts_of_an_estimate(members):
    data = kd.data.load("digits")
    kernel = kernels.mixture(*[FC, kernels.FullyConnected(depth=2).kernel()][:members])
    short, long = (kd.kip.estimate(kernel, data, steps=steps) for steps in (0, 10**6))
    assert long.seconds == pytest.approx(10**6 * long.step, rel=0.2)
    assert 0 < short.compiling < short.seconds
    assert short.memory > 0
    solve = kd.label_solve.estimate(FC, data, support_size=20, block_size=100)
    blocks = -(-len(data.train) // 100)
    assert solve.seconds > blocks * solve.step + solve.compiling


@pytest.mark.parametrize(
    ("seconds", "tile"), [(0.0, (1, 100)), pytest.param(1e9, (400, 100), marks=pytest.mark.slow)]
)
def test_as_many_rows_are_timed_as_take_the_time_given(seconds, tile):
    timing = distributed.time_pairs(
        FC, (64,), block=(400, 100), dtype="float32", gradient=True, seconds=seconds
    )
    assert timing.tile == tile
    assert timing.pair > 0
