"""Whole runs of KIP on tiny data."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import make_moons

import kernel_distill as kd
from kernel_distill import kip
from kernel_distill._errors import InputError, NumericalError
from kernel_distill._optimizers import make_schedule
from kernel_distill.artefact import Run
from kernel_distill.evaluation import measure
from kernel_distill.kernels import FullyConnected, mixture, named

KERNEL = FullyConnected(depth=1).kernel("ntk")
KEY = jax.random.key(5)
RIDGE = 1e-3

SCHEDULES = {
    "constant": lambda rate, steps: lambda t: rate,
    "cosine": lambda rate, steps: lambda t: rate * (1 + jnp.cos(jnp.pi * t / steps)) / 2,
    "linear": lambda rate, steps: lambda t: rate * (1 - t / steps),
    "exponential": lambda rate, steps: lambda t: rate * 0.01 ** (t / steps),
    # the first tenth up from zero, then down on a cosine
    "warmup_cosine": lambda rate, steps: (
        lambda t: jnp.where(
            t < steps // 10,
            rate * t / (steps // 10),
            rate * (1 + jnp.cos(jnp.pi * (t - steps // 10) / (steps - steps // 10))) / 2,
        )
    ),
    # from rate/25 up on a cosine for 3 tenths, then down to rate/25e4 (optax's defaults)
    "one_cycle": lambda rate, steps: (
        lambda t: jnp.where(
            t < 3 * steps // 10,
            rate / 25 + (rate - rate / 25) * (1 - jnp.cos(jnp.pi * t / (3 * steps // 10))) / 2,
            rate / 25e4
            + (rate - rate / 25e4)
            * (1 + jnp.cos(jnp.pi * (t - 3 * steps // 10) / (steps - 3 * steps // 10)))
            / 2,
        )
    ),
}


def plain_kip(dataset, optimizer, *, initial, steps, batch_size):
    """KIP in a few lines of its own, in float64: neural-tangents' kernel, a general solve."""
    stax = kd.kernels.neural_tangents().stax
    dense = {"W_std": 2**0.5, "b_std": 0.1}
    kernel_fn = stax.serial(
        stax.Flatten(), stax.Dense(1, **dense), stax.Relu(), stax.Dense(1, **dense)
    )[2]

    def loss(support, images, classes):
        xs, ys = support
        k_ss = kernel_fn(xs, None, "ntk")
        k_ss += RIDGE * jnp.trace(k_ss) / len(xs) * jnp.eye(len(xs))
        prediction = kernel_fn(images, xs, "ntk") @ jnp.linalg.solve(k_ss, ys)
        target = jnp.eye(dataset.num_classes)[classes] - 1 / dataset.num_classes
        return 0.5 * jnp.mean((prediction - target) ** 2)

    @jax.jit
    def step(support, state, images, classes):
        gradient = jax.grad(loss)(support, images, classes)
        changes, state = optimizer.update(gradient, state, support)
        return optax.apply_updates(support, changes), state

    with jax.enable_x64(True):
        support = tuple(jnp.asarray(part, "float64") for part in initial)
        state = optimizer.init(support)
        _, _, step_key = jax.random.split(KEY, 3)
        for number in range(steps):
            batch_key = jax.random.split(jax.random.fold_in(step_key, number), 4)[0]
            batch = kd.data.ClassBalanced(dataset.train).draw(batch_key, batch_size)
            images = dataset.train.images[batch].astype("float64")
            support, state = step(support, state, images, dataset.train.labels[batch])
        return tuple(map(np.asarray, support))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rates_of_every_schedule(schedule):
    rate = make_schedule(schedule, 0.03, steps=20)
    expected = SCHEDULES[schedule](0.03, 20)
    for step in range(20):
        assert float(rate(step)) == pytest.approx(float(expected(step)), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [
        ("sgd", "linear"),
        ("adam", "warmup_cosine"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("adam", "constant"),
                ("adamw", "cosine"),
                ("sgd", "exponential"),
                ("adam", "one_cycle"),
            )
        ),
    ],
)
def test_same_images_as_a_plain_implementation(tiny_without_validation, optimizer, schedule):
    rate = {"sgd": 100.0}.get(optimizer, 0.03)
    result = kip.distill(
        KERNEL,
        tiny_without_validation,
        key=KEY,
        support_size=7,
        steps=20,
        batch_size=30,
        ridge=RIDGE,
        learning_rate=rate,
        optimizer=optimizer,
        schedule=schedule,
        precision="float64",
    )
    images, labels = plain_kip(
        tiny_without_validation,
        getattr(optax, optimizer)(SCHEDULES[schedule](rate, 20)),
        initial=(result.initial.images, result.initial.labels),
        steps=20,
        batch_size=30,
    )
    moved = np.abs(images - result.initial.images).max()
    assert moved > 0.1
    # float32 in the artefact; neural-tangents guards its derivatives with 1e-8
    np.testing.assert_allclose(result.distilled.images, images, rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.distilled.labels, labels, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "learned", [pytest.param("images", marks=pytest.mark.slow), "labels", "both"]
)
def test_what_is_not_learned_stays_bit_for_bit(tiny_without_validation, learned):
    result = kip.distill(
        KERNEL,
        tiny_without_validation,
        key=KEY,
        images_per_class=2,
        steps=3,
        learn_images=learned != "labels",
        learn_labels=learned != "images",
    )
    before, after = result.initial, result.distilled
    assert np.array_equal(before.images, after.images) == (learned == "labels")
    assert np.array_equal(before.labels, after.labels) == (learned == "images")


