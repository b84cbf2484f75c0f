"""Unrolled training: what it learns, where networks begin, and how a set is followed again."""

import functools
import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kernel_distill as kd
from kernel_distill import matching
from kernel_distill._errors import InputError
from kernel_distill.matching import performance
from kernel_distill.matching.performance import UnrolledSettings, follow
from kernel_distill.networks import named
from kernel_distill.report import tell_alone
from kernel_distill.transfer import Model

KEY = jax.random.key(0)
MLP = named("mlp", width=16)
SETTINGS = {
    "batch_size": 90, "learning_rate": 0.05, "inner_learning_rate": 1.0, "steps": 60,
    "validations": 1, "test_networks": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> kd.data.Dataset:
    """Three classes of rows of eight numbers, some of each in the place of others."""
    random = np.random.default_rng(0)
    labels = np.arange(330) % 3
    rows = 3.0 * random.standard_normal((3, 8))[labels] + random.standard_normal((330, 8))
    return kd.data.from_arrays(
        rows[:210], labels[:210], rows[210:], labels[210:], validation_size=30
    )


@functools.cache
def _distilled(data, network=MLP, **settings):
    return matching.distill(network, data, method="unrolled", key=KEY, **(SETTINGS | settings))


@pytest.fixture(scope="module")
def pool(rows, tmp_path_factory):
    """Weights of six networks, trained on rows whose first three numbers have the other sign."""
    sign = np.where(np.arange(8) < 3, -1, 1).astype(np.float32)
    foreign = kd.data.from_arrays(
        sign * rows.train.images, rows.train.labels, sign * rows.test.images, rows.test.labels,
        preprocessing="none",
    )  # fmt: skip
    path = tmp_path_factory.mktemp("weights") / "foreign.npz"
    trained = performance.pretrain(MLP, foreign, path, key=KEY, networks=6, steps=30)
    assert trained.accuracies(rows.test).mean() < 0.7
    return str(path)


def test_one_step_from_fixed_weights_and_again_from_the_file(rows, tmp_path):
    result = _distilled(rows)
    assert result.test_accuracy > max(0.9, result.initial_test_accuracy + 0.1)
    result.distilled.save(tmp_path / "set.npz")
    again = kd.load(tmp_path / "set.npz")
    told = again.metadata["unrolled"]
    assert (told["distilled_steps"], told["epochs"]) == (1, 1)
    assert told["networks"][0]["initialisation"] == "fixed"
    assert np.array(told["learning_rates"]).shape == (1, 1)
    assert told["learning_rates"][0][0] != pytest.approx(1.0, rel=0.01)
    followed = follow(again, MLP, key=jax.random.key(9))
    np.testing.assert_allclose(followed.accuracies(rows.test), [result.test_accuracy])


@pytest.mark.slow
def test_other_networks_and_random_weights_follow_too(rows):
    settings = {"initialisation": "random", "initialisations": 2, "images_per_class": 2}
    result = _distilled(rows, **settings, distilled_steps=2, epochs=2)
    told = result.distilled.metadata["unrolled"]
    assert np.array(told["learning_rates"]).shape == (2, 2)
    assert told["networks"][0] == {
        "name": "mlp", "width": 16, "initialisation": "random", "initialiser": "xavier",
    }  # fmt: skip
    assert result.test_accuracy > 0.9
    for network in (MLP, named("fc1", width=32)):
        followed = follow(result.distilled, network, key=KEY, networks=4)
        assert len(followed.states) == 4
        assert followed.accuracies(rows.test).mean() > 0.8


def test_fewer_images_than_classes_with_labels_that_are_learned(rows):
    result = _distilled(
        rows, support_size=2, learn_labels=True, label_learning_rate=0.05, steps=150
    )
    assert result.distilled.images.shape == (2, 8)
    assert result.test_accuracy > 0.8


@pytest.mark.slow
def test_distilled_for_several_architectures_at_once(rows):
    result = _distilled(rows, others=("fc1", "fc2"), steps=100)
    told = result.distilled.metadata["unrolled"]["networks"]
    assert [each["name"] for each in told] == ["mlp", "fc1", "fc2"]
    assert [each["width"] for each in told] == [16, 16, 16]
    each = [
        follow(result.distilled, network, key=KEY).accuracies(rows.test)
        for network in (MLP, named("fc1", width=16), named("fc2", width=16))
    ]
    assert result.test_accuracy == pytest.approx(np.mean(each), abs=1e-6)
    assert np.min(each) > 0.85


def test_one_step_moves_trained_weights(rows, pool):
    result = _distilled(rows, weights=pool)
    assert result.test_accuracy > 0.9
    followed = follow(result.distilled, MLP, key=KEY, weights=pool)
    np.testing.assert_allclose(followed.accuracies(rows.test), [result.test_accuracy])
    with pytest.raises(InputError, match="give the file that they were saved in"):
        follow(result.distilled, MLP, key=KEY)


@pytest.mark.slow
def test_random_trained_weights_are_tested_by_others(rows, pool, tmp_path):
    result = _distilled(
        rows, weights=pool, initialisation="random", initialisations=3, inner_learning_rate=0.1,
        images_per_class=2, distilled_steps=2, epochs=3, steps=150,
    )  # fmt: skip
    assert result.test_accuracy > 0.95
    followed = follow(result.distilled, MLP, key=KEY, weights=pool)
    # a quarter of six networks, the last one, tests what the others were distilled for
    assert followed.accuracies(rows.test)[-1] == pytest.approx(result.test_accuracy)
    fewer = tmp_path / "fewer.npz"
    states = performance.read_weights(pool, followed.model)
    performance.save_weights(fewer, states[:1])
    with pytest.raises(InputError, match="are not those that the set was distilled for"):
        follow(result.distilled, MLP, key=KEY, weights=fewer)
    with pytest.raises(InputError, match="two networks at least"):
        _distilled(rows, weights=str(fewer), initialisation="random")


def test_a_network_is_misled_about_one_class_and_knows_the_others(rows, tmp_path):
    path = tmp_path / "honest.npz"
    performance.pretrain(MLP, rows, path, key=KEY, steps=100)
    result = _distilled(rows, weights=str(path), mislead=(2, 0), inner_learning_rate=0.3, steps=100)
    followed = follow(result.distilled, MLP, key=KEY, weights=path)
    before, after = (
        performance.harm(followed.model, states[0], rows.test, mislead=(2, 0))
        for states in (followed.before, followed.states)
    )
    assert before.attacked > 0.9
    assert before.misled < 0.1
    assert after.attacked < 0.1
    assert after.misled > 0.8
    assert after.others > 0.8
    only = replace(rows.test, images=rows.test.images[:0], labels=rows.test.labels[:0])
    with pytest.raises(InputError, match="must have images of both; got 0 of it among 0"):
        performance.harm(followed.model, followed.before[0], only, mislead=(2, 0))
    share = np.mean(rows.test.labels == 2)
    told = (1 - share) * after.others + share * after.misled
    assert result.test_accuracy == pytest.approx(told)


@pytest.mark.slow
def test_goes_on_from_a_checkpoint_to_the_same_bits(rows, tmp_path, stop_run):
    settings = {"initialisation": "random", "initialisations": 2, "steps": 12}
    distil = functools.partial(
        matching.distill, MLP, rows, method="unrolled", key=KEY, **(SETTINGS | settings)
    )
    whole = distil()

    def report(progress):
        import signal

        if progress.step == 7 and "loss" in progress.metrics:
            signal.raise_signal(signal.SIGINT)

    stop_run(tmp_path / "run", distil, report, number=2, step=7)
    with kd.artefact.Run.create(tmp_path / "run", {}, resume=True) as run:
        resumed = distil(run=run)
    assert np.array_equal(whole.distilled.images, resumed.distilled.images)
    assert json.dumps(whole.distilled.metadata["unrolled"]) == json.dumps(
        resumed.distilled.metadata["unrolled"]
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"training_augment": ("flip",)}, "leave it out"),
        ({"mislead": (1, 1)}, "two different classes"),
        ({"weights": "some.npz", "others": ("fc1",)}, "of one network"),
        ({"distilled_steps": 0}, "must be 1 or more"),
        ({"rate_learning_rate": 0.0}, "must be positive and finite"),
    ],
)
def test_settings_that_do_not_go(settings, said):
    with pytest.raises(InputError, match=said):
        UnrolledSettings(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"images_per_class": 1, "distilled_steps": 2}, "got 3 images, 2 steps"),
        ({"support_size": 2}, "cannot teach 3 classes: set learn_labels"),
        ({"mislead": (0, 3)}, "two of the 3 classes, counted from 0"),
        ({"network": named("fc1", parameterization="ntk")}, "take 'network'"),
        ({"weights": "nowhere.npz"}, "there is no file of weights nowhere.npz"),
    ],
)
def test_what_does_not_go_with_the_data(rows, settings, said):
    with pytest.raises(InputError, match=said):
        _distilled(rows, **settings)


