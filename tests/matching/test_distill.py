"""What all methods of matching share: the run, its files, its end and its going on."""

import functools
import json
import signal

import jax
import numpy as np
import optax
import pytest

import kernel_distill as kd
from kernel_distill import matching
from kernel_distill._errors import InputError, NumericalError, UnknownNameError
from kernel_distill.artefact import Run
from kernel_distill.networks import named

KEY = jax.random.key(5)
NETWORK = named("mlp", width=16)
SETTINGS = {"steps": 30, "batch_size": 24, "learning_rate": 0.3, "training_steps": 20}

pytestmark = pytest.mark.usefixtures("means")
distil = functools.partial(matching.distill, NETWORK, method="means", key=KEY)


def stop_at(step):
    def report(progress):
        if progress.step == step and "loss" in progress.metrics:
            signal.raise_signal(signal.SIGINT)

    return report


def test_images_go_where_the_gradient_leads(tiny):
    """A loss of half a square, one step of gradient descent at the rate 1: the means themselves."""
    size = len(tiny.train)  # all of it: the batch is no draw
    result = distil(
        tiny, steps=1, batch_size=size, noise=0.0, learning_rate=1.0, optimizer="sgd",
        training_steps=20,
    )  # fmt: skip
    labels = tiny.train.labels
    means = np.stack([tiny.train.images[labels == c].mean(axis=0) for c in range(3)])
    np.testing.assert_allclose(result.distilled.images, means, rtol=0, atol=1e-5)
    assert np.array_equal(result.distilled.labels, np.eye(3, dtype=np.float32) - np.float32(1 / 3))
    assert result.distilled.metadata["method"] == "means"
    assert result.distilled.metadata["network"] == {"name": "mlp", "width": 16}
    assert result.distilled.metadata["settings"]["noise"] == 0.0


def test_each_part_of_the_support_has_its_own_rate(tiny):
    settings = {**SETTINGS, "steps": 3, "optimizer": "sgd", "learn_labels": True}
    result = distil(tiny, **settings, label_learning_rate=2.0, validations=0)
    expected = result.initial.labels * (1 - 2.0 * 0.1) ** 3
    np.testing.assert_allclose(result.distilled.labels, expected, rtol=1e-5)
    assert result.distilled.metadata["step"] == 3


def test_the_best_state_by_validation_is_the_result(tiny, monkeypatch):
    told, steps = [0.4, 0.8, 0.6], []

    def accuracies(method, support, splits, *, networks, key):
        if networks == 1:
            assert splits == [tiny.validation]
            steps.append(len(steps))
            return np.array([[told[len(steps) - 1]]])
        return np.array([[0.5, 0.7]] * len(splits))

    monkeypatch.setattr(matching.METHODS["means"], "accuracies", accuracies)
    result = distil(tiny, **SETTINGS, validations=3)
    assert result.distilled.metadata["step"] == 20
    assert result.distilled.metadata["state"] == "best"
    assert result.test_accuracy == pytest.approx(0.6)
    assert result.test_deviation == pytest.approx(np.std([0.5, 0.7], ddof=1))


def test_without_validations_the_last_state_is_the_result(tiny):
    result = distil(tiny, **SETTINGS, validations=0)
    assert result.distilled.metadata["step"] == 30
    assert result.distilled.metadata["state"] == "last"