def test_batches_are_balanced_differ_and_hold_no_validation_image(tiny, recorder):
    kip.distill(KERNEL, tiny, key=KEY, steps=30, batch_size=20)
    assert np.array_equal(recorder.images, tiny.train.images)
    held_out = {image.tobytes() for image in tiny.validation.images}
    assert not held_out & {image.tobytes() for image in recorder.images}
    extra = set()
    for batch in recorder.batches:
        assert len(set(batch.tolist())) == 20
        counts = np.bincount(tiny.train.labels[batch], minlength=3)
        assert sorted(counts) == [6, 7, 7]
        extra.add(int(counts.argmin()))
    assert extra == {0, 1, 2}  # no class is short every time
    assert len({tuple(batch) for batch in recorder.batches}) == 30
    assert set(np.concatenate(recorder.batches)) == set(range(len(tiny.train)))


def test_batch_larger_than_the_training_set_is_all_of_it(tiny, recorder):
    kip.distill(KERNEL, tiny, key=KEY, steps=2, batch_size=10**6)
    for batch in recorder.batches:
        assert sorted(batch) == list(range(len(tiny.train)))


@pytest.mark.parametrize(
    ("fraction", "least", "most"), [(0.0, 0, 0), (0.4, 25, 55), (1.0, 100, 100)]
)
def test_fraction_of_the_batches_is_augmented(tiny, recorder, fraction, least, most):
    kip.distill(KERNEL, tiny, key=KEY, steps=100, augment=("flip",), augment_fraction=fraction)
    assert least <= sum(recorder.augmented) <= most  # 0.4: three standard deviations


@pytest.mark.slow
def test_augmentation_changes_the_targets(tiny_without_validation):
    def distilled(**settings):
        return kip.distill(
            KERNEL, tiny_without_validation, key=KEY, steps=2, **settings
        ).distilled.images

    plain = distilled()
    assert np.array_equal(plain, distilled(augment=("flip",), augment_fraction=0.0))
    augmented = distilled(augment=("flip", "shift"))
    assert np.array_equal(augmented, distilled(augment=("flip", "shift")))
    assert not np.array_equal(plain, augmented)


@pytest.mark.slow
def test_solved_labels_are_better_than_descended_ones(tiny_without_validation):
    def loss(**settings):
        result = kip.distill(
            KERNEL, tiny_without_validation, key=KEY, support_size=9, steps=10, **settings
        )
        images, labels = result.distilled.images, result.distilled.labels
        return measure(KERNEL, images, labels, tiny_without_validation.train, ridge=1e-6).loss

    # all of the training set is the batch, so the best labels of the last step are the best
    assert loss(label_solve_rate=1.0) < 0.9 * loss()
    assert loss(label_solve_rate=0.3) < 0.9 * loss()


