"""Training, against loops written by hand in NumPy and the closed form of infinite width."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import kernel_distill as kd
from kernel_distill.data import Split
from kernel_distill.networks import Network
from kernel_distill.transfer import Model, State, TrainingSettings, largest_stable_rate, train
from kernel_distill.transfer import _train as training
from kernel_distill.transfer._learning_rate import with_l2
from kernel_distill.transfer._soundness import Rates, require_sound


class Linear(Network):
    """A dense layer: what a training of it does is written down in a line."""

    def module(self, image_shape, *, num_classes, key):
        return nnx.Linear(image_shape[0], num_classes, rngs=nnx.Rngs(key))


LINEAR = Linear("linear", None)


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    images = random.standard_normal((7, 4)).astype(np.float32)
    labels = kd.data.one_hot(np.arange(7) % 3, 3)
    return images, labels


def numpy_training(weights, bias, images, labels, *, rates, l2, momentum=0.9):
    """Heavy ball on 1/(2 n C) ||f - y||^2 + l2/2 ||parameters||^2."""
    velocity_w, velocity_b = np.zeros_like(weights), np.zeros_like(bias)
    for rate in rates:
        error = (images @ weights + bias - labels) / labels.size
        velocity_w = momentum * velocity_w + images.T @ error + l2 * weights
        velocity_b = momentum * velocity_b + error.sum(axis=0) + l2 * bias
        weights, bias = weights - rate * velocity_w, bias - rate * velocity_b
    return weights, bias


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_momentum_schedule_and_l2_as_by_hand(rows, schedule):
    images, labels = rows
    settings = TrainingSettings(
        steps=40, schedule=schedule, learning_rate=0.3, l2=(0.02,), label_scale=(2.0,)
    )
    key = jax.random.key(1)
    trained = train(LINEAR, images, labels, settings=settings, key=key, seeds=2)
    steps = np.arange(40)
    rates = 0.3 * (
        0.5 * (1 + np.cos(np.pi * steps / 40)) if schedule == "cosine" else 0 * steps + 1
    )
    for seed_key, state in zip(jax.random.split(key, 2), trained.states, strict=True):
        start = trained.model.init(jax.random.fold_in(seed_key, 0)).parameters
        expected = numpy_training(
            *(np.asarray(start[name][...], np.float64) for name in ("kernel", "bias")),
            images, 2 * labels, rates=rates, l2=0.02,
        )  # fmt: skip
        for name, value in zip(("kernel", "bias"), expected, strict=True):
            np.testing.assert_allclose(state.parameters[name][...], value, atol=2e-6)


@pytest.mark.slow
def test_seeds_together_in_one_loop_are_those_one_by_one(rows, monkeypatch):
    images, labels = rows
    # minibatches with a rest, and a network with running statistics
    settings = TrainingSettings(steps=11, batch_size=3, learning_rate=0.01, loss="cross_entropy")

    class Normalised(Network):
        def module(self, image_shape, *, num_classes, key):
            rngs = nnx.Rngs(key)
            return nnx.Sequential(
                nnx.Linear(image_shape[0], 5, rngs=rngs),
                nnx.BatchNorm(5, rngs=rngs),
                nnx.Linear(5, num_classes, rngs=rngs),
            )

    network = Normalised("normalised", None)
    options = {"settings": settings, "key": jax.random.key(0), "seeds": 3}
    alone = train(network, images, labels, **options)
    monkeypatch.setattr(training, "_on_cpu", lambda: False)
    monkeypatch.setattr(training, "at_a_time", lambda most, needed: most)
    together = train(network, images, labels, **options)
    np.testing.assert_allclose(alone.losses, together.losses, rtol=1e-5)
    assert not np.allclose(alone.losses[0], alone.losses[1])
    for one, other in zip(alone.states, together.states, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, other)
    statistics = jax.tree.leaves(alone.states[0].rest)
    assert any(np.abs(np.asarray(leaf)).max() > 0 for leaf in statistics)


def test_minibatches_take_every_image_once_an_epoch(rows, monkeypatch):
    images, labels = np.eye(6, dtype=np.float32), rows[1][:6]
    settings = TrainingSettings(steps=6, batch_size=2, learning_rate=0.1, l2=(0.0,))
    batches = []

    def batched(program, shape):
        def step(carry, constants, seed, now):
            start = int(now.number) % 3 * 2
            batches.append(tuple(np.asarray(now.order)[start : start + 2]))
            return compiled(carry, constants, seed, now)

        compiled = compiled_step(program, shape)
        return step

    compiled_step = training._compiled_step
    monkeypatch.setattr(training, "_compiled_step", batched)
    monkeypatch.setattr(training, "program_memory", lambda step: 0)
    trained = train(LINEAR, images, labels, settings=settings, key=jax.random.key(0))
    # a row of the weights moves when its image comes: all have, after an epoch
    start = trained.model.init(jax.random.fold_in(jax.random.split(jax.random.key(0), 1)[0], 0))
    moved = trained.states[0].parameters["kernel"][...] - start.parameters["kernel"][...]
    assert (np.abs(moved).max(axis=1) > 0).all()
    first, second = (sum(batches[epoch : epoch + 3], ()) for epoch in (0, 3))
    assert sorted(first) == sorted(second) == list(range(6))
    assert first != second  # drawn anew


@pytest.mark.slow
def test_largest_stable_rate_is_that_of_the_whole_tangent_kernel():
    network = kd.networks.named("convnet2", width=8)
    model = Model(network, (8, 8, 2), 3)
    state = model.init(jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (5, 8, 8, 2))

    def outputs(parameters):
        return model.logits(State(parameters, state.rest), images).ravel()

    jacobian = np.concatenate(
        [
            np.asarray(leaf, np.float64).reshape(15, -1)
            for leaf in jax.tree.leaves(jax.jacobian(outputs)(state.parameters))
        ],
        axis=1,
    )
    largest = np.linalg.eigvalsh(jacobian @ jacobian.T)[-1]
    found = largest_stable_rate(model, state, images)
    assert found == pytest.approx(2 * 15 / largest, rel=0.01)


def test_of_many_images_the_stable_rate_is_not_that_of_the_first_ones():
    """Images are sorted by class, here by scale: the linear tangent kernel of 60 by hand."""
    images = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    images[30:] *= 10
    model = Model(LINEAR, (4,), 3)
    found = largest_stable_rate(model, model.init(jax.random.key(0)), jnp.asarray(images))
    kernel = images.astype(np.float64) @ images.T + 1
    assert found == pytest.approx(2 * 60 * 3 / np.linalg.eigvalsh(kernel)[-1], rel=0.15)


def test_beyond_the_stable_rate_gradient_descent_diverges(rows):
    """Of a linear network, whose tangent kernel never changes; momentum moves the bound to 1.9."""
    images, labels = rows
    for factor, stable in ((1.8, True), (2.0, False)):
        settings = TrainingSettings(
            steps=400, factor=(factor,), l2=(0.0,), schedule="constant", label_scale=(5.0,)
        )
        options = {"settings": settings, "key": jax.random.key(0)}
        if stable:
            losses = train(LINEAR, images, labels, **options).losses[0]
            assert losses[-1] < losses[0]
        else:
            with pytest.raises(kd.NumericalError, match=r"diverged.*largest stable rate is about"):
                train(LINEAR, images, labels, **options)


@pytest.mark.parametrize("last", [2.0, 11.0, np.inf])
def test_a_loss_that_ends_above_its_beginning_is_told(last):
    network, rates = kd.networks.named("fc1", width=8), Rates(np.array([0.1, 2.0]), None)
    losses = np.array([[1.0, 0.5, 0.2], [1.0, 5.0, last]])
    with pytest.raises(kd.NumericalError, match=r"diverged: its loss was 1, .*rate 2; leave the"):
        require_sound(losses, network, rates, step=9, last_step=True)
    if last < 10:  # on the way it may come down again
        require_sound(losses, network, rates, step=9, last_step=False)
    losses[1, -1] = 0.9
    require_sound(losses, network, rates, step=9, last_step=True)


def test_the_stable_rate_is_less_with_l2(rows):
    """The loss of a linear network is a parabola, which L2 curves more in all directions."""
    images, labels = rows
    tangent_kernel = images.astype(np.float64) @ images.T + 1
    settings = TrainingSettings(steps=1, factor=(0.5,), l2=(3.0,))
    trained = train(LINEAR, images, labels, settings=settings, key=jax.random.key(0), seeds=2)
    curvature = np.linalg.eigvalsh(tangent_kernel)[-1] / labels.size + 3.0
    np.testing.assert_allclose(trained.stable_rates, 2 / curvature, rtol=0.01)
    np.testing.assert_allclose(trained.learning_rates, 0.5 * trained.stable_rates)
    np.testing.assert_allclose(
        with_l2(trained.stable_rates, -3.0), 2 / (curvature - 3.0), rtol=0.01
    )


def test_each_seed_has_a_rate_of_its_own(rows):
    images, labels = rows
    network = kd.networks.named("fc1", width=5)
    settings = TrainingSettings(steps=4, factor=(0.5,), l2=(0.0,))
    key = jax.random.key(0)
    trained = train(network, images, labels, settings=settings, key=key, seeds=2)
    for number, seed_key in enumerate(jax.random.split(key, 2)):
        state = trained.model.init(jax.random.fold_in(seed_key, 0))
        stable = largest_stable_rate(trained.model, state, jnp.asarray(images))
        assert trained.stable_rates[number] == pytest.approx(stable)
        # the same key and rate by themselves give the same network
        given = replace(settings, learning_rate=float(trained.learning_rates[number]))
        both = train(network, images, labels, settings=given, key=key, seeds=2)
        np.testing.assert_allclose(both.losses[number], trained.losses[number], rtol=1e-6)
    assert trained.stable_rates[0] != trained.stable_rates[1]


def test_labels_that_are_no_distribution(rows):
    images, labels = rows
    settings = TrainingSettings(steps=1, loss="cross_entropy", learning_rate=0.1)
    labels = np.concatenate([labels[:5], labels[5:] - 1])
    with pytest.raises(kd.InputError, match=r"above -1/C; got 2 without one.*take loss mse"):
        train(LINEAR, images, labels, settings=settings, key=jax.random.key(0))
    train(LINEAR, images, labels, settings=replace(settings, loss="mse"), key=jax.random.key(0))


def test_a_loss_that_begins_infinite_is_not_blamed_on_the_rate(rows):
    images, labels = rows
    settings = TrainingSettings(steps=1, learning_rate=0.1)
    with pytest.raises(kd.NumericalError, match="before the first step: check the scale"):
        train(LINEAR, 1e30 * images, labels, settings=settings, key=jax.random.key(0))


def test_a_network_that_predicts_the_same_for_all_images_is_dead(rows):
    """Its loss is that of a constant prediction, and nothing in it tells of that."""

    class Off(Network):
        def module(self, image_shape, *, num_classes, key):
            rngs = nnx.Rngs(key)
            bias = nnx.initializers.constant(-100.0)
            first = nnx.Linear(image_shape[0], 5, bias_init=bias, rngs=rngs)
            return nnx.Sequential(first, nnx.relu, nnx.Linear(5, num_classes, rngs=rngs))

    images, labels = rows
    settings = TrainingSettings(steps=20, learning_rate=0.1, l2=(0.0,))
    with pytest.raises(kd.NumericalError, match=r"same prediction for all images.*rate 0\.1"):
        train(Off("off", None), images, labels, settings=settings, key=jax.random.key(0))
    # where that is what is wanted, it has learned
    alike = np.broadcast_to(labels[:1], labels.shape)
    train(Off("off", None), images, alike, settings=settings, key=jax.random.key(0))


@pytest.mark.slow
def test_a_wide_network_learns_what_its_kernel_predicts():
    """Lee et al. 2019: trained to the end, f(x) = f0(x) + K(x, X) K(X, X)^-1 (y - f0(X))."""
    digits = kd.data.load("digits")
    images, labels = digits.train.images[:8], kd.data.one_hot(digits.train.labels[:8], 10)
    test = digits.test.images[:50]
    network = kd.networks.named("fc1", width=2048, parameterization="ntk")
    settings = TrainingSettings(steps=500, factor=(0.1,), l2=(0.0,), schedule="constant")
    key = jax.random.key(0)
    trained = train(network, images, labels, settings=settings, key=key)
    start = trained.model.init(jax.random.fold_in(jax.random.split(key, 1)[0], 0))
    logits = trained.model.logits
    kernel = kd.kernels.FullyConnected(depth=1).kernel("ntk")
    solved = np.linalg.solve(kernel(jnp.asarray(images)), labels - logits(start, images))
    expected = logits(start, test) + kernel(jnp.asarray(test), jnp.asarray(images)) @ solved
    moved = np.linalg.norm(expected - logits(start, test))
    assert np.linalg.norm(logits(trained.states[0], test) - expected) < 0.1 * moved


def test_soft_labels_become_distributions():
    from kernel_distill.transfer._loss import loss, targets

    settings = TrainingSettings(loss="cross_entropy")
    one_hot = kd.data.one_hot(np.array([2]), 4)
    learned = np.array([[0.75, -0.25, 0.25, -0.75]], np.float32)  # plus 1/4: 1, 0, 1/2, -1/2
    wanted = targets(jnp.concatenate([one_hot, learned]), settings)
    np.testing.assert_allclose(wanted, [[0, 0, 1, 0], [2 / 3, 0, 1 / 3, 0]], atol=1e-7)
    logits = jnp.array([[1.0, 0.0, -1.0, 0.5]] * 2)
    expected = optax.softmax_cross_entropy(logits, wanted).mean()
    assert float(loss(logits, wanted, settings)) == pytest.approx(float(expected))


@pytest.mark.slow
def test_augmentation_changes_what_is_learned(natural):
    images = natural.mnist_images[:4].reshape(4, 28, 28, 1) / np.float32(255)
    labels = kd.data.one_hot(np.arange(4), 10)
    settings = TrainingSettings(steps=3, learning_rate=0.01)
    found = [
        train(
            kd.networks.named("fc1", width=8), images, labels,
            settings=replace(settings, augment=names), key=jax.random.key(0),
        ).losses[0]
        for names in ((), ("shift",))
    ]  # fmt: skip
    assert found[0][0] == found[1][0]
    assert found[0][-1] != found[1][-1]


def test_a_width_that_does_not_fit_is_told_before_it_starts(rows, monkeypatch):
    def never(*_, **__):
        pytest.fail("the training began")

    monkeypatch.setattr(training, "_compiled_step", never)
    images = np.zeros((10, 28, 28, 1), np.float32)
    with pytest.raises(
        kd.InputError, match=r"convnet of width 200000 takes about .* smaller width"
    ):
        train(
            kd.networks.named("convnet", width=200_000), images, kd.data.one_hot(np.arange(10), 10),
            settings=TrainingSettings(), key=jax.random.key(0),
        )  # fmt: skip


def test_a_batch_that_does_not_fit_is_told_before_it_starts(rows, monkeypatch):
    images, labels = rows
    monkeypatch.setattr(training, "program_memory", lambda step: 2**60)
    with pytest.raises(kd.InputError, match="smaller width or batch_size"):
        train(LINEAR, images, labels, settings=TrainingSettings(), key=jax.random.key(0))


def test_fewer_images_at_a_time_where_memory_is_short(monkeypatch):
    model = Model(kd.networks.named("convnet1", width=7), (8, 9, 1), 3)
    # the convolution, what follows it at each pixel, and half of them after pooling
    assert 4 * 8 * 9 * 7 < model.bytes_an_image < 10 * 4 * 8 * 9 * 7
    for images, expected in ((3, 3), (10**6, 500), (0, 1)):
        memory = 4 * images * model.bytes_an_image
        monkeypatch.setattr(training, "available_memory", lambda memory=memory: memory)
        assert training._predicted_at_a_time(model) == expected


def test_accuracy_in_blocks_with_a_rest(rows, monkeypatch):
    monkeypatch.setattr(training, "_BLOCK", 3)
    images, labels = rows
    settings = TrainingSettings(steps=1, learning_rate=0.1)
    trained = train(LINEAR, images, labels, settings=settings, key=jax.random.key(0), seeds=2)
    split = Split(images, np.arange(7, dtype=np.int32) % 3, 3, "here")
    expected = [
        np.mean(np.argmax(trained.model.logits(state, images), axis=1) == split.labels)
        for state in trained.states
    ]
    np.testing.assert_allclose(trained.accuracies(split), expected)
