"""The whole of a transfer: choices on validation images, test accuracies, what is refused."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

import kernel_distill as kd
from kernel_distill.cli._networks import SEARCHED
from kernel_distill.data import Split
from kernel_distill.transfer import TrainingSettings, read_transfers, save_transfer, transfer
from kernel_distill.transfer import _train as training

NETWORK = kd.networks.named("fc1", width=256)


@pytest.fixture(scope="module")
def real(natural_set):
    """Ten natural images of each class, as a distilled set."""
    return natural_set(100, seed=0)


@pytest.mark.slow
def test_settings_are_chosen_on_validation_images_and_the_test_set_is_met_once(
    digits, real, monkeypatch
):
    met = []
    accuracy = training.accuracy

    def counted(model, state, split):
        met.append(len(split))
        return accuracy(model, state, split)

    monkeypatch.setattr(training, "accuracy", counted)
    # 1000 diverges, and is passed over
    settings = TrainingSettings(factor=(1.0, 1000.0, 1e-6), validation_images=40)
    result = transfer(NETWORK, real, digits, settings=settings, seeds=2, key=jax.random.key(0))
    assert [each["factor"] for each in result.search] == [1.0, 1000.0, 1e-6]
    assert result.search[1]["validation_accuracy"] is None
    assert result.settings.factor == (1.0,)
    assert met[-2:] == [len(digits.test)] * 2
    assert set(met[:-2]) == {40}
    assert result.mean == np.mean(result.accuracies) > 0.7
    assert result.deviation == pytest.approx(abs(np.diff(result.accuracies)[0]) / 2**0.5)
    assert result.curve.shape == (2, len(result.curve_steps))


@pytest.mark.slow
def test_a_rate_at_which_a_seed_diverges_is_given_up_for_a_lower_one(digits, real, monkeypatch):
    tried = []

    def diverging(network, *given, settings, seeds=1, **options):
        if seeds == 1:  # the search
            return original(network, *given, settings=settings, **options)
        tried.append(settings.factor)
        if settings.factor > (0.1,):
            raise kd.NumericalError("diverged")
        return original(network, *given, settings=settings, seeds=seeds, **options)

    original = training.train
    monkeypatch.setattr("kernel_distill.transfer._transfer.train", diverging)
    settings = TrainingSettings(steps=100, factor=(0.01, 1.0, 0.1, 0.5))
    result = transfer(NETWORK, real, digits, settings=settings, seeds=2, key=jax.random.key(0))
    accuracies = {each["factor"]: each["validation_accuracy"] for each in result.search}
    best = sorted(accuracies, key=lambda factor: -accuracies[factor])
    expected = [best[0]]
    while expected[-1] > 0.1:
        expected.append(next(factor for factor in best if factor < expected[-1]))
    assert [factor for (factor,) in tried] == expected
    assert len(expected) > 1
    assert result.settings.factor == (expected[-1],)


def test_all_that_diverges_is_an_error(digits, real):
    settings = TrainingSettings(steps=60, factor=(1e3, 1e4))
    with pytest.raises(kd.NumericalError, match=r"no training of 2 settings is sound; .*rate"):
        transfer(NETWORK, real, digits, settings=settings, key=jax.random.key(0))


@pytest.mark.slow
def test_results_of_other_networks_stay(digits, real, natural_set, tmp_path):
    settings = TrainingSettings(steps=2)

    def saved(width, distilled=real, **options):
        network = kd.networks.named("fc1", width=width, **options)
        given = {"settings": settings, "seeds": 1, "key": jax.random.key(0)}
        result = transfer(network, distilled, digits, **given)
        return result, save_transfer(tmp_path, result)

    assert [saved(width)[1] for width in (8, 16, 8)] == [False, False, True]  # replaced
    result, replaced = saved(8, parameterization="ntk")
    assert not replaced
    labels = [each["label"] for each in read_transfers(tmp_path)]
    assert labels == ["fc1 16", "fc1 8", "fc1 8 ntk"]
    assert (tmp_path / "transfer.png").stat().st_size > 0
    (tmp_path / "transfer.json").write_text('{"networks": 3}')
    with pytest.raises(kd.DamagedFileError, match="remove it"):
        save_transfer(tmp_path, result)
    assert json.loads((tmp_path / "transfer.json").read_text()) == {"networks": 3}
    (tmp_path / "transfer.json").unlink()
    saved(8)
    other, _ = saved(8, natural_set(20, seed=3))  # of another set, which leaves the first alone
    found = [(each["label"], each["distilled"]) for each in read_transfers(tmp_path)]
    assert found == [("fc1 8", result.distilled), ("fc1 8", other.distilled)]
    assert result.distilled != other.distilled


def test_a_rate_that_is_given_leaves_no_factor_to_choose():
    settings = TrainingSettings(optimizer="adam", learning_rate=0.1, factor=SEARCHED.factor)
    assert settings.factor == (1.0,)


def test_what_does_not_match_is_refused(digits, real):
    def refused(distilled, match, data=digits, **options):
        with pytest.raises(kd.InputError, match=match):
            transfer(NETWORK, distilled, data, key=jax.random.key(0), **options)

    refused(replace(real, metadata={}), "does not say how its images were preprocessed")
    refused(replace(real, images=real.images[:, :, :6]), r"\[8, 6, 1\] and \[8, 8, 1\]")
    refused(replace(real, labels=real.labels[:, :5]), "got 5 and 10")
    other = {"preprocessing": {"fingerprint": "another"}}
    refused(replace(real, metadata=other), "preprocessing another")
    refused(real, "seeds must be 1 or more", seeds=0)
    empty = Split(digits.test.images[:0], digits.test.labels[:0], 10, digits.test.fingerprint)
    refused(
        real, "hold some out", data=replace(digits, validation=empty),
        settings=TrainingSettings(l2=(0.0, 1.0)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"steps": 0}, "steps must be 1 or more"),
        ({"optimizer": "adam"}, "give a learning_rate"),
        ({"factor": ()}, "needs one value"),
        ({"l2": (-1.0,)}, "l2 must be 0 or more"),
        ({"label_scale": (0.0,)}, "label_scale must be positive"),
        ({"augment": ("flop",)}, "did you mean 'flip'"),
    ],
)
def test_settings_out_of_range(wrong, match):
    with pytest.raises(kd.InputError, match=match):
        TrainingSettings(**wrong)
