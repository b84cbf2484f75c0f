"""TensorFlow Datasets: the prepared sets of the shared data, and small ones made here."""

import subprocess
import sys

import numpy as np
import pytest

from kernel_distill import data
from kernel_distill._errors import InputError, UnknownNameError


@pytest.fixture(scope="module")
def tfds():
    from kernel_distill._tensorflow import import_tfds, quietly

    with quietly():
        return import_tfds()


# the numbers of each class, the first labels and the sum of the first image's pixels as
# tfds.load(name, split, batch_size=-1) gives them
SHARED = {
    "mnist": (
        (28, 28, 1),
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
        ([4, 1, 0, 7, 8], 16400),
        ([2, 0, 4, 8, 7], 33963),
    ),
    "fashion_mnist": (
        (28, 28, 1),
        [6000] * 10,
        [1000] * 10,
        ([2, 1, 8, 4, 1], 42826),
        ([4, 4, 9, 7, 5], 63356),
    ),
    "cifar10": (
        (32, 32, 3),
        [5000] * 10,
        [1000] * 10,
        ([7, 8, 4, 4, 6], 447224),
        ([7, 0, 6, 9, 5], 434684),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_shared_sets(shared, name):
    shape, train_counts, test_counts, *first = SHARED[name]
    loaded = data.load(name, data_dir=shared / "tfds", preprocessing="none", validation_size=0)
    assert loaded.name == name
    assert loaded.version.startswith("3.0.")
    assert loaded.image_shape == shape
    assert loaded.class_names[0] == {"mnist": "0", "cifar10": "airplane"}.get(name, "T-shirt/top")
    assert np.bincount(loaded.train.labels).tolist() == train_counts
    assert np.bincount(loaded.test.labels).tolist() == test_counts
    for split, (labels, pixels) in zip((loaded.train, loaded.test), first, strict=True):
        assert split.labels[:5].tolist() == labels
        assert round(float((split.images[0].astype(np.float64) * 255).sum())) == pixels


def examples(count, *, seed=0, shape=(6, 5, 3), **more):
    random = np.random.default_rng(seed)
    return [
        {
            "picture": random.integers(0, 256, shape(index) if callable(shape) else shape).astype(
                np.uint8
            ),
            "kind": index % 3,
            **more,
        }
        for index in range(count)
    ]


def store(tfds, data_dir, name, splits, *, shape=(6, 5, 3), **features):
    return tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.2.3",
        features=tfds.features.FeaturesDict(
            {
                "picture": tfds.features.Image(shape=shape, encoding_format="png"),
                "kind": tfds.features.ClassLabel(names=["ant", "bee", "cat"]),
                **features,
            }
        ),
        split_datasets={name: list(enumerate(split)) for name, split in splits.items()},
        data_dir=data_dir,
        disable_shuffling=True,
    )


def test_a_set_of_ones_own(tfds, tmp_path):
    train, test = examples(40, note="n"), examples(7, seed=1, note="n")
    store(tfds, tmp_path, "tiny", {"train": train, "test": test}, note=tfds.features.Text())
    loaded = data.load("tiny", data_dir=tmp_path, preprocessing="none", validation_size=0)
    assert (loaded.name, loaded.version) == ("tiny", "1.2.3")
    assert loaded.class_names == ("ant", "bee", "cat")
    for split, expected in ((loaded.train, train), (loaded.test, test)):
        assert split.labels.tolist() == [example["kind"] for example in expected]
        pictures = np.stack([example["picture"] for example in expected])
        np.testing.assert_allclose(split.images, pictures / 255, rtol=1e-6)
    assert data.load("tiny", data_dir=tmp_path).preprocessing.recipe["data"] == "tiny 1.2.3"


def test_validation_stands_in_for_a_missing_or_unlabelled_test_set(tfds, tmp_path):
    unlabelled = [example | {"kind": -1} for example in examples(5)]
    splits = {"train": examples(30), "validation": examples(9), "test": unlabelled}
    store(tfds, tmp_path, "unlabelled", splits)
    assert len(data.load("unlabelled", data_dir=tmp_path).test) == 9
    del splits["test"]
    store(tfds, tmp_path, "without", splits)
    loaded = data.load("without", data_dir=tmp_path)
    assert (len(loaded.train), len(loaded.test)) == (27, 9)
    assert not loaded.test_held_out


def test_test_images_are_held_out_of_a_set_with_one_part(tfds, tmp_path):
    store(tfds, tmp_path, "single", {"train": examples(30)})
    loaded = data.load("single", data_dir=tmp_path)
    assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (22, 2, 6)
    assert loaded.test_held_out


def test_set_without_training_images(tfds, tmp_path):
    store(tfds, tmp_path, "strange", {"everything": examples(30)})
    with pytest.raises(InputError, match=r"must have a split 'train'; got \['everything'\].*\.npz"):
        data.load("strange", data_dir=tmp_path)


def test_images_of_different_sizes(tfds, tmp_path):
    splits = {"train": examples(30, shape=lambda index: (6 + index % 2, 9, 3))}
    store(tfds, tmp_path, "ragged", splits, shape=(None, None, 3))
    with pytest.raises(InputError, match=r"those of 'ragged' have 6x9 and 7x9.*image_size"):
        data.load("ragged", data_dir=tmp_path)
    loaded = data.load("ragged", data_dir=tmp_path, image_size=4)
    assert loaded.image_shape == (4, 4, 3)
    assert np.isfinite(loaded.train.images).all()


def test_images_of_one_size_that_is_not_declared(tfds, tmp_path):
    train = examples(30)
    store(tfds, tmp_path, "undeclared", {"train": train}, shape=(None, None, 3))
    assert data.load("undeclared", data_dir=tmp_path).image_shape == (6, 5, 3)


def test_sets_of_another_kind(tfds, tmp_path):
    pair = [example | {"other": example["picture"]} for example in examples(30)]
    store(tfds, tmp_path, "pairs", {"train": pair}, other=tfds.features.Image(shape=(6, 5, 3)))
    with pytest.raises(InputError, match=r"one image and one class label.*'other', 'picture'"):
        data.load("pairs", data_dir=tmp_path)


def test_preparing_and_failing_to(tfds, tmp_path):
    class PreparedOnDemand(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        offline = True

        def _info(self):
            features = tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(6, 5, 3)),
                    "label": tfds.features.ClassLabel(num_classes=3),
                }
            )
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            if PreparedOnDemand.offline:
                raise ConnectionError("Name or service not known")
            return {"train": self._generate_examples(24), "test": self._generate_examples(6)}

        def _generate_examples(self, count):
            for index, example in enumerate(examples(count)):
                yield index, {"image": example["picture"], "label": example["kind"]}

    with pytest.raises(
        InputError, match=r"(?s)could not be prepared.*Name or service.*data_dir.*TFDS_DATA_DIR"
    ):
        data.load("prepared_on_demand", data_dir=tmp_path)
    PreparedOnDemand.offline = False
    loaded = data.load("prepared_on_demand", data_dir=tmp_path)
    assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (22, 2, 6)
    assert loaded.class_names == ("0", "1", "2")


