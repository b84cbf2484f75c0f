"""One step against another computation: neural-tangents' kernel and a dense solve, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kernel_distill.data import augment
from kernel_distill.kernels import FullyConnected, neural_tangents
from kernel_distill.kip._step import Update, jitted_step, loss, natural_batch, step

RIDGE = 1e-3
# relative to the norm of the gradient; neural-tangents guards its derivatives with 1e-8
TOLERANCE = {"float32": 1e-4, "float64": 1e-7}


def problem(precision="float64", s=7, t=11, classes=3):
    random = np.random.default_rng(1)
    support = {
        "images": jnp.asarray(random.standard_normal((s, 3, 2, 2)), precision),
        "labels": jnp.asarray(random.standard_normal((s, classes)), jnp.float64),
    }
    images = jnp.asarray(random.standard_normal((t, 3, 2, 2)), precision)
    labels = jnp.asarray(random.standard_normal((t, classes)), jnp.float64)
    return support, images, labels


@functools.cache
def reference_kernel(depth, kind):
    stax = neural_tangents().stax
    layers = [stax.Flatten()]
    for _ in range(depth):
        layers += [stax.Dense(1, W_std=2**0.5, b_std=0.1), stax.Relu()]
    kernel = stax.serial(*layers, stax.Dense(1, W_std=2**0.5, b_std=0.1))[2]
    return jax.jit(lambda x1, x2=None: kernel(x1, x2, kind))


def reference_loss(kernel, support, images, labels):
    """As the paper writes it, with a general solve in place of Cholesky's."""
    xs = support["images"].astype("float64")
    k_ss, k_ts = kernel(xs), kernel(images.astype("float64"), xs)
    regularised = k_ss + RIDGE * jnp.trace(k_ss) / len(xs) * jnp.eye(len(xs))
    error = k_ts @ jnp.linalg.solve(regularised, support["labels"]) - labels
    return 0.5 * jnp.mean(error**2)


def relative(got, expected):
    got, expected = (
        np.concatenate([np.ravel(each) for each in jax.tree.leaves(tree)]).astype("float64")
        for tree in (got, expected)
    )
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("depth", "kind", "precision"),
    [(1, "ntk", "float32"), (1, "ntk", "float64"), (2, "nngp", "float64")],
)
def test_loss_and_gradient(depth, kind, precision):
    kernel = FullyConnected(depth=depth).kernel(kind)
    with jax.enable_x64(True):
        support, images, labels = problem(precision)
        (value, _), gradient = jax.jit(
            jax.value_and_grad(
                lambda support: loss(kernel, support, images, labels, ridge=RIDGE), has_aux=True
            )
        )(support)
        reference = reference_kernel(depth, kind)
        expected, expected_gradient = jax.jit(
            jax.value_and_grad(lambda support: reference_loss(reference, support, images, labels))
        )(support)
    assert value.dtype == "float64"
    assert value == pytest.approx(float(expected), rel=TOLERANCE[precision])
    for part in ("images", "labels"):
        assert gradient[part].dtype == support[part].dtype
        assert relative(gradient[part], expected_gradient[part]) < TOLERANCE[precision]


def test_gradient_against_finite_differences():
    kernel, random = FullyConnected(depth=2).kernel(), np.random.default_rng(2)
    with jax.enable_x64(True):
        support, images, labels = problem()

        @jax.jit
        def value(support):
            return loss(kernel, support, images, labels, ridge=RIDGE)[0]

        gradient = jax.grad(value)(support)
        for part in ("images", "labels"):
            for _ in range(5):
                where = tuple(random.integers(size) for size in support[part].shape)
                ahead, behind = (
                    float(value(support | {part: support[part].at[where].add(shift)}))
                    for shift in (1e-5, -1e-5)
                )
                slope = (ahead - behind) / 2e-5
                assert float(gradient[part][where]) == pytest.approx(slope, rel=1e-6, abs=1e-9)


def natural_problem():
    random = np.random.default_rng(3)
    images = jnp.asarray(random.standard_normal((20, 3, 2, 2)), "float32")
    return images, jnp.asarray(np.arange(20) % 3, "int32"), jnp.asarray([1, 4, 2, 19, 7, 9])