@pytest.mark.slow
def test_labels_are_solved_for_alone(tiny_without_validation):
    """With images that stay: Label Solve, by another way."""
    settings = {"key": KEY, "support_size": 9, "ridge": RIDGE}
    kept = kip.distill(
        KERNEL,
        tiny_without_validation,
        steps=1,
        label_solve_rate=1.0,
        learn_images=False,
        precision="float64",
        **settings,
    )
    images, labels = kept.distilled.images, kept.distilled.labels
    assert np.array_equal(images, kept.initial.images)
    train = tiny_without_validation.train
    k_ss, k_ts = (np.asarray(KERNEL(x, images), "float64") for x in (images, train.images))
    matrix = k_ss + RIDGE * np.trace(k_ss) / 9 * np.eye(9)
    targets = np.eye(3)[train.labels] - 1 / 3
    best = matrix @ np.linalg.lstsq(k_ts, targets, rcond=None)[0]
    np.testing.assert_allclose(labels, best, rtol=0, atol=1e-3 * np.abs(best).max())


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_labels_move_by_less_as_the_schedule_goes_down(tiny, recorder, schedule):
    kip.distill(KERNEL, tiny, key=KEY, steps=8, label_solve_rate=0.3, schedule=schedule)
    expected = SCHEDULES[schedule](0.3, 8)
    for step, rate in enumerate(recorder.label_solve_rates):
        assert float(rate) == pytest.approx(float(expected(step)), rel=1e-6)


def test_mixture_draws_an_architecture_a_step(tiny, recorder):
    members = (KERNEL, named("fc2").kernel(), named("fc1").kernel("nngp"))
    kip.distill(mixture(*members), tiny, key=KEY, steps=60)
    drawn = [recorder.kernels.count(member) for member in members]
    assert sum(drawn) == 60
    assert min(drawn) > 8  # 20 each on average


def test_mixture_is_measured_as_the_mean_of_its_members(tiny):
    members = (KERNEL, named("fc3").kernel())
    result = kip.distill(mixture(*members), tiny, key=KEY, steps=6, images_per_class=2)
    accuracies = [
        measure(
            member, result.distilled.images, result.distilled.labels, tiny.test, ridge=1e-6
        ).accuracy
        for member in members
    ]
    assert result.test_accuracy == np.mean(accuracies)
    named_there = [each["name"] for each in result.distilled.metadata["architectures"]]
    assert named_there == ["fc1", "fc3"]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_precision_is_that_of_the_kernel_and_the_solve_is_float64(tiny, recorder, precision):
    kip.distill(KERNEL, tiny, key=KEY, steps=1, precision=precision)
    assert recorder.precisions == [(precision, "float64")]


@pytest.mark.usefixtures("without_pictures")
def test_best_state_is_kept(tiny, tmp_path):
    with Run.create(tmp_path / "run", {}) as run:
        # the rate is too large: the loss goes up and down
        result = kip.distill(
            KERNEL, tiny, key=KEY, run=run, steps=60, learning_rate=1.0, images_per_class=2
        )
        lines = [line for line in run.metrics() if "validation_accuracy" in line]
        checkpoint = run.checkpoints.latest()
    measured = {line["step"]: line["validation_accuracy"] for line in lines}
    assert sorted(measured) == [0, 1, 2, 3, 4, 6, 7, 10, 13, 18, 24, 32, 42, 56, 60]
    best = max(measured, key=lambda step: (measured[step], -step))
    metadata = result.distilled.metadata
    assert 0 < best < 60  # else this shows nothing
    assert (metadata["step"], metadata["state"]) == (best, "best")
    assert metadata["metrics"]["validation_accuracy"] == measured[best]
    assert result.validation_accuracy == measured[best]
    assert checkpoint.step == 60
    last, kept = (checkpoint.tensors[f"['{name}']['images']"] for name in ("support", "best"))
    assert np.array_equal(kept.astype("float32"), result.distilled.images)
    assert not np.array_equal(last, kept)


