"""Label Solve against numpy.linalg.lstsq on the explicit matrix, in float64."""

import functools
import os
import signal
from dataclasses import replace

import jax
import numpy as np
import pytest

import kernel_distill as kd
from kernel_distill import label_solve
from kernel_distill._errors import InputError, NumericalError
from kernel_distill.artefact import Run
from kernel_distill.evaluation import measure
from kernel_distill.kernels import FullyConnected, mixture, named, neural_tangents
from kernel_distill.label_solve import _distill

KERNEL = FullyConnected(depth=1).kernel("ntk")
KEY = jax.random.key(3)


@functools.cache
def reference_kernel():
    stax = neural_tangents().stax
    dense = {"W_std": 2**0.5, "b_std": 0.1}
    kernel = stax.serial(
        stax.Flatten(), stax.Dense(1, **dense), stax.Relu(), stax.Dense(1, **dense)
    )[2]
    return jax.jit(lambda x1, x2: kernel(x1, x2, "ntk"))


def explicit(dataset, support, *, ridge=1e-6):
    """A = K_ts (K_ss + ridge tr/s I)^-1 as NumPy computes it, and the centred targets."""
    with jax.enable_x64(True):
        xs, xt = support.astype("float64"), dataset.train.images.astype("float64")
        k_ss, k_ts = (np.asarray(reference_kernel()(x, xs)) for x in (xs, xt))
    size = len(xs)
    regularised = k_ss + ridge * np.trace(k_ss) / size * np.eye(size)
    targets = np.eye(dataset.num_classes)[dataset.train.labels] - 1 / dataset.num_classes
    return k_ts @ np.linalg.inv(regularised), targets


@pytest.mark.parametrize(
    "settings",
    [
        {"support_size": 11},
        {"support_size": 11, "block_size": 1},
        {"support_size": 11, "block_size": 16},  # a ragged last block
        {"support_size": 11, "block_size": 97},
        {"support_size": 11, "ridge": 0.1},
        {"support_size": 11, "ridge": 0.0},
        {"support_size": 11, "balanced": False},
        pytest.param({"support_size": 97}, marks=pytest.mark.slow),  # all there are
        pytest.param({}, marks=pytest.mark.slow),
    ],
)
def test_labels_are_the_least_squares_solution(tiny, settings):
    result = label_solve.distill(KERNEL, tiny, key=KEY, precision="float64", **settings)
    images, labels = result.distilled.images, result.distilled.labels
    size = settings.get("support_size", 3 * settings.get("images_per_class", 10))
    assert labels.shape == (size, 3)
    matrix, targets = explicit(tiny, images, ridge=settings.get("ridge", 1e-6))
    expected, *_ = np.linalg.lstsq(matrix, targets, rcond=1e-12)
    np.testing.assert_allclose(labels, expected, rtol=0, atol=2e-6)  # float32 in the artefact


@pytest.mark.parametrize("balanced", [True, False])
def test_support_is_natural(tiny, balanced):
    result = label_solve.distill(KERNEL, tiny, key=KEY, support_size=30, balanced=balanced)
    assert np.array_equal(result.distilled.images, result.initial.images)
    classes = result.initial.labels.argmax(axis=1)
    known = {image.tobytes(): label for image, label in zip(*tiny_train(tiny), strict=True)}
    found = [known[image.tobytes()] for image in result.distilled.images]
    assert found == classes.tolist() == sorted(found)
    assert len({image.tobytes() for image in result.distilled.images}) == 30
    assert (np.bincount(classes) == 10).all() == balanced


def tiny_train(dataset):
    return dataset.train.images, dataset.train.labels


def test_validation_images_are_no_targets(tiny):
    """Whatever they are, the labels are the same; --validation-size 0 takes all."""
    scrambled = replace(tiny.validation, images=tiny.validation.images[::-1].copy())
    one, other = (
        label_solve.distill(KERNEL, dataset, key=KEY, support_size=9).distilled.labels
        for dataset in (tiny, replace(tiny, validation=scrambled))
    )
    assert np.array_equal(one, other)


