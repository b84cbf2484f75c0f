"""The distilled steps, against NumPy's and against jax.grad of steps that are written out."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill._errors import NumericalError
from kernel_distill.matching.performance import _course as course
from kernel_distill.matching.performance._course import Course, classification_loss, learn
from kernel_distill.networks import Network, named
from kernel_distill.transfer import Model, State

KEY = jax.random.key(0)
SUPPORT = ("images", "labels", "rates")


class Linear(Network):
    """Softmax regression."""

    def module(self, image_shape, *, num_classes, key):
        from flax import nnx

        return nnx.Linear(image_shape[0], num_classes, rngs=nnx.Rngs(key))


@pytest.fixture(scope="module")
def step():
    """An outer step of softmax regression, its gradient by central differences in float64."""
    # made by fixtures/make_unrolled_step.py, which is NumPy alone
    with np.load(Path(__file__).parents[2] / "fixtures" / "unrolled_step.npz") as file:
        return dict(file)


def linear(step):
    model = Model(Linear("linear", None), (4,), 3)
    state = model.init(KEY)
    for name in ("kernel", "bias"):
        state.parameters[name] = state.parameters[name].replace(jnp.asarray(step[name]))
    return model, state


@pytest.mark.parametrize("together", [False, True])
def test_an_outer_step_is_that_of_numpy(step, together, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu" if together else "cpu")
    with jax.enable_x64(True):
        model, state = linear(step)
        support = {name: jnp.asarray(step[name]) for name in SUPPORT}
        loss, gradient = Course(model).gradient(
            [state] * 2, support, jnp.asarray(step["natural"]), jnp.asarray(step["classes"])
        )
        assert float(loss) == pytest.approx(float(step["loss"]), rel=1e-12)
        for name in SUPPORT:
            np.testing.assert_allclose(gradient[name], step[f"slopes_{name}"], atol=1e-8)


@pytest.mark.parametrize("together", [False, True])
def test_several_networks_count_alike(step, together, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu" if together else "cpu")
    model = Model(Linear("linear", None), (4,), 3)
    states = [model.init(jax.random.key(seed)) for seed in range(3)]
    support = {name: jnp.asarray(step[name], jnp.float32) for name in SUPPORT}
    batch = jnp.asarray(step["natural"], jnp.float32), jnp.asarray(step["classes"])
    lessons = Course(model)
    loss, gradient = lessons.gradient(states, support, *batch)
    alone = [lessons.gradient([state], support, *batch) for state in states]
    assert float(loss) == pytest.approx(np.mean([each[0] for each in alone]), rel=1e-5)
    for name in SUPPORT:
        mean = np.mean([each[1][name] for each in alone], axis=0)
        np.testing.assert_allclose(gradient[name], mean, atol=1e-6)
    finals = lessons.finals(states, support)
    for state, final in zip(states, finals, strict=True):
        (expected,) = lessons.finals([state], support)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), final, expected)


def test_lenet_s_gradient_is_that_of_steps_written_out():
    model = Model(named("lenet"), (28, 28, 1), 3)
    random = np.random.default_rng(0)

    def normal(*shape):
        return jnp.asarray(random.standard_normal(shape), jnp.float32)

    labels = jnp.eye(3)[jnp.arange(6) % 3] - 1 / 3
    support = {"images": normal(6, 28, 28, 1), "labels": labels, "rates": 0.1 * normal(1, 2)}
    state, natural, classes = model.init(KEY), normal(4, 28, 28, 1), jnp.array([0, 1, 2, 0])

    @jax.jit
    @jax.value_and_grad
    def written_out(support):
        end = functools.reduce(
            lambda state, step: learn(model, state, support, (0, step)), range(2), state
        )
        return classification_loss(model, end, natural, classes)

    expected, reference = written_out(support)
    loss, gradient = Course(model).gradient([state], support, natural, classes)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    for name in SUPPORT:
        error = jnp.linalg.norm((gradient[name] - reference[name]).ravel())
        assert float(error / jnp.linalg.norm(reference[name].ravel())) < 1e-4


def test_a_rate_is_what_its_number_stands_for():
    for rate in (1e-4, 0.02, 1.0, 30.0):
        assert float(course.positive(jnp.float32(course.raw(rate)))) == pytest.approx(rate, 1e-4)


@pytest.mark.parametrize("together", [False, True])
def test_diverging_is_told_with_the_step_and_the_rate(step, together, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu" if together else "cpu")
    model, state = linear(step)
    state = State(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), state.parameters), state.rest)
    support = {name: jnp.asarray(step[name], jnp.float32) for name in SUPPORT}
    support["rates"] = support["rates"].at[1, 1].set(jnp.inf)
    said = "step 2 of 3 in epoch 2, whose learning rate is inf"
    with pytest.raises(NumericalError, match=said):
        Course(model).finals([state], support)
    batch = jnp.asarray(step["natural"], jnp.float32), jnp.asarray(step["classes"])
    with pytest.raises(NumericalError, match=said):
        Course(model).gradient([state], support, *batch)