@pytest.mark.usefixtures("without_pictures")
def test_without_validation_images_the_last_state_is_the_result(tiny_without_validation, tmp_path):
    with Run.create(tmp_path / "run", {}) as run:
        result = kip.distill(KERNEL, tiny_without_validation, key=KEY, run=run, steps=9)
        checkpoint = run.checkpoints.latest()
        assert not any("validation_accuracy" in line for line in run.metrics())
    metadata = result.distilled.metadata
    assert (metadata["step"], metadata["state"]) == (9, "last")
    assert result.validation_accuracy is None
    assert metadata["metrics"]["validation_accuracy"] is None
    last = checkpoint.tensors["['support']['images']"]
    assert np.array_equal(last.astype("float32"), result.distilled.images)


@pytest.mark.usefixtures("recorder")  # nothing moves, so nothing gets better
def test_patience(tiny):
    settings = {"key": KEY, "steps": 100}
    assert kip.distill(KERNEL, tiny, **settings).steps == 100
    # validations at 0 (the best) and 1, 2, 3
    assert kip.distill(KERNEL, tiny, patience=3, **settings).steps == 3


def test_patience_without_validation_images(tiny_without_validation):
    with pytest.raises(InputError, match="no validation images"):
        kip.distill(KERNEL, tiny_without_validation, key=KEY, patience=3)


def test_progress_is_reported(tiny):
    told = []
    kip.distill(KERNEL, tiny, key=KEY, steps=5, report=told.append)
    assert [each.step for each in told] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert {each.steps for each in told} == {5}
    assert "validation_accuracy" in told[0].metrics
    assert "loss" in told[1].metrics


@pytest.mark.slow
def test_64_bits_are_not_left_switched_on(tiny):
    assert not jax.config.jax_enable_x64
    kip.distill(KERNEL, tiny, key=KEY, steps=1, precision="float64")
    with pytest.raises(NumericalError):
        kip.distill(KERNEL, tiny, key=KEY, steps=3, optimizer="sgd", learning_rate=1e30)
    assert not jax.config.jax_enable_x64
    assert jnp.zeros(1).dtype == jnp.float32


def test_same_key_same_bits(tiny):
    def run(key):
        return kip.distill(KERNEL, tiny, key=key, steps=4).distilled

    first, again, other = run(KEY), run(KEY), run(jax.random.key(6))
    assert first.images.tobytes() == again.images.tobytes()
    assert first.labels.tobytes() == again.labels.tobytes()
    assert first.images.tobytes() != other.images.tobytes()


@pytest.mark.slow
def test_two_moons():
    points, classes = make_moons(600, noise=0.1, random_state=0)
    dataset = kd.data.from_arrays(points[:400], classes[:400], points[400:], classes[400:])
    result = kip.distill(KERNEL, dataset, key=KEY, images_per_class=5, steps=100, learning_rate=0.1)
    assert result.distilled.images.shape == (10, 2)
    assert result.initial_test_accuracy < 0.85
    assert result.test_accuracy > 0.97


@pytest.fixture(scope="module")
def hundred_classes():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(100), 6)
    images = random.random((100, 4, 4, 3))[labels] + 0.1 * random.standard_normal((600, 4, 4, 3))
    test = np.arange(600) % 6 == 0
    return kd.data.from_arrays(
        images[~test], labels[~test], images[test], labels[test], validation_size=100
    )


@pytest.mark.slow
def test_hundred_classes_with_fewer_images_than_classes(hundred_classes, tmp_path):
    with Run.create(tmp_path / "run", {}) as run:
        result = kip.distill(
            KERNEL, hundred_classes, key=KEY, run=run, support_size=30, steps=40, learning_rate=0.03
        )
    assert result.distilled.images.shape == (30, 4, 4, 3)
    assert result.distilled.labels.shape == (30, 100)
    assert len(set(result.initial.labels.argmax(axis=1))) == 30
    assert result.initial_test_accuracy <= 0.3  # the classes that are there at all
    assert result.test_accuracy > 0.6
    assert (tmp_path / "run" / "images.png").stat().st_size > 0
    assert (tmp_path / "run" / "labels.png").stat().st_size > 0