def test_step_moves_as_the_optimiser_says():
    kernel, optimizer = FullyConnected(depth=1).kernel(), optax.adam(0.1)
    update = Update(optimizer, ("images", "labels"), RIDGE, 3)
    with jax.enable_x64(True):
        support, _, _ = problem()
        images, classes, batch = natural_problem()
        state = optimizer.init(support)
        moved, new_state, metrics = jitted_step(
            kernel,
            update,
            support,
            state,
            images=images[batch],
            classes=classes[batch],
            noise=None,
            label_solve_rate=None,
        )
        targets = jnp.eye(3, dtype="float64")[classes[batch]] - 1 / 3
        reference = reference_kernel(1, "ntk")
        value, gradient = jax.jit(
            jax.value_and_grad(
                lambda support: reference_loss(reference, support, images[batch], targets)
            )
        )(support)
        changes, expected_state = optimizer.update(gradient, state, support)
        expected = optax.apply_updates(support, changes)
    assert float(metrics["loss"]) == pytest.approx(float(value), rel=1e-9)
    assert bool(metrics["finite"])
    assert relative(moved, expected) < TOLERANCE["float64"]
    assert relative(new_state, expected_state) < TOLERANCE["float64"]


@pytest.mark.slow
def test_batch_accuracy_is_that_of_the_prediction_before_the_update():
    kernel = FullyConnected(depth=1).kernel()
    update = Update(optax.sgd(0.0), ("images",), RIDGE, 3)
    with jax.enable_x64(True):
        images, classes, _ = natural_problem()
        labels = jnp.eye(3, dtype="float64")[classes] - 1 / 3
        support = {"images": images[:6].astype("float64"), "labels": labels[:6]}
        _, _, metrics = step(
            kernel,
            update,
            support,
            update.optimizer.init({"images": support["images"]}),
            images=images[:6],  # the support itself, which regression reproduces
            classes=classes[:6],
            noise=None,
            label_solve_rate=None,
        )
    assert float(metrics["batch_accuracy"]) == 1


@pytest.mark.parametrize("rate", [0.1, float("inf")])
def test_support_that_is_not_finite_is_seen(rate):
    update = Update(optax.sgd(rate), ("images", "labels"), RIDGE, 3)
    with jax.enable_x64(True):
        support, _, _ = problem()
        images, classes, batch = natural_problem()
        _, _, metrics = jitted_step(
            FullyConnected(depth=1).kernel(),
            update,
            support,
            update.optimizer.init(support),
            images=images[batch],
            classes=classes[batch],
            noise=None,
            label_solve_rate=None,
        )
    assert np.isfinite(float(metrics["loss"]))  # of the support before
    assert bool(metrics["finite"]) == np.isfinite(rate)


@pytest.mark.slow
def test_labels_move_towards_the_best_ones_of_the_batch():
    """And the images along the gradient at those labels, which are constants to it."""
    kernel, rate = FullyConnected(depth=1).kernel(), 0.4
    update = Update(optax.sgd(1.0), ("images",), RIDGE, 3)
    with jax.enable_x64(True):
        support, images, _ = problem(t=40)
        classes = jnp.arange(40) % 3
        moved, _, metrics = jitted_step(
            kernel,
            update,
            support,
            update.optimizer.init({"images": support["images"]}),
            images=images,
            classes=classes,
            noise=None,
            label_solve_rate=jnp.asarray(rate),
        )
        reference = reference_kernel(1, "ntk")
        targets = jnp.eye(3, dtype="float64")[classes] - 1 / 3
        k_ss, k_ts = reference(support["images"]), reference(images, support["images"])
        regularised = k_ss + RIDGE * jnp.trace(k_ss) / 7 * jnp.eye(7)
        best = regularised @ np.linalg.lstsq(k_ts, targets, rcond=None)[0]
        labels = (1 - rate) * support["labels"] + rate * best
        value, gradient = jax.value_and_grad(
            lambda xs: reference_loss(reference, {"images": xs, "labels": labels}, images, targets)
        )(support["images"])
    assert relative(moved["labels"], labels) < 1e-5
    assert relative(support["images"] - moved["images"], gradient) < 1e-5
    assert float(metrics["loss"]) == pytest.approx(float(value), rel=1e-6)


def test_batch_is_gathered_and_augmented():
    images, _, batch = natural_problem()
    key = jax.random.key(4)
    plain = natural_batch(images, batch, augment_key=None, names=("flip",))
    assert np.array_equal(plain, images[batch])
    flipped = natural_batch(images, batch, augment_key=key, names=("flip",))
    assert np.array_equal(flipped, augment(key, images[batch], names=("flip",)))
    assert not np.array_equal(flipped, plain)
