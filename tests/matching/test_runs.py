"""Whole runs of the methods: what they teach, and that they go on to the same bits."""

import functools
import signal

import jax
import pytest

from kernel_distill import matching
from kernel_distill.artefact import Run
from kernel_distill.networks import named

KEY = jax.random.key(2)
SETTINGS = {
    "gradient": {
        "steps": 150, "batch_size": 200, "learning_rate": 1.0, "updates_a_network": 3,
        "network_steps": 4,
    },
    "trajectory": {
        "steps": 150, "learning_rate": 0.03, "experts": 3, "expert_learning_rate": 0.1,
        "expert_batch_size": 100, "expert_milestones": 5, "milestone_steps": 20,
        "latest_start": 3, "student_steps": 20, "student_learning_rate": 0.2,
    },
    "distribution": {"steps": 150, "batch_size": 200, "learning_rate": 0.5},
    "features": {"steps": 150, "batch_size": 200, "pool": 2, "pool_steps": 2},
    "unrolled": {"steps": 150, "batch_size": 200, "initialisation": "random"},
}  # fmt: skip


def distil(method, data, folder, **settings):
    given = SETTINGS[method] | settings
    if method == "trajectory":
        given["expert_folder"] = str(folder / "experts")
    return functools.partial(
        matching.distill, named("mlp", width=32), data, method=method, key=KEY, **given
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradient", "trajectory"])
def test_images_teach_more_than_those_they_began_as(digits, tmp_path, method):
    result = distil(method, digits, tmp_path, images_per_class=2)()
    assert result.test_accuracy > result.initial_test_accuracy + 0.03


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("method", SETTINGS)
def test_stopped_and_resumed_gives_the_same_bits(digits, tmp_path, stop_run, method):
    """A network in training, and experts that are there already, among what is gone on with."""
    settings = {"steps": 5, "validations": 0, "test_networks": 1}
    if method != "unrolled":
        settings["training_steps"] = 5
    run_on = distil(method, digits, tmp_path, **settings)
    whole = run_on()

    def stop(progress):
        if progress.step == 4 and "loss" in progress.metrics:
            signal.raise_signal(signal.SIGINT)

    stop_run(tmp_path / "run", run_on, stop, number=signal.SIGINT, step=4)
    with Run.create(tmp_path / "run", {}, resume=True) as run:
        resumed = run_on(run=run)
    assert resumed.distilled.images.tobytes() == whole.distilled.images.tobytes()
    if method == "trajectory":
        rate = resumed.distilled.metadata["student_learning_rate"]
        assert (
            rate
            == whole.distilled.metadata["student_learning_rate"]
            != pytest.approx(0.1, rel=1e-4)
        )