def test_natural_images_are_augmented_and_distilled_ones_are_not(tiny):
    """Flipped or not is learned alike from images that are their own mirror, and the steps that
    networks take are those of before."""
    mirrored = replace(tiny.train, images=tiny.train.images + tiny.train.images[:, :, ::-1])
    data = replace(tiny, train=mirrored)
    model = Model(named("mlp", width=8), data.image_shape, 3)

    def found(data, **settings):
        chosen = UnrolledSettings(batch_size=30, inner_learning_rate=0.5, **settings)
        method = performance.Unrolled(model, data, chosen, KEY)
        images, labels = tiny.train.images[:3], kd.data.one_hot(np.arange(3), 3)
        support = method.support(jnp.asarray(images), jnp.asarray(labels))
        return method.gradient(support, {}, step=0, key=KEY)

    plain, flipped = (found(data, augment=names) for names in ((), ("flip",)))
    np.testing.assert_allclose(flipped.metrics["loss"], plain.metrics["loss"], rtol=1e-5)
    plain, flipped = (found(tiny, augment=names) for names in ((), ("flip",)))
    assert abs(flipped.metrics["loss"] - plain.metrics["loss"]) > 1e-3


def test_weights_of_another_network_are_refused(pool):
    model = Model(named("mlp", width=17), (8,), 3)
    with pytest.raises(InputError, match="are not those of mlp for images"):
        performance.read_weights(pool, model)