@pytest.mark.slow
def test_one_compilation_serves_all_steps(tiny, caplog):
    with jax.log_compiles(), caplog.at_level("WARNING"):
        kip.distill(KERNEL, tiny, key=KEY, steps=40, support_size=5, schedule="cosine")
    compiled = [each.getMessage() for each in caplog.records if "Compiling" in each.getMessage()]
    assert sum("jit(step)" in message for message in compiled) == 1
    # nor does anything else compile once a step
    assert len(compiled) < 80


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_loss_that_is_not_finite(tiny, tmp_path, optimizer):
    # sgd: the support overflows; adam: it is so far away that the regression has no solution
    path = tmp_path / "run"
    with (
        Run.create(path, {}) as run,
        pytest.raises(NumericalError, match=r"not finite|no finite solution") as raised,
    ):
        kip.distill(
            KERNEL, tiny, key=KEY, run=run, steps=30, optimizer=optimizer, learning_rate=1e25
        )
    message = str(raised.value)
    for cause in ("ridge", "duplicated", "float64", "learning rate (1e+25)"):
        assert cause in message
    with Run.create(path, {}, resume=True) as run:
        checkpoint = run.checkpoints.latest()
        assert f"The last finite state, of step {checkpoint.step}, is saved in {path}" in message
        for name, array in checkpoint.tensors.items():
            assert np.isfinite(array).all(), name
        with pytest.raises(NumericalError):  # goes on from there, to the same end
            kip.distill(
                KERNEL, tiny, key=KEY, run=run, steps=30, optimizer=optimizer, learning_rate=1e25
            )


def test_a_loss_that_is_not_finite_without_a_run(tiny):
    with pytest.raises(NumericalError, match=r"is too large\.$"):
        kip.distill(KERNEL, tiny, key=KEY, steps=30, optimizer="sgd", learning_rate=1e30)


class TestBadInput:
    def test_more_images_per_class_than_there_are(self, tiny):
        with pytest.raises(InputError, match=r"31 images per class .* class '0' has 30 .*fewer"):
            kip.distill(KERNEL, tiny, key=KEY, images_per_class=31)

    def test_support_larger_than_the_data(self, tiny):
        with pytest.raises(InputError, match=r"support of 91 .* training set of 90"):
            kip.distill(KERNEL, tiny, key=KEY, support_size=91)

    def test_unknown_setting_names_the_nearest(self, tiny):
        with pytest.raises(InputError, match="unknown setting 'step': did you mean 'steps'"):
            kip.distill(KERNEL, tiny, key=KEY, step=3)

    def test_images_too_small_for_the_architecture(self, tiny, tmp_path):
        with pytest.raises(InputError, match=r"convnet pools the image 3 times.*got 5x4"):
            kip.distill(named("convnet").kernel(), tiny, key=KEY)

    def test_tables_are_not_augmented(self):
        points, classes = make_moons(40, random_state=0)
        table = kd.data.from_arrays(points, classes, points, classes)
        with pytest.raises(InputError, match=r"augmentation \(flip\) needs images"):
            kip.distill(KERNEL, table, key=KEY, augment=("flip",))

    def test_convolution_of_a_table(self):
        points, classes = make_moons(40, random_state=0)
        table = kd.data.from_arrays(points, classes, points, classes)
        with pytest.raises(InputError, match=r"Tables go with a fully connected kernel"):
            kip.distill(named("convnet1").kernel(), table, key=KEY)

    def test_class_names_stand_in_the_error(self, tiny):
        dataset = replace(tiny, class_names=("ant", "bee", "cat"))
        with pytest.raises(InputError, match="class 'ant'"):
            kip.distill(KERNEL, dataset, key=KEY, images_per_class=100)