def test_duplicated_support_images(tiny, monkeypatch):
    """Rank deficient: the minimum norm gives duplicates the same labels."""
    draw = _distill.real_support

    def duplicated(*arguments, **settings):
        images, classes = draw(*arguments, **settings)
        images, classes = images.copy(), classes.copy()
        images[4], classes[4] = images[3], classes[3]
        images[9], classes[9] = images[3], classes[3]
        return images, classes

    monkeypatch.setattr(_distill, "real_support", duplicated)
    for precision, tolerance in (("float64", 2e-6), ("float32", 1e-3)):
        labels = label_solve.distill(
            KERNEL, tiny, key=KEY, support_size=11, precision=precision
        ).distilled.labels
        images, _ = duplicated(KEY, tiny.train, 11)
        matrix, targets = explicit(tiny, images)
        expected, _, rank, _ = np.linalg.lstsq(matrix, targets, rcond=1e-7)
        assert rank == 9
        np.testing.assert_allclose(labels, expected, rtol=0, atol=tolerance)
        np.testing.assert_allclose(labels[[4, 9]], labels[[3, 3]], rtol=0, atol=tolerance)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_singular_regression(tiny, precision):
    """A linear network has a kernel of rank 41 at most here, and there is no ridge."""
    stax = neural_tangents().stax
    linear = kd.kernels.from_stax(*stax.serial(stax.Flatten(), stax.Dense(1)))
    with pytest.raises(NumericalError, match=r"ridge is too small .* duplicated") as raised:
        label_solve.distill(linear, tiny, key=KEY, support_size=60, ridge=0.0, precision=precision)
    assert "float64" in str(raised.value)
    result = label_solve.distill(linear, tiny, key=KEY, support_size=60, precision=precision)
    assert np.abs(result.distilled.labels).max() < 10


def test_nearly_duplicated_support_images(tiny, monkeypatch):
    """Float32 blocks cannot tell them apart: their labels must not be noise blown up."""
    draw = _distill.real_support

    def duplicated(*arguments, **settings):
        images, classes = draw(*arguments, **settings)
        images = images.copy()
        images[4] = images[3] * np.float32(1 + 3e-7)
        return images, classes

    monkeypatch.setattr(_distill, "real_support", duplicated)
    for precision in ("float32", "float64"):
        result = label_solve.distill(KERNEL, tiny, key=KEY, support_size=11, precision=precision)
        images, labels = result.distilled.images, result.distilled.labels
        assert np.abs(labels).max() < 100  # K_ts v / ridge is small, not nothing
        matrix, targets = explicit(tiny, images)
        best, *_ = np.linalg.lstsq(matrix, targets, rcond=1e-3)
        error, least = (np.linalg.norm(matrix @ y - targets) for y in (labels, best))
        assert error < 1.1 * least


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("digits", 50), ("mnist", 200), ("cifar10", 100)])
def test_float32_blocks_lose_no_signal(natural, name, size):
    """The cut-off for float32 must not throw real directions away, on natural images."""
    if name == "digits":
        dataset = kd.data.load("digits")
    else:
        images, labels = getattr(natural, f"{name}_images"), getattr(natural, f"{name}_labels")
        dataset = kd.data.from_arrays(images, labels, validation_size=0)
    single, double = (
        label_solve.distill(KERNEL, dataset, key=KEY, support_size=size, precision=precision)
        for precision in ("float32", "float64")
    )
    difference = single.distilled.labels - double.distilled.labels
    assert np.linalg.norm(difference) < 2e-3 * np.linalg.norm(double.distilled.labels)
    matrix, targets = explicit(dataset, double.distilled.images)
    least = np.linalg.norm(matrix @ np.linalg.lstsq(matrix, targets, rcond=1e-12)[0] - targets)
    for result in (single, double):
        error = np.linalg.norm(matrix @ result.distilled.labels - targets)
        assert error < least + 1e-3 * np.linalg.norm(targets)
    assert abs(single.test_accuracy - double.test_accuracy) <= 1 / len(dataset.test)


def test_cutoff_does_not_grow_with_the_targets(tiny):
    """With NumPy's convention, eps times the rows, a million targets would cost real directions."""
    cutoffs = []
    for repeats in (1, 1000):
        train = replace(
            tiny.train,
            images=np.repeat(tiny.train.images, repeats, axis=0),
            labels=np.repeat(tiny.train.labels, repeats),
        )
        solve = _distill._Solve(
            KERNEL,
            replace(tiny, train=train),
            settings=label_solve.Settings(support_size=5),
            size=5,
            key=KEY,
            run=None,
            report=None,
        )
        with jax.enable_x64(True):
            regression = _distill.ridge_regression(
                KERNEL(solve._support), jax.numpy.asarray(solve._labels), ridge=1e-6
            )
            cutoffs.append(solve._cutoff(regression))
    assert cutoffs[1] == pytest.approx(cutoffs[0], rel=1) == pytest.approx(6e-7, rel=0.5)