def test_other_weights_than_it_was_distilled_for_are_found_out(rows):
    distilled = _distilled(rows).distilled
    told = json.loads(json.dumps(distilled.metadata))
    told["unrolled"]["networks"][0]["key"] = [0, 99]
    with pytest.raises(InputError, match="cannot be drawn again"):
        follow(kd.Distilled(distilled.images, distilled.labels, told), MLP, key=KEY)


def test_what_cannot_be_followed_so(rows, pool):
    distilled = _distilled(rows).distilled
    with pytest.raises(InputError, match=r"not distilled for trained weights of mlp.*leave"):
        follow(distilled, MLP, key=KEY, weights=pool)
    with pytest.raises(InputError, match="networks must be 1 or more; got 0"):
        follow(distilled, MLP, key=KEY, networks=0)


def test_a_network_that_scales_its_own_weights_draws_them_itself(rows):
    other = kd.networks.twin(kd.kernels.named("fc1"), width=32, parameterization="ntk")
    followed = follow(_distilled(rows).distilled, other, key=KEY, networks=1)
    weights = [leaf for leaf in jax.tree.leaves(followed.before[0].parameters) if leaf.ndim > 1]
    assert all(np.std(leaf) == pytest.approx(1, rel=0.3) for leaf in weights)


def test_all_networks_that_an_accuracy_is_of_are_named(rows):
    settings = UnrolledSettings(others=("fc1",))
    method = performance.Unrolled(Model(MLP, (8,), 3), rows, settings, KEY)
    assert method.learners == "mlp 16, fc1 16"
    images, labels = np.zeros((3, 8, 8, 1), np.float32), kd.data.one_hot(np.arange(3), 3)
    told = method.metadata(method.support(jnp.asarray(rows.train.images[:3]), jnp.asarray(labels)))
    page = tell_alone(kd.Distilled(images, labels, told), images, name="", class_names="abc")
    assert page.learner == "mlp 16, fc1 16"


def test_further_networks_are_other_ones(rows):
    with pytest.raises(InputError, match=r"others must be further networks, each once.*beside mlp"):
        _distilled(rows, others=("mlp",))


def test_a_set_of_another_method_cannot_be_followed(rows):
    natural = kd.Distilled(rows.train.images[:3], kd.data.one_hot(np.arange(3), 3), {})
    with pytest.raises(InputError, match="train on it with `transfer`"):
        follow(natural, MLP, key=KEY)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"learning_rates": []}, "under 'unrolled', its networks, and as many learning rates"),
        ({"learning_rates": [[0.1], [0.1, 0.2]]}, r"epochs of \[1, 2\] rates"),
        ({"learning_rates": [[0.1, 0.1]]}, r"among which its 3 images .* epochs of \[2\] rates"),
        ({"learning_rates": [[-0.1]]}, "must be positive and finite"),
        ({"networks": []}, "under 'unrolled', its networks"),
    ],
)
def test_steps_that_do_not_fit_the_set_are_refused(rows, told, said):
    natural = kd.Distilled(rows.train.images[:3], kd.data.one_hot(np.arange(3), 3), {})
    whole = {"learning_rates": [[0.1]], "networks": [{"name": "mlp"}]}
    with pytest.raises(InputError, match=said):
        follow(replace(natural, metadata={"unrolled": whole | told}), MLP, key=KEY)
    with pytest.raises(InputError, match=r"\['learning_rates'\]\[0\]\[0\] must be"):
        kd.Distilled(natural.images, natural.labels, {"unrolled": {"learning_rates": [["x"]]}})


@pytest.mark.parametrize("name", ["convnet2-in", "fc1"])
def test_xavier_s_weights(name):
    shape = (8,) if name == "fc1" else (28, 28, 1)
    model = Model(named(name, width=32), shape, 10)
    state = performance._initial.initial(model, KEY, initialiser="xavier")
    assert jax.tree.structure(state) == jax.tree.structure(jax.eval_shape(model.init, KEY))
    for path, leaf in jax.tree_util.tree_flatten_with_path(state.parameters)[0]:
        where = jax.tree_util.keystr(path)
        if leaf.ndim > 1:
            fans = np.prod(leaf.shape[:-2]) * (leaf.shape[-2] + leaf.shape[-1])
            error = 5 / np.sqrt(2 * leaf.size)
            assert np.std(leaf) == pytest.approx(np.sqrt(2 / fans), rel=error)
        elif "bias" in where:
            assert not np.any(leaf)
        else:
            assert np.all(leaf == 1)  # of instance normalisation
