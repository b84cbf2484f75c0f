"""Baselines against scikit-learn, and against herding and k-centre written out from the papers."""

from dataclasses import replace
from itertools import combinations

import jax
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier

import kernel_distill as kd
from kernel_distill.supports import herding
from kernel_distill.transfer import BASELINES, baseline, nearest_neighbour
from kernel_distill.transfer._prototypes import k_center, k_means

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).standard_normal((17, 5)) ** 3


def flat(images):
    return images.reshape(len(images), -1)


def test_herding_keeps_the_mean(rows):
    chosen = herding(rows, 6)
    for size in range(1, 7):
        others = [index for index in range(len(rows)) if index not in chosen[: size - 1]]
        # Rebuffi et al. 2017, algorithm 4
        distances = [
            np.linalg.norm(rows.mean(axis=0) - rows[[*chosen[: size - 1], index]].mean(axis=0))
            for index in others
        ]
        assert chosen[size - 1] == others[np.argmin(distances)]
    assert sorted(herding(rows, len(rows))) == list(range(len(rows)))


def test_k_center_leaves_no_row_far(rows):
    def radius(centres):
        return max(min(np.linalg.norm(row - rows[c]) for c in centres) for row in rows)

    chosen = k_center(rows, 4)
    assert chosen[0] == np.argmin([np.linalg.norm(row - rows.mean(axis=0)) for row in rows])
    for size in range(1, 4):
        nearest = [min(np.linalg.norm(row - rows[c]) for c in chosen[:size]) for row in rows]
        assert chosen[size] == np.argmax(nearest)
    # Gonzalez 1985: twice the best of all choices at most
    assert radius(chosen) <= 2 * min(radius(centres) for centres in combinations(range(17), 4))


def test_no_row_twice_even_among_equal_ones():
    equal = np.ones((5, 2))
    assert sorted(k_center(equal, 5)) == sorted(herding(equal, 5)) == list(range(5))


def test_k_means_are_those_of_scikit_learn(digits):
    rows = flat(digits.train.images[digits.train.labels == 3]).astype(np.float64)
    expected = KMeans(4, n_init=1, random_state=7).fit(rows)
    found = k_means(rows, 4, seed=7)
    np.testing.assert_allclose(found, expected.cluster_centers_, rtol=1e-9, atol=1e-9)
    # in the set, every centre is the mean of what is nearest to it in its class
    of_class = baseline("kmeans", digits, images_per_class=4, key=KEY)
    centres = flat(of_class.images[of_class.labels.argmax(axis=1) == 3])
    nearest = np.argmin(((rows[:, None] - centres) ** 2).sum(axis=2), axis=1)
    means = [rows[nearest == centre].mean(axis=0) for centre in range(4)]
    np.testing.assert_allclose(centres, means, atol=1e-4)


@pytest.mark.parametrize("name", BASELINES)
def test_as_many_of_each_class_and_the_same_by_the_same_key(digits, name):
    first, again, other = (
        baseline(name, digits, images_per_class=3, key=jax.random.key(seed)) for seed in (1, 1, 2)
    )
    assert first.images.shape[1:] == digits.image_shape
    counts = {"average": [1] * 10, "full": np.bincount(digits.train.labels).tolist()}
    classes = first.labels.argmax(axis=1)
    assert np.bincount(classes).tolist() == counts.get(name, [3] * 10)
    np.testing.assert_array_equal(first.labels, kd.data.one_hot(np.sort(classes), 10))
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.images, other.images) == (
        name in ("average", "herding", "kcenter", "full")
    )
    if name not in ("kmeans", "average"):  # training images of the class that they are said to be
        known = {
            image.tobytes(): label
            for image, label in zip(digits.train.images, digits.train.labels, strict=True)
        }
        assert [known[image.tobytes()] for image in first.images] == classes.tolist()
    assert first.metadata["method"] == name


def test_evaluate_takes_them(digits):
    kernel = kd.kernels.FullyConnected(depth=1).kernel("ntk")
    averages = baseline("average", digits, images_per_class=1, key=KEY)
    assert kd.evaluate(averages, digits.test, kernel=kernel).accuracy > 0.9
    with pytest.raises(kd.InputError, match="pass one as kernel="):
        kd.evaluate(averages, digits.test)


def test_what_has_a_number_of_its_own_fits_scarce_classes(digits):
    for name in ("average", "full"):
        found = baseline(name, digits, images_per_class=1000, key=KEY)
        assert found.metadata["settings"] == {}


def test_average(digits):
    found = baseline("average", digits, images_per_class=1, key=KEY).images
    for label in range(10):
        mean = digits.train.images[digits.train.labels == label].astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(found[label], mean, atol=1e-6)


def test_optimised_is_one_of_the_best_fifth(digits):
    judged = []

    def judge(distilled):
        judged.append(float(distilled.images.std()))
        return judged[-1]

    found = baseline("optimised", digits, images_per_class=2, key=KEY, judge=judge)
    assert len(set(judged)) == 25
    assert float(found.images.std()) in sorted(judged)[-5:]

    def mean_accuracy(name):
        kernel = kd.kernels.FullyConnected(depth=1).kernel("ntk")
        return np.mean(
            [
                kd.evaluate(
                    baseline(name, digits, images_per_class=1, key=jax.random.key(seed)),
                    digits.test,
                    kernel=kernel,
                ).accuracy
                for seed in range(4)
            ]
        )

    # on the test set too, which the default judge has not seen
    assert mean_accuracy("optimised") > mean_accuracy("random") + 0.03


def test_nearest_neighbour(digits):
    prototypes = baseline("random", digits, images_per_class=5, key=KEY)
    classifier = KNeighborsClassifier(1).fit(
        flat(prototypes.images), prototypes.labels.argmax(axis=1)
    )
    expected = classifier.score(flat(digits.test.images), digits.test.labels)
    assert nearest_neighbour(prototypes, digits) == expected > 0.7
    raw = kd.data.load("digits", preprocessing="none")
    with pytest.raises(kd.InputError, match="was made with preprocessing"):
        nearest_neighbour(prototypes, raw)
    empty = replace(digits.test, images=digits.test.images[:0], labels=digits.test.labels[:0])
    with pytest.raises(kd.InputError, match="nothing to evaluate on"):
        nearest_neighbour(prototypes, replace(digits, test=empty))


@pytest.mark.parametrize(
    ("name", "images_per_class", "match"),
    [
        ("kmean", 1, "did you mean 'kmeans'"),
        ("nearest-kmeans", 1, "take nearest_neighbour of the baseline 'kmeans'"),
        ("random", 0, "images_per_class must be 1 or more"),
        ("herding", 1000, r"1000 images per class were asked for; class '\d'"),
    ],
)
def test_what_is_refused(digits, name, images_per_class, match):
    with pytest.raises(kd.InputError, match=match):
        baseline(name, digits, images_per_class=images_per_class, key=KEY)
    without = kd.data.load("digits", validation_size=0)
    with pytest.raises(kd.InputError, match="hold some out"):
        baseline("optimised", without, images_per_class=1, key=KEY)
