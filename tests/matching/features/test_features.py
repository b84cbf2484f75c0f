"""Neural feature regression, against ridge regression by NumPy and steps of Adam by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kernel_distill as kd
from kernel_distill._errors import InputError
from kernel_distill.artefact import pack, unpack
from kernel_distill.matching.features import Features, FeaturesSettings
from kernel_distill.matching.features import _features as method
from kernel_distill.matching.features._pool import fresh, trained
from kernel_distill.networks import Network
from kernel_distill.transfer import Model

KEY = jax.random.key(0)
PIXELS = (8, 8, 1)
MLP = kd.networks.named("mlp", width=12)


def begun(digits: kd.data.Dataset, network: Network = MLP, **settings):
    """The method at natural images: itself, the support, its memory."""
    chosen = kd.data.ClassBalanced(digits.train).draw(jax.random.key(1), 20)
    chosen_settings = FeaturesSettings(**{"batch_size": 30} | settings)
    features = Features(Model(network, PIXELS, 10), digits, chosen_settings, jax.random.key(2))
    labels = kd.data.one_hot(digits.train.labels[chosen], 10)
    support = features.support(jnp.asarray(digits.train.images[chosen]), jnp.asarray(labels))
    return features, support, features.memory(support, key=jax.random.key(3))


def numpy_loss(features, labels, natural_features, natural_labels, *, ridge):
    """By the primal weights, where the code solves for a coefficient an image."""
    size, width = features.shape
    weight = ridge * np.trace(features @ features.T) / size
    gram = features.T @ features + weight * np.eye(width)
    predicted = natural_features @ np.linalg.solve(gram, features.T @ labels)
    return 0.5 * np.mean((predicted - natural_labels) ** 2)


def test_loss_and_its_gradient_in_labels_and_features_as_by_numpy() -> None:
    random = np.random.default_rng(0)
    given = [random.standard_normal(shape) for shape in ((6, 9), (6, 3), (20, 9), (20, 3))]
    with jax.enable_x64(True):
        value, gradients = jax.value_and_grad(
            lambda features, labels: method.regression_loss(
                features, labels, *map(jnp.asarray, given[2:]), ridge=0.1
            ),
            argnums=(0, 1),
        )(*map(jnp.asarray, given[:2]))
    np.testing.assert_allclose(value, numpy_loss(*given, ridge=0.1), rtol=1e-10)
    for number, gradient in enumerate(gradients):
        change = random.standard_normal(given[number].shape)
        along = []
        for sign in (1, -1):
            moved = list(given)
            moved[number] = given[number] + sign * 1e-5 * change
            along.append(numpy_loss(*moved, ridge=0.1))
        expected = (along[0] - along[1]) / 2e-5
        np.testing.assert_allclose(np.sum(np.asarray(gradient) * change), expected, rtol=1e-6)


def test_is_kip_on_the_kernel_of_the_features(digits: kd.data.Dataset) -> None:
    """The loss of a step, by ridge regression on the features of the network that it draws."""
    features, support, memory = begun(digits, pool=1)
    key = jax.random.key(4)
    found = features.gradient(support, memory, step=0, key=key)
    assert {name: value.dtype for name, value in found.gradient.items()} == {
        "images": jnp.float32,
        "labels": jnp.float32,
    }
    batch = kd.data.ClassBalanced(digits.train).draw(jax.random.split(key)[0], 30)
    ours, theirs = (
        np.asarray(features.model.features(memory[0].state, images, training=True)[-1], np.float64)
        for images in (support["images"], jnp.asarray(digits.train.images[batch]))
    )
    regression = kd.kernels.ridge_regression(ours @ ours.T, support["labels"], ridge=1e-6)
    error = np.asarray(regression.predict(theirs @ ours.T)) - kd.data.one_hot(
        digits.train.labels[batch], 10
    )
    np.testing.assert_allclose(found.metrics["loss"], 0.5 * np.mean(error**2), rtol=1e-5)


def test_training_is_adam_on_the_squared_error() -> None:
    """A dense layer: the first step of Adam moves each weight by the rate, against its gradient's
    sign (but for epsilon)."""

    class Linear(Network):
        def module(self, image_shape, *, num_classes, key):
            from flax import nnx

            return nnx.Linear(image_shape[0], num_classes, rngs=nnx.Rngs(key))

    random = np.random.default_rng(0)
    images, labels = random.standard_normal((5, 4)), random.standard_normal((5, 3))
    support = {"images": jnp.asarray(images, "float32"), "labels": jnp.asarray(labels, "float32")}
    model = Model(Linear("linear", None), (4,), 3)
    before = fresh(model, KEY)
    after = trained(model, before, support, learning_rate=0.1)
    old, new = (np.asarray(each.state.parameters["kernel"][...]) for each in (before, after))
    error = images @ old - labels  # the bias is zero
    np.testing.assert_allclose(new - old, -0.1 * np.sign(images.T @ error), rtol=1e-4)
    assert int(after.steps) == 1


def test_pool_grows_old_and_is_renewed(digits: kd.data.Dataset) -> None:
    features, support, memory = begun(digits, pool=3, pool_steps=2)
    ages = [int(member.steps) for member in memory]
    assert ages == [0, 0, 1]  # two steps in three networks: number times 2 over 3
    renewed = 0
    for step in range(25):
        drawn = features._drawn(step)
        following = features.after(support, memory, step=step, key=jax.random.key(step))
        renewed += ages[drawn] == 2
        ages[drawn] = (ages[drawn] + 1) % 3
        assert [int(member.steps) for member in following] == ages
        for number, (old, new) in enumerate(zip(memory, following, strict=True)):
            assert (new is old) == (number != drawn)
        memory = following
    assert renewed > 3
    first = [jax.tree.leaves(member.state.parameters)[-1] for member in memory]
    assert not any(np.array_equal(first[0], other) for other in first[1:])
    restored = unpack(features.memory(support, key=KEY), pack(memory))
    jax.tree.map(np.testing.assert_array_equal, restored, memory)
    again = [features.after(support, restored, step=25, key=KEY) for _ in range(2)]
    jax.tree.map(np.testing.assert_array_equal, *again)


def test_a_trained_pool_lowers_the_loss(digits: kd.data.Dataset) -> None:
    features, support, memory = begun(digits, pool=1, pool_learning_rate=0.01)
    losses = []
    for step in range(30):
        found = features.gradient(support, memory, step=step, key=KEY)
        losses.append(float(found.metrics["loss"]))
        memory = features.after(support, memory, step=step, key=KEY)
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # the norms of the gradient in images and labels, entries of both
        (
            "convnet1-in",
            {
                "loss": 0.0365990775,
                "norms": [0.0202151983, 0.0218118140],
                "pixels": [[2.7452e-4, -2.3324e-4], [-1.3777e-4, -4.5447e-4]],
                "entries": [4.2332e-4, 2.56328e-3, -7.2580e-4],
                "pool": 88.0538889,
            },
        ),
        (
            "fc1",
            {
                "loss": 0.0463660278,
                "norms": [0.00931215868, 0.00744320297],
                "pixels": [[1.60046e-05, -8.14310e-05], [-5.65550e-05, -6.90305e-05]],
                "entries": [1.206831e-04, 8.70814e-05, 3.04696e-04],
                "pool": 286.544105,
            },
        ),
    ],
)
def test_step_is_what_it_was(digits: kd.data.Dataset, name: str, expected: Any) -> None:
    """An outer step from a fixed state: numbers of the first version of this method."""
    network = kd.networks.named(name, width=4)
    changes = {"ridge": 1e-3, "augment": ("shift",)}
    features, support, memory = begun(digits, network, batch_size=50, **changes)
    found = features.gradient(support, memory, step=3, key=jax.random.key(4))
    pool = features.after(support, memory, step=3, key=KEY)
    images, labels = (found.gradient[part] for part in ("images", "labels"))
    weights = jax.tree.leaves([member.state.parameters for member in pool])
    now = {
        "loss": found.metrics["loss"],
        "norms": [jnp.linalg.norm(each.ravel()) for each in (images, labels)],
        "pixels": images[7, 2:4, 3:5, 0],
        "entries": labels[3, :3],
        "pool": sum(jnp.sum(leaf**2) for leaf in weights),
    }
    for what, value in expected.items():
        np.testing.assert_allclose(now[what], value, rtol=1e-3, atol=1e-6, err_msg=what)


def test_settings() -> None:
    for name, value in (("pool_learning_rate", 0.0), ("ridge", -1.0), ("pool", 0)):
        with pytest.raises(InputError, match=f"{name} must"):
            FeaturesSettings(**{name: value})
