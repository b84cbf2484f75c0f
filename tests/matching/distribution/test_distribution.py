"""Distribution matching, against its closed form at a linear network."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kernel_distill as kd
from kernel_distill._errors import InputError
from kernel_distill.matching.distribution import Distribution, DistributionSettings
from kernel_distill.matching.distribution import _distribution as method
from kernel_distill.networks import Network
from kernel_distill.transfer import Model

KEY = jax.random.key(0)
PIXELS = (8, 8, 1)


class Linear(Network):
    """Two dense layers and nothing between them: an embedding that is linear, and a readout."""

    def module(self, image_shape, *, num_classes, key):
        from flax import nnx

        from kernel_distill.networks._sequential import Sequential

        rngs = nnx.Rngs(key)
        hidden = nnx.Linear(image_shape[0], 5, rngs=rngs)
        return Sequential(hidden, nnx.Linear(5, num_classes, rngs=rngs))


LINEAR = Linear("linear", None)


def mean_difference(images, classes, natural, natural_classes):
    """[class, feature]; zero where one side has no image of a class."""
    rows = np.zeros((3, images.shape[1]))
    for c in set(classes) & set(natural_classes):
        rows[c] = images[classes == c].mean(axis=0) - natural[natural_classes == c].mean(axis=0)
    return rows


@pytest.mark.parametrize("absent", [False, True])
def test_gradient_at_a_linear_network_as_by_hand(absent: bool) -> None:
    """The loss is the sum over classes of ||W^T (mean - natural mean)||^2, and so the gradient in
    an image of a class with n of them 2/n W W^T (mean - natural mean)."""
    random = np.random.default_rng(0)
    images, natural = random.standard_normal((5, 4)), random.standard_normal((30, 4))
    classes = np.array([0, 0, 1, 1, 1]) if absent else np.array([0, 0, 1, 2, 2])
    natural_classes = np.arange(30) % 3
    model = Model(LINEAR, (4,), 3)
    loss, gradient = method._loss_and_gradient(
        model,
        jnp.asarray(images, jnp.float32),
        jnp.asarray(kd.data.one_hot(classes, 3), jnp.float32),
        jnp.asarray(natural, jnp.float32),
        jnp.asarray(natural_classes),
        network_key=KEY,
        augment_key=KEY,
        names=(),
        layers="last",
    )
    weights = np.asarray(jax.tree.leaves(model.init(KEY).parameters["layers"][0]["kernel"])[0])
    assert weights.shape == (4, 5)
    difference = mean_difference(images, classes, natural, natural_classes)
    by_class = 2 * difference @ weights @ weights.T
    expected = by_class[classes] / np.bincount(classes)[classes][:, None]
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss, ((difference @ weights) ** 2).sum(), rtol=1e-5)


def stepped(digits: kd.data.Dataset, network: Network, **settings):
    """What a step finds that begins at natural images."""
    chosen = kd.data.ClassBalanced(digits.train).draw(jax.random.key(1), 20)
    found = Distribution(
        Model(network, PIXELS, 10), digits, DistributionSettings(**settings), jax.random.key(2)
    )
    labels = kd.data.one_hot(digits.train.labels[chosen], 10)
    support = found.support(jnp.asarray(digits.train.images[chosen]), jnp.asarray(labels))
    return found.gradient(support, found.memory(support, key=KEY), step=3, key=jax.random.key(4))


def test_several_layers_add_up(digits: kd.data.Dataset) -> None:
    """Of an MLP: the distances of what goes into its second layer, and into its readout."""
    found = stepped(digits, kd.networks.named("mlp", width=6), layers="all")
    chosen = kd.data.ClassBalanced(digits.train).draw(jax.random.key(1), 20)
    batch_key, _, network_key = jax.random.split(jax.random.key(4), 3)
    natural = kd.data.ClassBalanced(digits.train).draw(batch_key, 640)
    state = Model(kd.networks.named("mlp", width=6), PIXELS, 10).init(network_key)
    layers = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), state.parameters)["layers"]
    dense = [layers[name] for name in sorted(layers)]
    ours, theirs = (digits.train.images[rows].reshape(-1, 64) for rows in (chosen, natural))
    classes, natural_classes = digits.train.labels[chosen], digits.train.labels[natural]
    expected = 0.0
    for layer in dense[:2]:
        weights, bias = (np.asarray(layer[name][...]) for name in ("kernel", "bias"))
        ours, theirs = (np.maximum(each @ weights + bias, 0) for each in (ours, theirs))
        for c in range(10):
            means = ours[classes == c].mean(axis=0), theirs[natural_classes == c].mean(axis=0)
            expected += ((means[0] - means[1]) ** 2).sum()
    np.testing.assert_allclose(found.metrics["loss"], expected, rtol=1e-4)


def test_both_sides_are_changed_alike(digits: kd.data.Dataset) -> None:
    """Where they are the same images, their means stay the same."""
    images = jnp.asarray(digits.train.images[:30])
    classes = jnp.asarray(digits.train.labels[:30])

    def found(natural: Any, names: tuple[str, ...]) -> Any:
        return method._loss_and_gradient(
            Model(kd.networks.named("convnet1", width=4), PIXELS, 10),
            images,
            jnp.asarray(kd.data.one_hot(np.asarray(classes), 10), jnp.float32),
            natural,
            classes,
            network_key=KEY,
            augment_key=jax.random.key(1),
            names=names,
            layers="last",
        )

    loss, gradient = found(images, ("rotate", "scale"))
    assert float(loss) < 1e-8
    assert float(jnp.abs(gradient).max()) < 1e-4
    changed = [float(found(images[:, ::-1], names)[0]) for names in ((), ("rotate", "scale"))]
    assert abs(changed[0] - changed[1]) > 0.01 * changed[0]  # something was done at all


def test_step_is_what_it_was(digits: kd.data.Dataset) -> None:
    """An outer step from a fixed state: numbers of the first version of this method."""
    found = stepped(digits, kd.networks.named("convnet1-in", width=4), augment=("shift",))
    (gradient,) = found.gradient.values()
    assert found.memory == {}
    np.testing.assert_allclose(found.metrics["loss"], 13.4987764, rtol=1e-4)
    np.testing.assert_allclose(jnp.linalg.norm(gradient.ravel()), 2.86366552, rtol=1e-4)
    pixels = [[0.10078123, -0.00281112], [0.14800616, -0.00568471]]
    np.testing.assert_allclose(gradient[7, 2:4, 3:5, 0], pixels, rtol=1e-3, atol=1e-4)


def test_settings() -> None:
    with pytest.raises(InputError, match="no gradient for labels"):
        DistributionSettings(learn_labels=True)