def test_files_of_a_run(tiny, tmp_path):
    with Run.create(tmp_path / "run", {"command": "match", "method": "means"}) as run:
        result = distil(tiny, run=run, **SETTINGS)
    names = ("distilled.npz", "result.json", "metrics.jsonl", "images.png", "curves.png",
             "labels.png", "report.html")  # fmt: skip
    for name in names:
        assert (tmp_path / "run" / name).stat().st_size > 0
    found = json.loads((tmp_path / "run" / "result.json").read_text())
    assert found["test_accuracy"] == result.test_accuracy
    assert found["test_deviation"] == result.test_deviation > 0
    again = kd.load(tmp_path / "run")
    assert again.images.tobytes() == result.distilled.images.tobytes()


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("stops", [(1,), (13, 29), (30,)])
def test_stopped_and_resumed_gives_the_same_bits(tiny, tmp_path, stop_run, stops):
    settings = {**SETTINGS, "learn_labels": True, "schedule": "cosine"}
    with Run.create(tmp_path / "whole", {}) as run:
        whole = distil(tiny, run=run, **settings)
        expected = run.metrics()
    path = tmp_path / "stopped"
    for stop in stops:
        again = functools.partial(distil, tiny, **settings)
        stop_run(path, again, stop_at(stop), number=signal.SIGINT, step=stop)
    with Run.create(path, {}, resume=True) as run:
        resumed = distil(tiny, run=run, **settings)
        assert run.metrics() == expected
    assert resumed.distilled.images.tobytes() == whole.distilled.images.tobytes()
    assert resumed.distilled.labels.tobytes() == whole.distilled.labels.tobytes()
    assert resumed.test_accuracy == whole.test_accuracy


def test_a_rate_that_is_too_large_is_said(tiny, tmp_path):
    settings = {**SETTINGS, "learning_rate": 1e30, "optimizer": "sgd"}
    with Run.create(tmp_path / "run", {}) as run, pytest.raises(NumericalError) as raised:
        distil(tiny, run=run, **settings)
    assert "not finite after step" in str(raised.value)
    assert "images: 1e+30" in str(raised.value)
    assert "Begin anew with other settings" in str(raised.value)
    assert f"is saved in {tmp_path / 'run'}" in str(raised.value)
    assert run.checkpoints.latest() is not None


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"stepps": 1}, UnknownNameError, "did you mean 'steps'"),
        ({"images_per_class": 99}, InputError, "99 images per class were asked for"),
        ({"optimizer": "adm"}, UnknownNameError, "did you mean 'adam"),
        ({"validations": -1}, InputError, "validations must not be negative; got -1"),
        ({"test_networks": 0}, InputError, "test_networks must be 1 or more; got 0"),
        ({"learning_rate": float("nan")}, InputError, "learning_rate must be positive"),
        ({"start": "reel"}, UnknownNameError, "did you mean 'real'"),
        ({"augment": ("flop",)}, UnknownNameError, "did you mean 'flip'"),
        (
            {"augment": "flip"},
            InputError,
            r"must be a tuple; got 'flip': write \('flip',\)",
        ),
    ],
)
def test_bad_settings_are_refused(tiny, settings, error, told):
    with pytest.raises(error, match=told):
        distil(tiny, **settings)


def test_unknown_method(tiny):
    with pytest.raises(UnknownNameError, match="unknown method 'mean': did you mean 'means'"):
        matching.distill(NETWORK, tiny, method="mean", key=KEY)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dd", "DD is unrolled here"),
        ("DC", "DC is gradient here"),
        ("dsa", "DSA is gradient here, with augment"),
        ("MTT", "MTT is trajectory here"),
        ("dm", "DM is distribution here"),
        ("FRePo", "FRePo is features here"),
        ("kip", "kernel_distill.kip in Python"),
        ("LS", "kernel_distill.label_solve in Python"),
    ],
)
def test_names_of_papers_are_answered_with_those_here(tiny, name, told):
    with pytest.raises(UnknownNameError, match=told) as error:
        matching.distill(NETWORK, tiny, method=name, key=KEY)
    if told.endswith("here"):
        assert told.split()[2] in matching.METHODS, error


def test_network_that_does_not_take_the_images(tiny):
    with pytest.raises(InputError, match="needs larger images"):
        matching.distill(named("lenet"), tiny, method="means", key=KEY)