def test_improves_on_the_natural_labels(natural):
    dataset = kd.data.load("digits")
    result = label_solve.distill(KERNEL, dataset, key=KEY, images_per_class=2)
    assert result.initial_test_accuracy < 0.85
    assert result.test_accuracy > result.initial_test_accuracy + 0.03
    by_hand = measure(
        KERNEL, result.distilled.images, result.distilled.labels, dataset.test, ridge=1e-6
    )
    assert by_hand.accuracy == result.test_accuracy


@pytest.mark.slow
def test_only_one_block_is_held_at_a_time(tiny, monkeypatch):
    """Memory: the kernel sees a block of targets, the state is [s + class, s + class]."""
    shapes = []
    absorb = _distill.least_squares.absorb

    def watched(triangle, rows, targets):
        shapes.append((triangle.shape, rows.shape, targets.shape))
        return absorb(triangle, rows, targets)

    monkeypatch.setattr(_distill.least_squares, "absorb", watched)
    label_solve.distill(KERNEL, tiny, key=KEY, support_size=6, block_size=40)
    assert shapes == [((9, 9), (rows, 6), (rows, 3)) for rows in (40, 40, 17)]


def test_metadata(tiny):
    metadata = label_solve.distill(
        KERNEL, tiny, key=KEY, support_size=6, block_size=40
    ).distilled.metadata
    assert metadata["method"] == "label-solve"
    assert (metadata["step"], metadata["state"]) == (3, "last")
    assert metadata["settings"]["block_size"] == 40


def stop_at(step, number):
    def report(progress):
        if progress.step == step:
            os.kill(os.getpid(), number)

    return report


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    ("number", "stops"), [(signal.SIGINT, (1,)), (signal.SIGTERM, (5, 9)), (signal.SIGINT, (10,))]
)
def test_stopped_and_resumed_gives_the_same_bits(tiny, tmp_path, stop_run, number, stops):
    settings = {"key": KEY, "support_size": 12, "block_size": 10}
    with Run.create(tmp_path / "whole", {}) as run:
        whole = label_solve.distill(KERNEL, tiny, run=run, **settings).distilled
        expected = run.metrics()
    path = tmp_path / "stopped"
    for stop in stops:
        distil = functools.partial(label_solve.distill, KERNEL, tiny, **settings)
        stop_run(path, distil, stop_at(stop, number), number=number, step=stop)
    for _ in range(2):  # also once more after the end
        with Run.create(path, {}, resume=True) as run:
            resumed = label_solve.distill(KERNEL, tiny, run=run, **settings).distilled
            assert run.metrics() == expected
        assert resumed.labels.tobytes() == whole.labels.tobytes()
        assert resumed.images.tobytes() == whole.images.tobytes()


@pytest.mark.usefixtures("without_pictures")
def test_targets_whose_kernel_overflows(tiny, tmp_path):
    """In the last block only: the state before it is saved, and finite."""
    images = tiny.train.images.copy()
    images[95] *= 1e25  # finite in float32, its square is not
    dataset = replace(tiny, train=replace(tiny.train, images=images))
    with Run.create(tmp_path / "run", {}) as run:
        with pytest.raises(NumericalError, match=r"block 8 is not finite.*float32.*standardise"):
            label_solve.distill(KERNEL, dataset, key=KEY, run=run, support_size=6, block_size=11)
        checkpoint = run.checkpoints.latest()
    assert checkpoint.step == 8
    assert np.isfinite(checkpoint.tensors["triangle"]).all()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"images_per_class": 0}, r"images_per_class must be 1 or more; got 0"),
        ({"block_size": 0}, r"block_size must be 1 or more; got 0"),
        ({"support_size": 5, "images_per_class": 1}, r"give one of them"),
        ({"ridge": -1.0}, r"ridge must be 0 or more, and finite; got -1.0"),
        ({"support_size": 98}, r"support of 98 .* training set of 97"),
        ({"images_per_class": 33}, r"33 images per class .* class '.' has 32"),
        ({"blocksize": 3}, r"unknown setting 'blocksize': did you mean 'block_size'"),
    ],
)
def test_bad_settings(tiny, settings, match):
    with pytest.raises(InputError, match=match):
        label_solve.distill(KERNEL, tiny, key=KEY, **settings)


def test_takes_one_architecture(tiny):
    with pytest.raises(InputError, match="mixture"):
        label_solve.distill(mixture(KERNEL, named("fc2").kernel()), tiny, key=KEY)
