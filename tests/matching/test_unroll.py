"""The host's loop, against jax.grad of a Python loop and against finite differences in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill.matching._unroll import Unroll

STEPS = [1, 7, 9]


def step(state, shared, turn):
    """Gradient descent with momentum on half the squared error of a small network."""

    def loss(weights):
        hidden = jnp.tanh(shared["images"][turn["rows"]] @ weights["first"])
        return 0.5 * jnp.mean((hidden @ weights["second"] - shared["labels"][turn["rows"]]) ** 2)

    gradient = jax.grad(loss)(state["weights"])
    velocity = jax.tree.map(lambda v, g: 0.9 * v + g, state["velocity"], gradient)
    rate = shared["rates"][turn["number"]]
    weights = jax.tree.map(lambda w, v: w - rate * v, state["weights"], velocity)
    return {"weights": weights, "velocity": velocity}


def problem(steps):
    """In float64: a state, what is shared, turns, and a loss of the final state."""
    random = np.random.default_rng(steps)
    weights = {
        "first": jnp.asarray(random.standard_normal((3, 4))),
        "second": jnp.asarray(random.standard_normal((4, 2))),
    }
    state = {"weights": weights, "velocity": jax.tree.map(jnp.zeros_like, weights)}
    shared = {
        "images": jnp.asarray(random.standard_normal((6, 3))),
        "labels": jnp.asarray(random.standard_normal((6, 2))),
        "rates": jnp.asarray(0.1 + random.random(steps)),
    }
    turns = [
        {"number": number, "rows": random.choice(6, 4, replace=False)} for number in range(steps)
    ]
    x, y = random.standard_normal((5, 3)), random.standard_normal((5, 2))

    def outer(state):
        weights = state["weights"]
        return jnp.mean((jnp.tanh(x @ weights["first"]) @ weights["second"] - y) ** 2)

    return state, shared, turns, outer


def unrolled(unroll, state, shared, turns, outer, **segment):
    tape = unroll.forward(state, shared, turns, **segment)
    loss, cotangent = jax.value_and_grad(outer)(tape.final)
    return loss, unroll.backward(tape, cotangent)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("segment", [{}, {"segment": 1}, {"segment": 4}])
def test_is_the_gradient_of_a_loop_written_out(steps, segment):
    with jax.enable_x64(True):
        state, shared, turns, outer = problem(steps)

        def loss(state, shared):
            for turn in turns:
                state = step(state, shared, turn)
            return outer(state)

        found, gradients = unrolled(Unroll(step), state, shared, turns, outer, **segment)
        expected, reference = jax.value_and_grad(loss, argnums=(0, 1))(state, shared)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        jax.tree.map(
            lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12),
            gradients, reference,
        )  # fmt: skip


@pytest.mark.parametrize("steps", STEPS)
def test_agrees_with_finite_differences(steps):
    with jax.enable_x64(True):
        state, shared, turns, outer = problem(steps)
        unroll, small = Unroll(step), 1e-5
        gradients = unrolled(unroll, state, shared, turns, outer)[1]
        random = np.random.default_rng(0)
        direction = jax.tree.map(
            lambda leaf: jnp.asarray(random.standard_normal(leaf.shape)), (state, shared)
        )

        def moved(by):
            state_then, shared_then = jax.tree.map(
                lambda leaf, way: leaf + by * way, (state, shared), direction
            )
            return float(outer(unroll.forward(state_then, shared_then, turns).final))

        slope = sum(
            float(jnp.vdot(one, other))
            for one, other in zip(
                jax.tree.leaves(gradients), jax.tree.leaves(direction), strict=True
            )
        )
        assert slope == pytest.approx((moved(small) - moved(-small)) / (2 * small), rel=1e-6)


@pytest.mark.parametrize(("steps", "kept"), [(1, 1), (7, 3), (9, 3), (10, 3), (100, 10)])
def test_keeps_the_square_root_of_the_states(steps, kept):
    unroll = Unroll(lambda state, shared, turn: state + shared * turn)
    tape = unroll.forward(jnp.float32(1), jnp.float32(2), range(steps))
    assert len(tape.kept) == kept
    assert float(tape.final) == 1 + steps * (steps - 1)


def test_each_of_the_two_programs_is_compiled_once():
    traced = []

    def counted(state, shared, turn):
        traced.append(1)
        return state * shared + turn

    unroll = Unroll(counted)
    for steps in (3, 50):
        tape = unroll.forward(jnp.float32(1), jnp.float32(0.5), range(steps))
        unroll.backward(tape, jnp.float32(1))
    assert len(traced) == 2


def test_states_follow_each_other():
    unroll = Unroll(lambda state, shared, turn: state + shared * turn)
    assert [float(state) for state in unroll.states(1.0, 2.0, [1, 2, 3])] == [3, 7, 13]
