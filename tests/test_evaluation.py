"""Evaluation of distilled sets against a plain computation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.kernel_ridge import KernelRidge

import kernel_distill as kd
from kernel_distill import evaluation
from kernel_distill._errors import InputError, NumericalError
from kernel_distill.evaluation import measure
from kernel_distill.kernels import FullyConnected, named, neural_tangents

KERNEL = FullyConnected(depth=1).kernel("ntk")


@pytest.fixture(scope="module")
def digits():
    return kd.data.load("digits", validation_size=0)


@pytest.fixture(scope="module")
def result(digits):
    return kd.label_solve.distill(KERNEL, digits, key=jax.random.key(0), images_per_class=3)


def plain_predictions(support_images, support_labels, images, *, ridge):
    """scikit-learn's kernel ridge regression on neural-tangents' kernel, in float64."""
    stax = neural_tangents().stax
    dense = {"W_std": 2**0.5, "b_std": 0.1}
    kernel_fn = stax.serial(
        stax.Flatten(), stax.Dense(1, **dense), stax.Relu(), stax.Dense(1, **dense)
    )[2]
    with jax.enable_x64(True):
        kernel = jax.jit(lambda x1, x2=None: kernel_fn(x1, x2, "ntk"))
        xs, xt = jnp.asarray(support_images, "float64"), jnp.asarray(images, "float64")
        k_ss, k_ts = np.asarray(kernel(xs)), np.asarray(kernel(xt, xs))
    alpha = ridge * np.trace(k_ss) / len(k_ss)
    regression = KernelRidge(alpha=alpha, kernel="precomputed")
    return regression.fit(k_ss, support_labels.astype("float64")).predict(k_ts)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("float64", 1e-7)])
def test_measure_agrees_with_scikit_learn(digits, precision, tolerance):
    images, labels = digits.train.images[:41], kd.data.one_hot(digits.train.labels[:41], 10)
    got = measure(KERNEL, images, labels, digits.test, ridge=1e-3, precision=precision)
    expected = plain_predictions(images, labels, digits.test.images, ridge=1e-3)
    np.testing.assert_allclose(got.predictions, expected, rtol=0, atol=tolerance)
    targets = np.eye(10)[digits.test.labels] - 0.1
    assert got.accuracy == np.mean(expected.argmax(axis=1) == digits.test.labels)
    assert got.loss == pytest.approx(0.5 * np.mean((expected - targets) ** 2), abs=tolerance)
    assert got.predictions.dtype == np.float64


@pytest.mark.parametrize("rows", [1, 7, 296, 297, 298])
def test_blocks_change_nothing(digits, monkeypatch, rows):
    images, labels = digits.train.images[:11], kd.data.one_hot(digits.train.labels[:11], 10)
    whole = measure(KERNEL, images, labels, digits.test, ridge=1e-6)
    blocks = evaluation._blocks
    monkeypatch.setattr(evaluation, "_blocks", lambda images: blocks(images, rows=rows))
    again = measure(KERNEL, images, labels, digits.test, ridge=1e-6)
    assert again.predictions.shape == (297, 10)
    np.testing.assert_allclose(again.predictions, whole.predictions, rtol=0, atol=1e-5)
    assert again.accuracy == whole.accuracy


def test_evaluate_gives_the_accuracy_of_the_run(digits, result, tmp_path):
    result.distilled.save(tmp_path / "distilled.npz")
    loaded = kd.load(tmp_path / "distilled.npz")
    assert kd.evaluate(loaded, digits.test).accuracy == result.test_accuracy
    assert kd.evaluate(result.initial, digits.test).accuracy == result.initial_test_accuracy


def test_evaluate_takes_the_precision_of_the_run(digits):
    distilled = kd.label_solve.distill(
        KERNEL, digits, key=jax.random.key(0), images_per_class=3, precision="float64"
    ).distilled
    got = kd.evaluate(distilled, digits.test).predictions
    expected = plain_predictions(distilled.images, distilled.labels, digits.test.images, ridge=1e-6)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_evaluate_with_another_kernel(digits, result):
    other = named("fc3").kernel("nngp")
    got = kd.evaluate(result.distilled, digits.test, kernel=other)
    expected = measure(
        other, result.distilled.images, result.distilled.labels, digits.test, ridge=1e-6
    )
    assert np.array_equal(got.predictions, expected.predictions)
    assert not np.array_equal(
        got.predictions, kd.evaluate(result.distilled, digits.test).predictions
    )


def test_several_labels_at_the_cost_of_one(digits, result, monkeypatch):
    images, labels = result.distilled.images, result.distilled.labels
    alone = [
        measure(KERNEL, images, each, digits.test, ridge=1e-6) for each in (labels, labels[::-1])
    ]
    calls = []
    predict = evaluation._predict
    monkeypatch.setattr(
        evaluation, "_predict", lambda *arguments: calls.append(1) or predict(*arguments)
    )
    together = evaluation.measure_labels(
        KERNEL, images, (labels, labels[::-1]), digits.test, ridge=1e-6
    )
    assert calls == [1]
    for one, other in zip(together, alone, strict=True):
        assert one.accuracy == other.accuracy
        assert one.loss == pytest.approx(other.loss, rel=1e-9)
        np.testing.assert_allclose(one.predictions, other.predictions, rtol=1e-9, atol=1e-12)
    assert together[0].accuracy != together[1].accuracy


def test_other_preprocessing_is_refused(result):
    other = kd.data.load("digits", validation_size=0, preprocessing="none")
    with pytest.raises(InputError, match=r"made with preprocessing [0-9a-f]{16}, the split has"):
        kd.evaluate(result.distilled, other.test)


def test_empty_split_is_refused(digits, result):
    with pytest.raises(InputError, match="the split is empty"):
        kd.evaluate(result.distilled, digits.validation)


def test_network_of_ones_own_is_to_be_passed(digits):
    stax = neural_tangents().stax
    kernel = kd.kernels.from_stax(*stax.serial(stax.Flatten(), stax.Dense(1, 1.0, 0.1)))
    result = kd.label_solve.distill(kernel, digits, key=jax.random.key(0), support_size=20)
    assert result.distilled.metadata["architecture"] == {"name": "custom"}
    with pytest.raises(InputError, match=r"pass its kernel .*from_stax.* as kernel="):
        kd.evaluate(result.distilled, digits.test)
    got = kd.evaluate(result.distilled, digits.test, kernel=kernel)
    assert got.accuracy == result.test_accuracy
    # the kernel of a linear network is a dot product
    with jax.enable_x64(True):
        images = [each.astype("float64") for each in (digits.test.images, result.distilled.images)]
        computed = np.asarray(kernel(*images))
    block = DotProduct(sigma_0=0.1)(*(each.reshape(len(each), -1) / 8 for each in images))
    np.testing.assert_allclose(computed, block, rtol=0, atol=1e-12)


def test_no_finite_solution(digits):
    images = np.repeat(digits.train.images[:1], 4, axis=0)
    stax = neural_tangents().stax
    linear = kd.kernels.from_stax(*stax.serial(stax.Flatten(), stax.Dense(1)))
    with pytest.raises(NumericalError, match=r"ridge is too small.*duplicated.*float64"):
        measure(linear, images, np.eye(10, dtype="float32")[:4], digits.test, ridge=0.0)


def test_64_bits_are_not_left_switched_on(digits, result):
    kd.evaluate(result.distilled, digits.test)
    assert not jax.config.jax_enable_x64