def test_a_state_that_cannot_be_validated_is_not_the_best(tiny, monkeypatch):
    def accuracies(method, support, splits, *, networks, key):
        if networks > 1:
            return np.full((len(splits), networks), 0.5)
        calls.append(len(calls))
        if len(calls) == 2:
            raise NumericalError("a training diverged")
        return np.array([[0.1 * len(calls)]])

    calls: list[int] = []
    monkeypatch.setattr(matching.METHODS["means"], "accuracies", accuracies)
    with pytest.warns(UserWarning, match="step 30 could not be validated: a training diverged"):
        result = distil(tiny, **SETTINGS, validations=2)
    assert result.distilled.metadata["step"] == 15


def test_first_images_that_teach_nothing_have_no_accuracy(tiny, tmp_path, monkeypatch):
    def accuracies(method, support, splits, *, networks, key):
        if networks > 1 and len(splits) == 1:  # the first images
            raise NumericalError("a training diverged")
        return np.full((len(splits), networks), 0.5)

    monkeypatch.setattr(matching.METHODS["means"], "accuracies", accuracies)
    with (
        Run.create(tmp_path / "run", {}) as run,
        pytest.warns(UserWarning, match="initial images could not be tested"),
    ):
        result = distil(tiny, run=run, **SETTINGS)
    assert result.initial_test_accuracy is None
    assert json.loads((tmp_path / "run" / "result.json").read_text())["test_accuracy"] == 0.5
    assert (tmp_path / "run" / "report.html").exists()


def test_a_run_whose_result_cannot_be_tested_is_not_lost(tiny, tmp_path, monkeypatch):
    def accuracies(method, support, splits, *, networks, key):
        if networks > 1:
            raise NumericalError("a training diverged")
        return np.full((len(splits), networks), 0.5)

    sound = matching.METHODS["means"].accuracies
    monkeypatch.setattr(matching.METHODS["means"], "accuracies", accuracies)
    with (
        Run.create(tmp_path / "run", {}) as run,
        pytest.raises(NumericalError, match=r"is in .*run, but could not be tested: a training"),
    ):
        distil(tiny, run=run, **SETTINGS)
    kept = kd.load(tmp_path / "run" / "distilled.npz")
    monkeypatch.setattr(matching.METHODS["means"], "accuracies", sound)
    with Run.create(tmp_path / "run", {}, resume=True) as run:
        result = distil(tiny, run=run, **SETTINGS)
    np.testing.assert_array_equal(result.distilled.images, kept.images)
    assert run.distilled().metadata["metrics"]["test_accuracy"] == result.test_accuracy


@pytest.mark.parametrize("method", ["means", "features"])
def test_same_bits_with_64_bits_switched_on(tiny, method):
    """The command line switches them on, Python does not."""
    settings = {**SETTINGS, "steps": 3, "schedule": "cosine", "augment": ("rotate",)}
    plain = distil(tiny, method=method, **settings)
    with jax.enable_x64(True):
        wide = distil(tiny, method=method, **settings)
    assert plain.distilled.images.tobytes() == wide.distilled.images.tobytes()
    assert plain.test_accuracy == wide.test_accuracy


def test_optimiser_keeps_what_a_step_of_one_of_its_own_would(tiny):
    """Against optax by hand, on the images alone."""
    result = distil(tiny, **SETTINGS | {"steps": 4, "noise": 0.0}, validations=0)
    images = result.initial.images
    adam = optax.adam(0.3)
    state = adam.init(images)
    # the batches: those of the run, by its own split of the key
    _, run_key = jax.random.split(KEY)
    step_key = jax.random.split(run_key, 5)[2]
    for number in range(4):
        key, _ = jax.random.split(jax.random.fold_in(step_key, number))
        batch = kd.data.ClassBalanced(tiny.train).draw(key, 24)
        labels = tiny.train.labels[batch]
        means = np.stack([tiny.train.images[batch[labels == c]].mean(axis=0) for c in range(3)])
        change, state = adam.update(images - means, state, images)
        images = optax.apply_updates(images, change)
    np.testing.assert_allclose(result.distilled.images, images, rtol=0, atol=1e-5)
