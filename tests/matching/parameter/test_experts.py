"""Experts: their files, and what they are kept for."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

import kernel_distill as kd
from kernel_distill._errors import DamagedFileError, InputError, NumericalError
from kernel_distill.matching.parameter import _experts, train_experts
from kernel_distill.networks import named
from kernel_distill.transfer import State
from kernel_distill.transfer._train import accuracy

KEY = jax.random.key(1)
MLP = named("mlp", width=8)
SETTINGS = {
    "experts": 2,
    "milestones": 3,
    "milestone_steps": 27,
    "rate": 0.1,
    "batch_size": 50,
    "key": KEY,
}


def test_experts_learn(digits, tmp_path):
    told = []
    settings = SETTINGS | {"rate": 0.5}
    found = train_experts(named("mlp", width=32), digits, tmp_path, **settings, report=told.append)
    assert len(found) == 2
    assert [(each.step, each.steps) for each in told] == [(n, 6) for n in range(1, 7)]

    def accuracy_of(expert, milestone):
        state = State(found.parameters(expert, milestone), found.model.init(KEY).rest)
        return accuracy(found.model, state, digits.validation)

    for expert in range(2):
        assert accuracy_of(expert, 3) > accuracy_of(expert, 0) + 0.4


def test_a_step_on_all_images_is_gradient_descent(linear, rows, tmp_path):
    """As written down in NumPy."""
    train_experts(
        linear,
        rows,
        tmp_path,
        experts=1,
        milestones=2,
        milestone_steps=1,
        rate=0.3,
        batch_size=999,
        key=KEY,
    )
    file = load_file(tmp_path / "expert_0000.safetensors")
    kernels, biases = (
        next(file[name] for name in file if part in name).astype(np.float64)
        for part in ("kernel", "bias")
    )
    images, wanted = rows.train.images.astype(np.float64), np.eye(3)[rows.train.labels]
    for step in range(2):
        powers = np.exp(images @ kernels[step] + biases[step])
        error = (powers / powers.sum(axis=1, keepdims=True) - wanted) / len(images)
        np.testing.assert_allclose(
            kernels[step + 1], kernels[step] - 0.3 * images.T @ error, atol=1e-6
        )
        np.testing.assert_allclose(biases[step + 1], biases[step] - 0.3 * error.sum(0), atol=1e-6)


def test_several_together_are_those_one_by_one(digits, tmp_path, monkeypatch):
    settings = SETTINGS | {"experts": 3, "milestones": 2}
    one_by_one = train_experts(MLP, digits, tmp_path / "one", **settings)
    monkeypatch.setattr(_experts, "_at_a_time", lambda *_: 2)
    together = train_experts(MLP, digits, tmp_path / "together", **settings)
    for expert in range(3):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
            one_by_one.parameters(expert, 2),
            together.parameters(expert, 2),
        )


def test_the_usual_folder_is_of_its_experts_alone(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = SETTINGS | {"experts": 1, "milestones": 1, "milestone_steps": 1}
    odd = dataclasses.replace(digits, name="a/b c")
    found = [
        train_experts(MLP, data, None, **settings | change).paths[0]
        for data, change in ((digits, {}), (digits, {"augment": ("shift",)}), (odd, {}))
    ]
    assert re.fullmatch(r"experts/digits_mlp_8_[0-9a-f]{8}", str(found[0].parent))
    assert re.fullmatch(r"experts/digits_mlp_8_[0-9a-f]{8}", str(found[1].parent))
    assert re.fullmatch(r"experts/a_b_c_mlp_8_[0-9a-f]{8}", str(found[2].parent))
    assert len({path.parent for path in found}) == 3
    assert train_experts(MLP, digits, None, **settings).paths[0] == found[0]


def test_those_that_are_there_are_not_trained_again(digits, tmp_path):
    whole = train_experts(MLP, digits, tmp_path / "whole", **SETTINGS)
    train_experts(MLP, digits, tmp_path / "parts", **SETTINGS | {"experts": 1})
    first = tmp_path / "parts" / "expert_0000.safetensors"
    before = first.stat()
    parts = train_experts(MLP, digits, tmp_path / "parts", **SETTINGS)
    assert first.stat() == before
    for a, b in zip(whole.paths, parts.paths, strict=True):
        assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"network": named("mlp", width=9)}, "made for another network: .*9.*; got .*8"),
        ({"rate": 0.2}, "made for another training: .*0.2.*; got .*0.1"),
        ({"milestones": 4}, "made for another training"),
        ({"data": "preprocessing"}, "made for another data set"),
        ({"key": jax.random.key(77)}, "made for another key: .*77"),
    ],
)
def test_experts_of_something_else_are_refused(digits, tmp_path, change, told):
    train_experts(MLP, digits, tmp_path, **SETTINGS | {"experts": 1})
    given = {"network": MLP, "data": digits, **SETTINGS} | change
    if change.get("data"):
        given["data"] = kd.data.load("digits", preprocessing="none")
    before = list(tmp_path.iterdir())
    with pytest.raises(InputError, match=told):
        train_experts(given.pop("network"), given.pop("data"), tmp_path, **given)
    assert list(tmp_path.iterdir()) == before


def test_a_damaged_file_is_said(digits, tmp_path):
    found = train_experts(MLP, digits, tmp_path, **SETTINGS | {"experts": 1})
    found.paths[0].write_bytes(found.paths[0].read_bytes()[:100])
    with pytest.raises(DamagedFileError, match="remove it, and it is trained again"):
        train_experts(MLP, digits, tmp_path, **SETTINGS | {"experts": 1})
    with pytest.raises(DamagedFileError, match="remove it"):
        found.parameters(0, 1)


def test_a_file_that_is_gone_is_said(digits, tmp_path):
    found = train_experts(MLP, digits, tmp_path, **SETTINGS | {"experts": 1})
    found.paths[0].unlink()
    with pytest.raises(InputError, match="not there any more"):
        found.parameters(0, 1)


def test_an_expert_that_died_is_refused(digits, tmp_path, monkeypatch):
    """Its weights are finite, but all images are alike to it: those of a state of zeros."""

    def dead(model, *arguments):
        for state in trained(model, *arguments):
            yield [jax.tree.map(jnp.zeros_like, each) for each in state]

    trained = _experts._trained
    monkeypatch.setattr(_experts, "_trained", dead)
    with pytest.raises(
        NumericalError, match=r"same prediction for all images, with learning rate 0.1"
    ):
        train_experts(MLP, digits, tmp_path, **SETTINGS | {"experts": 1})
    assert not list(tmp_path.iterdir())


def test_a_training_that_diverges_is_said(rows, tmp_path):
    with pytest.raises(NumericalError, match=r"diverged by step 27, with learning rate 1e\+20"):
        train_experts(MLP, rows, tmp_path, **SETTINGS | {"rate": 1e20, "batch_size": 10})
    assert not list(tmp_path.iterdir())
