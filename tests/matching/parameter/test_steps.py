"""Outer steps of gradient and of trajectory matching, against NumPy at a linear network."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kernel_distill as kd
from kernel_distill._errors import InputError, NumericalError
from kernel_distill.matching.parameter import (
    Gradient,
    GradientSettings,
    Trajectory,
    TrajectorySettings,
)
from kernel_distill.transfer import Model

KEY = jax.random.key(3)
MLP = kd.networks.named("mlp", width=8)
# three draws a class, of all natural images: the batch is no draw
ALL = {"images_per_class": 3, "batch_size": 60}


def method_of(kind, network, data, settings):
    method = kind(Model(network, data.image_shape, data.num_classes), data, settings, KEY)
    method.prepare(None)
    return method


def first_support(method, images_per_class=3, seed=0):
    train, classes = method.data.train, method.data.num_classes
    order = kd.data.ClassBalanced(train).draw(jax.random.key(seed), images_per_class * classes)
    labels = kd.data.one_hot(train.labels[order], classes)
    return method.support(jnp.asarray(train.images[order]), jnp.asarray(labels))


def in_float64(tree):
    return [np.asarray(tree[name][...], np.float64) for name in ("kernel", "bias")]


def cross_entropy_gradient(weights, bias, images, wanted):
    """Of its mean over images, in the weights and the bias of a dense layer."""
    powers = np.exp(images @ weights + bias)
    predicted = powers / powers.sum(axis=1, keepdims=True)
    # learned weights of the classes need not sum to 1
    error = (wanted.sum(axis=-1, keepdims=True) * predicted - wanted) / len(images)
    return images.T @ error, error.sum(axis=0)


def descended(weights, bias, images, wanted, *, rate, steps):
    for _ in range(steps):
        of_weights, of_bias = cross_entropy_gradient(weights, bias, images, wanted)
        weights, bias = weights - rate * of_weights, bias - rate * of_bias
    return weights, bias


def central_differences(function, x, step=1e-5):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        change = np.zeros_like(x)
        change[index] = step
        gradient[index] = (function(x + change) - function(x - change)) / (2 * step)
    return gradient


def test_gradient_matching_class_by_class(linear, rows):
    method = method_of(Gradient, linear, rows, GradientSettings(**ALL))
    support = first_support(method)
    network = method.memory(support, key=KEY)
    found = method.gradient(support, network, step=0, key=KEY)
    weights, bias = in_float64(network.parameters)
    natural, labels = rows.train.images.astype(np.float64), rows.train.labels

    def loss(images):
        total = 0.0
        for c in range(3):
            wanted = np.eye(3)[c]
            ours, _ = cross_entropy_gradient(weights, bias, images[3 * c : 3 * c + 3], wanted)
            theirs, _ = cross_entropy_gradient(weights, bias, natural[labels == c], wanted)
            for node in range(3):
                norms = np.linalg.norm(ours[:, node]) * np.linalg.norm(theirs[:, node])
                total += 1 - ours[:, node] @ theirs[:, node] / (norms + 1e-6)
        return total

    images = np.asarray(support["images"], np.float64)
    np.testing.assert_allclose(found.metrics["loss"], loss(images), rtol=1e-5)
    expected = central_differences(loss, images)
    np.testing.assert_allclose(found.gradient["images"], expected, rtol=1e-3, atol=1e-5)


def test_both_sides_are_augmented_alike(linear, digits):
    """The natural images of a class are those distilled: whatever is drawn, no distance is left."""
    labels = digits.train.labels
    some = np.concatenate([np.flatnonzero(labels == c)[:2] for c in range(10)])
    twenty = kd.data.from_arrays(
        digits.train.images[some], labels[some], digits.test.images, digits.test.labels,
        validation_size=0,
    )  # fmt: skip
    settings = GradientSettings(
        images_per_class=2, batch_size=20, augment=("rotate", "colour", "cutout")
    )
    method = method_of(Gradient, linear, twenty, settings)
    support = first_support(method, images_per_class=2)
    network = method.memory(support, key=KEY)
    found = method.gradient(support, network, step=0, key=KEY)
    np.testing.assert_allclose(found.metrics["loss"], 0, atol=0.1)
    moved = support | {"images": support["images"][:, ::-1]}
    upside_down = method.gradient(moved, network, step=0, key=KEY).metrics["loss"]
    assert upside_down > 10
    plain = method_of(Gradient, linear, twenty, replace(settings, augment=()))
    without = plain.gradient(moved, network, step=0, key=KEY).metrics["loss"]
    assert abs(upside_down - without) > 0.01 * without  # something was done at all


def test_the_network_is_trained_on_the_distilled_images_until_a_fresh_one_is_drawn(linear, rows):
    settings = GradientSettings(
        **ALL, updates_a_network=2, network_steps=5, network_learning_rate=0.3, network_batch_size=9
    )
    method = method_of(Gradient, linear, rows, settings)
    support = first_support(method)
    network = method.memory(support, key=KEY)
    trained = method.after(support, network, step=0, key=KEY)
    images = np.asarray(support["images"], np.float64)
    wanted = np.repeat(np.eye(3), 3, axis=0)
    expected = descended(*in_float64(network.parameters), images, wanted, rate=0.3, steps=5)
    for value, reference in zip(in_float64(trained.parameters), expected, strict=True):
        np.testing.assert_allclose(value, reference, atol=1e-5)
    fresh = method.after(support, trained, step=1, key=KEY)
    drawn = method.model.init(KEY).parameters
    assert np.array_equal(*(np.asarray(each["kernel"][...]) for each in (fresh.parameters, drawn)))


def test_a_training_that_diverges_is_said(rows):
    settings = GradientSettings(
        **ALL, updates_a_network=2, network_steps=7, network_learning_rate=1e20, learning_rate=0.1
    )
    method = method_of(Gradient, MLP, rows, settings)
    support = first_support(method)
    with pytest.raises(NumericalError) as raised:
        method.after(support, method.memory(support, key=KEY), step=4, key=KEY)
    assert "after outer step 5" in str(raised.value)
    assert "diverged at its step " in str(raised.value)
    assert "of 7, with learning rate 1e+20" in str(raised.value)


def trajectory(linear, rows, folder, **settings):
    given = {
        "images_per_class": 3, "expert_folder": str(folder), "experts": 1,
        "expert_batch_size": 20, "expert_learning_rate": 0.1, "latest_start": 0,
        "expert_milestones": 3, "milestone_steps": 3, "milestones_ahead": 3,
        "student_steps": 4, "student_learning_rate": 0.2, "learn_labels": True,
    }  # fmt: skip
    return method_of(Trajectory, linear, rows, TrajectorySettings(**given | settings))


def test_gradient_through_the_training_of_a_student(linear, rows, tmp_path):
    method = trajectory(linear, rows, tmp_path)
    support = first_support(method)
    experts = kd.matching.parameter.Experts(method.model, (tmp_path / "expert_0000.safetensors",))
    start, goal = (in_float64(experts.parameters(0, milestone)) for milestone in (0, 3))

    def loss(images, labels, log_rate):
        end = descended(*start, images, labels + 1 / 3, rate=np.exp(log_rate), steps=4)
        distance = sum(np.sum((x - y) ** 2) for x, y in zip(end, goal, strict=True))
        return distance / sum(np.sum((x - y) ** 2) for x, y in zip(start, goal, strict=True))

    names = ("images", "labels", "log_student_learning_rate")
    found = method.gradient(support, {}, step=0, key=KEY)
    values = [np.asarray(support[name], np.float64) for name in names]
    np.testing.assert_allclose(found.metrics["loss"], loss(*values), rtol=1e-4)
    np.testing.assert_allclose(found.metrics["student_learning_rate"], 0.2, rtol=1e-5)
    for number, name in enumerate(names):

        def of_one(x, number=number):
            return loss(*values[:number], x, *values[number + 1 :])

        expected = central_differences(of_one, values[number])
        np.testing.assert_allclose(found.gradient[name], expected, rtol=2e-3, atol=1e-5)


def test_labels_and_rate_are_learned_where_they_are_to_be(linear, rows, tmp_path):
    method = trajectory(linear, rows, tmp_path, learn_labels=False, rate_learning_rate=0.5)
    assert method.learning_rates() == {"images": 0.01, "log_student_learning_rate": 0.5}
    support = first_support(method)
    found = method.gradient(support, {}, step=0, key=KEY)
    assert set(found.gradient) == {"images", "log_student_learning_rate"}
    assert method.metadata(support)["student_learning_rate"] == pytest.approx(0.2)


def test_a_student_that_diverges_is_said(rows, tmp_path):
    method = trajectory(MLP, rows, tmp_path, student_learning_rate=1e20)
    with pytest.raises(NumericalError) as raised:
        method.gradient(first_support(method), {}, step=7, key=KEY)
    assert "in outer step 8" in str(raised.value)
    assert "of 4, with learning rate 1e+20" in str(raised.value)


def outer_step(kind, digits, folder):
    """From a fixed state, with all that there is in it: minibatches, augmentation, convolutions."""
    common = {"images_per_class": 2, "augment": ("rotate", "scale")}
    if kind is Gradient:
        settings = GradientSettings(
            **common, batch_size=40, updates_a_network=2, network_steps=3, network_batch_size=8
        )
    else:
        settings = TrajectorySettings(
            **common, expert_folder=str(folder), experts=1, expert_seed=3, expert_milestones=2,
            milestone_steps=5, latest_start=0,
            student_steps=5, student_batch_size=8, student_learning_rate=0.05,
        )  # fmt: skip
    method = method_of(kind, kd.networks.named("convnet1-in", width=4), digits, settings)
    support = first_support(method, images_per_class=2)
    memory = method.memory(support, key=KEY)
    memory = method.after(support, memory, step=0, key=KEY)
    return method.gradient(support, memory, step=1, key=KEY)


@pytest.mark.parametrize("kind", [Gradient, Trajectory])
def test_an_outer_step_is_what_it_was(digits, tmp_path, kind):
    """The numbers are those of this library when the test was written."""
    found = outer_step(kind, digits, tmp_path)
    with np.load(Path(__file__).parent / "outer_steps.npz") as file:
        np.testing.assert_allclose(found.metrics["loss"], file[f"{kind.name}_loss"], rtol=1e-4)
        expected = file[f"{kind.name}_images"]
    difference = np.linalg.norm(found.gradient["images"] - expected)
    assert difference < 1e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        (GradientSettings, {"learn_labels": True}, "its labels stay fixed"),
        (GradientSettings, {"network_steps": 0}, "network_steps must be 1 or more"),
        (
            GradientSettings,
            {"network_learning_rate": 0.0},
            "network_learning_rate must be positive",
        ),
        (TrajectorySettings, {"latest_start": 19}, "latest_start must be from 0 to"),
        (
            TrajectorySettings,
            {"student_learning_rate": -1.0},
            "student_learning_rate must be positive",
        ),
        (TrajectorySettings, {"experts": 0}, "experts must be 1 or more"),
    ],
)
def test_bad_settings_are_refused(kind, settings, told):
    with pytest.raises(InputError, match=told):
        kind(**settings)


def test_a_batch_without_an_image_of_each_class_is_refused(linear, rows):
    with pytest.raises(InputError, match="batch_size must be 3 or more; got 2"):
        method_of(Gradient, linear, rows, GradientSettings(batch_size=2))
