"""KIP stopped, killed and resumed."""

import functools
import itertools
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import jax
import pytest

import kernel_distill as kd
from kernel_distill import kip, outer_loop
from kernel_distill._errors import InputError
from kernel_distill._settings import log_spaced
from kernel_distill.artefact import Checkpoints, Run
from kernel_distill.kernels import FullyConnected, mixture, named

KERNEL = FullyConnected(depth=1).kernel("ntk")
KEY = jax.random.key(5)


def stop_at(step, number, times=1):
    def report(progress):
        if progress.step == step and "loss" in progress.metrics:
            for _ in range(times):
                os.kill(os.getpid(), number)

    return report


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    ("number", "stops"), [(signal.SIGINT, (1,)), (signal.SIGTERM, (13, 29)), (signal.SIGINT, (40,))]
)
def test_stopped_and_resumed_gives_the_same_bits(tiny, tmp_path, stop_run, number, stops):
    settings = {
        "key": KEY,
        "steps": 40,
        "images_per_class": 2,
        "batch_size": 20,
        "learning_rate": 0.3,
        "schedule": "cosine",
        "augment": ("flip", "shift"),
        "augment_fraction": 0.5,
        "corruption": 0.1,
    }
    kernel = mixture(KERNEL, named("fc2").kernel())
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with Run.create(tmp_path / "whole", {}) as run:
        whole = kip.distill(kernel, tiny, run=run, **settings)
        expected = run.metrics()
    path = tmp_path / "stopped"
    for stop in stops:
        distil = functools.partial(kip.distill, kernel, tiny, **settings)
        stop_run(path, distil, stop_at(stop, number), number=number, step=stop)
    with Run.create(path, {}, resume=True) as run:
        resumed = kip.distill(kernel, tiny, run=run, **settings)
        assert run.metrics() == expected
    assert resumed.distilled.images.tobytes() == whole.distilled.images.tobytes()
    assert resumed.distilled.labels.tobytes() == whole.distilled.labels.tobytes()
    assert resumed.test_accuracy == whole.test_accuracy
    assert resumed.distilled.metadata["step"] == whole.distilled.metadata["step"]
    assert handlers == [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]


def test_second_signal_does_not_wait(tiny):
    steps = []

    def report(progress):
        steps.append(progress.step)
        stop_at(2, signal.SIGINT, times=2)(progress)
        steps.append("reached the end of the step")

    with pytest.raises(kd.Interrupted):
        kip.distill(KERNEL, tiny, key=KEY, steps=9, report=report)
    assert steps[-1] == 2


def test_signal_while_the_results_are_written(tiny, tmp_path, monkeypatch):
    write = Run.save_result

    def stopped(run, result):
        os.kill(os.getpid(), signal.SIGTERM)
        write(run, result)

    monkeypatch.setattr(Run, "save_result", stopped)
    with Run.create(tmp_path / "run", {}) as run, pytest.raises(kd.Interrupted):
        kip.distill(KERNEL, tiny, key=KEY, run=run, steps=1)
    # it was held back until all was written
    assert (tmp_path / "run" / "result.json").exists()
    assert (tmp_path / "run" / "labels.png").exists()


@pytest.mark.usefixtures("recorder")
def test_saved_every_two_minutes_besides(tiny, tmp_path, monkeypatch):
    """With a clock that runs 30 seconds at every look."""
    seconds = itertools.count(step=30)
    monkeypatch.setattr(outer_loop, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    saved = []
    save = Checkpoints.save

    def watched(self, step, *state, keep):
        saved.append((step, keep))
        save(self, step, *state, keep=keep)

    monkeypatch.setattr(Checkpoints, "save", watched)
    with Run.create(tmp_path / "run", {}) as run:
        kip.distill(KERNEL, tiny, key=KEY, run=run, steps=24)
        # of those saved for the time being there is one left, in case the last is damaged
        left = [step for step in run.checkpoints.steps() if not log_spaced(step)]
        assert len(left) == 1
    between = [step for step, keep in saved if not keep]
    assert set(between) & set(range(14, 18))
    assert set(between) & set(range(19, 24))
    assert not any(log_spaced(step) for step in between)


def test_outside_the_main_thread(tiny):
    """Python delivers signals to the main thread alone: nothing is held back, all else works."""
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(kip.distill, KERNEL, tiny, key=KEY, steps=1).result()
    assert len(result.distilled) == 3


@pytest.mark.usefixtures("without_pictures")
def test_resumed_after_the_end_gives_the_same_result(tiny, tmp_path):
    results = []
    for resume in (False, True):
        with Run.create(tmp_path / "run", {}, resume=resume) as run:
            results.append(kip.distill(KERNEL, tiny, key=KEY, run=run, steps=5))
            lines = run.metrics()
    assert results[0].distilled.images.tobytes() == results[1].distilled.images.tobytes()
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4]
    assert len([line for line in lines if line["step"] == 0]) == 1


@pytest.mark.usefixtures("without_pictures")
def test_killed_before_the_first_checkpoint(tiny, tmp_path):
    """Between logging step 0 and saving it: nothing is logged twice."""
    path = tmp_path / "run"
    with Run.create(path, {}) as run:
        run.log(step=0, validation_accuracy=0.5)
    with Run.create(path, {}, resume=True) as run:
        kip.distill(KERNEL, tiny, key=KEY, run=run, steps=1)
        assert len([line for line in run.metrics() if line["step"] == 0]) == 1


@pytest.mark.usefixtures("without_pictures")
def test_state_of_other_settings_is_refused(tiny, tmp_path):
    path = tmp_path / "run"
    with Run.create(path, {}) as run:
        kip.distill(KERNEL, tiny, key=KEY, run=run, steps=1)
    with (
        Run.create(path, {}, resume=True) as run,
        pytest.raises(InputError, match="not that of these settings"),
    ):
        kip.distill(KERNEL, tiny, key=KEY, run=run, steps=1, images_per_class=2)