def test_unknown_names(tmp_path):
    with pytest.raises(UnknownNameError, match=r"(?s)did you mean .*'mnist'.*\.npz.*folder"):
        data.load("mnnist", data_dir=tmp_path)
    with pytest.raises(UnknownNameError, match="'digits'"):
        data.load("digit", data_dir=tmp_path)
    for name in ("mnist/nonsense", "mnist:9.9.9", "no such thing"):
        with pytest.raises(InputError, match=name):
            data.load(name, data_dir=tmp_path)


def test_environment_variable_and_a_folder_of_the_same_name(tfds, tmp_path, monkeypatch):
    store(tfds, tmp_path / "sets", "tiny", {"train": examples(40)})
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "sets"))
    assert data.load("tiny").version == "1.2.3"
    with pytest.raises(InputError, match="folder a class"):
        data.load("./tiny")


QUIET = """
import os, sys
from kernel_distill import data
assert "tensorflow" not in sys.modules
before = dict(os.environ)
data.load("tiny", data_dir=sys.argv[1])
import tensorflow as tf
assert dict(os.environ) == before
assert tf.config.get_visible_devices("GPU") == []
print("still heard", file=sys.stderr)
"""


@pytest.mark.slow
def test_reading_is_quiet_and_leaves_the_gpu_alone(tfds, tmp_path):
    store(tfds, tmp_path, "tiny", {"train": examples(40)})
    ran = subprocess.run(
        [sys.executable, "-c", QUIET, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr, ran.stdout) == (0, "still heard\n", "")


PREPARE = """
import sys
import numpy as np
from kernel_distill._tensorflow import import_tfds, quietly
from kernel_distill.data import _tfds
with quietly():
    tfds = import_tfds()

class Slow(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(4, 4, 1)),
                "label": tfds.features.ClassLabel(num_classes=2),
            }
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, manager):
        with open(sys.argv[2], "a") as file:
            file.write("prepared\\n")
        return {"train": self._generate_examples(), "test": self._generate_examples()}

    def _generate_examples(self):
        import time
        for number in range(20):
            time.sleep(0.05)
            yield number, {"image": np.full((4, 4, 1), number, np.uint8), "label": number % 2}

print(_tfds.read_tfds("slow", data_dir=sys.argv[1], image_size=None).train_images.sum())
"""


@pytest.mark.slow
def test_two_processes_prepare_a_set_once(tmp_path):
    """Those of a run all begin with it; tensorflow_datasets has but the first succeed."""
    script, told = tmp_path / "prepare.py", tmp_path / "told.txt"
    script.write_text(PREPARE)
    command = [sys.executable, str(script), str(tmp_path / "data"), str(told)]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out.split()[-1] == str(16 * sum(range(20)))
    assert told.read_text() == "prepared\n"
