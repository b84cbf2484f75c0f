"""Files in the layouts of others, written as their authors' programs write them."""

import jax
import numpy as np
import pytest
from PIL import Image

import kernel_distill as kd
from kernel_distill import data, foreign
from kernel_distill._errors import MissingExtraError
from kernel_distill.evaluation import measure
from kernel_distill.foreign import Told
from kernel_distill.kernels import named

FC1 = named("fc1").kernel("ntk")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "ConvNet_ssize100_zca_nol_noaug_ckpt1000.npz",
            Told("kip", None, "zca", "convnet", 100, None, False, False, 1000),
        ),
        (
            "kip_fashion_mnist_ConvNet3_ssize10_nozca_l_aug_ckpt0.npz",
            Told("kip", "fashion_mnist", "standardise", "convnet3", 10, None, True, True, 0),
        ),
        (
            "ConvNet_ssize500_zca.npz",
            Told("label-solve", None, "zca", "convnet", 500, None, True, False, None),
        ),
        (
            "res_DSA_CIFAR10_ConvNet_50ipc.pt",
            Told("dsa", "cifar10", images_per_class=50, labels_learned=False),
        ),
        (
            "res_FashionMNIST_ConvNet_1ipc.pt",
            Told("dc", "fashion_mnist", images_per_class=1, labels_learned=False),
        ),
        (
            "res_DM_SVHN_ConvNetBN_10ipc.pt",
            Told("dm", "svhn_cropped", images_per_class=10, labels_learned=False),
        ),
        ("best.npz", Told()),
        ("ConvNet_ssize100_zca_nol_noaug_ckpt1000.npz.part", Told()),
        ("ConvNet_ssize0_zca.npz", Told()),
        ("my_ConvNet_ssize10_zca.npz", Told()),
    ],
)
def test_what_names_tell(name, told):
    assert foreign.told_by_name(f"some/folder/{name}") == told


def test_kip_release(digits, support, tmp_path):
    images, classes = support
    path = tmp_path / "ConvNet_ssize20_nozca_nol_noaug_ckpt1000.npz"
    # channels last, preprocessed; labels one-hot minus 1/C
    labels = np.eye(10)[classes] - 0.1
    np.savez(path, images=images.astype(np.float64), labels=labels)
    distilled = foreign.read(path, digits)
    np.testing.assert_array_equal(distilled.images, images)
    np.testing.assert_allclose(distilled.labels, labels, atol=1e-7)
    metadata = distilled.metadata
    assert metadata["method"] == "kip"
    assert metadata["architecture"] == named("convnet").to_metadata()
    assert (metadata["kernel"], metadata["ridge"]) == ("ntk", 1e-6)
    assert metadata["label_convention"] == data.LABEL_CONVENTION
    assert metadata["origin"]["labels"] == "rows that sum to 0"
    assert metadata["origin"]["told_by_name"]["step"] == 1000
    assert kd.evaluate(distilled, digits.test, kernel=FC1).accuracy == (
        measure(FC1, images, labels.astype(np.float32), digits.test, ridge=1e-6).accuracy
    )
    # as this project's own file: everything is in it
    distilled.save(tmp_path / "own.npz")
    own = kd.load(tmp_path / "own.npz")
    again = data.load_again(own.metadata)
    np.testing.assert_array_equal(again.test.images, digits.test.images)


def test_rfad(digits, support, tmp_path):
    images, classes = support
    labels = (np.eye(10)[classes] - 0.1).astype(np.float32)
    # as its distillation.py saves the best state: channels first
    np.savez(
        tmp_path / "best.npz",
        images=images.transpose(0, 3, 1, 2),
        labels=labels,
        valid_loss=0.02,
        k=np.array(1.5),
        jit=5e-3,
        best_iter=4000,
    )
    distilled = foreign.read(tmp_path / "best.npz", digits, preprocessing="standardise")
    np.testing.assert_array_equal(distilled.images, images)
    metadata = distilled.metadata
    assert (metadata["method"], metadata["ridge"], metadata["kernel"]) == ("rfad", 5e-3, "nngp")
    assert metadata["architecture"]["name"] == "convnet3"


def test_channels_first_and_last(cifar10, tmp_path):
    images, labels = cifar10.train.images[:30], data.one_hot(cifar10.train.labels[:30], 10)
    for written in (images, images.transpose(0, 3, 1, 2)):
        np.savez(tmp_path / "a.npz", images=written, labels=labels)
        read = foreign.read(tmp_path / "a.npz", cifar10, preprocessing="standardise")
        np.testing.assert_array_equal(read.images, images)
        assert "architecture" not in read.metadata


def test_dc_dsa_dm(cifar10, torch, tmp_path):
    random = np.random.default_rng(0)
    sets = [random.normal(size=(20, 3, 8, 8)).astype(np.float32) for _ in range(2)]
    content = {
        # as main.py saves it, accuracies as NumPy's numbers among them
        "data": [[torch.from_numpy(each), torch.arange(10).repeat_interleave(2)] for each in sets],
        "accs_all_exps": {"ConvNet": [np.float64(0.5), 0.25]},
    }
    path = tmp_path / "res_DSA_CIFAR10_ConvNet_2ipc.pt"
    for new_layout in (True, False):
        torch.save(content, path, _use_new_zipfile_serialization=new_layout)
        for index, written in enumerate(sets):
            read = foreign.read(path, cifar10, preprocessing="dc", index=index)
            # what its vis_*.png shows, by its own constants, then standardised as here
            channels = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]
            mean, std = (np.array(each)[:, None, None] for each in channels)
            seen = (written * std + mean).transpose(0, 2, 3, 1)
            np.testing.assert_allclose(
                read.images, cifar10.preprocessing.apply(seen.astype(np.float32)), atol=1e-5
            )
            np.testing.assert_array_equal(
                read.labels, data.one_hot(np.repeat(np.arange(10), 2), 10)
            )
            assert read.metadata["origin"]["sets"] == 2
    with pytest.raises(kd.InputError, match="2 sets, numbered from 0 to 1; got 2"):
        foreign.read(path, cifar10, preprocessing="dc", index=2)
    taken = foreign.read(path, cifar10, preprocessing="standardise")
    np.testing.assert_array_equal(taken.images, sets[0].transpose(0, 2, 3, 1))


def test_pt_of_other_layouts(cifar10, torch, tmp_path):
    path = tmp_path / "a.pt"
    images, labels = torch.zeros(10, 3, 8, 8), torch.arange(10)
    for content, got in (
        (images, "a Tensor"),
        ({"images": images, "labels": labels}, "a dict of 'images', 'labels'"),
        ({"data": []}, "a dict of 'data'"),
        ({"data": [images]}, r"data\[0\], a Tensor"),
        ({"data": [[images, [0] * 10]]}, "of real numbers; got list"),
        ({"data": [[images.to_sparse(), labels]]}, r"got Tensor of torch.float32, torch\.sparse"),
        ({"data": [[images.to("meta"), labels]]}, "float32, torch.strided, on meta"),
        ({"data": [[torch.conj(images * 1j), labels]]}, "torch.complex64"),
    ):
        torch.save(content, path)
        with pytest.raises(kd.InputError, match=got):
            foreign.read(path, cifar10, preprocessing="dc")


def test_torch_is_asked_for(cifar10, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    (tmp_path / "a.pt").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"pip install 'kernel-distill\[torch\]'"):
        foreign.read(tmp_path / "a.pt", cifar10, preprocessing="dc")


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_folder_of_images(digits, mode, tmp_path):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (20, 8, 8), np.uint8)
    for number, image in enumerate(pixels):
        folder = tmp_path / "set" / str(number // 2)
        folder.mkdir(parents=True, exist_ok=True)
        # torchvision's save_image writes grey images as RGB
        Image.fromarray(image).convert(mode).save(folder / f"{number:02}.png")
    read = foreign.read(tmp_path / "set", digits, preprocessing="standardise")
    expected = digits.preprocessing.apply(pixels[..., None])
    np.testing.assert_array_equal(read.images, expected)
    np.testing.assert_array_equal(read.labels.argmax(1), np.arange(20) // 2)
    assert read.metadata["origin"]["labels"] == "numbers of classes"


def test_folders_named_after_classes_or_numbers(cifar10, tmp_path):
    names = [f"class {index}" for index in range(10)]
    named_classes = data.from_arrays(
        np.zeros((40, 4, 4, 3), np.uint8) + np.arange(40, dtype=np.uint8)[:, None, None, None],
        np.arange(40) % 10,
        class_names=names,
    )
    for folders in (names, [str(index) for index in range(10)]):
        for number, folder in enumerate(folders):
            (tmp_path / folders[0][:5] / folder).mkdir(parents=True)
            pixels = np.full((4, 4, 3), number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / folders[0][:5] / folder / "a.png")
        read = foreign.read(tmp_path / folders[0][:5], named_classes, preprocessing="standardise")
        order = read.images[:, 0, 0, 0].argsort()  # brighter with the number
        np.testing.assert_array_equal(read.labels[order].argmax(1), np.arange(10))
    (tmp_path / "class" / "class 3").rename(tmp_path / "class" / "class 33")
    with pytest.raises(kd.InputError, match=r"named after the classes.*got class 33"):
        foreign.read(tmp_path / "class", named_classes, preprocessing="standardise")


def centred(classes):
    return np.eye(10)[classes] - 0.1


@pytest.mark.parametrize(
    "case",
    [
        (lambda classes: classes, "numbers of classes", centred),
        (lambda classes: classes.astype(np.uint8), "numbers of classes", centred),
        (lambda classes: np.eye(10)[classes], "rows that sum to 1", centred),
        (
            lambda classes: np.asarray(jax.nn.softmax(3 * np.eye(10)[classes])),
            "rows that sum to 1",
            lambda classes: np.asarray(jax.nn.softmax(3 * np.eye(10)[classes])) - 0.1,
        ),
        (centred, "rows that sum to 0", centred),
        (
            lambda classes: 2 * np.eye(10)[classes],
            "rows that sum to neither 0 nor 1",
            lambda classes: 2 * np.eye(10)[classes],
        ),
    ],
)
def test_labels(digits, support, tmp_path, case):
    write, convention, expected = case
    images, classes = support
    np.savez(tmp_path / "a.npz", images=images, labels=write(classes))
    read = foreign.read(tmp_path / "a.npz", digits, preprocessing="standardise")
    np.testing.assert_allclose(read.labels, expected(classes), atol=1e-6)
    assert read.metadata["origin"]["labels"] == convention
    known = convention != "rows that sum to neither 0 nor 1"
    assert (read.metadata["label_convention"] == data.LABEL_CONVENTION) == known
    assert convention in foreign.describe(read)


def test_whitened_images_go_with_whitened_data(natural, tmp_path):
    pixels, classes = natural.cifar10_images[:, 2::4, 2::4], natural.cifar10_labels
    loaded = data.from_arrays(pixels, classes, name="cifar10", preprocessing="zca")
    chosen = np.concatenate([np.flatnonzero(loaded.train.labels == c)[:1] for c in range(10)])
    path = tmp_path / "ConvNet_ssize10_zca_nol_noaug_ckpt1000.npz"
    labels = data.one_hot(loaded.train.labels[chosen], 10)
    np.savez(path, images=loaded.train.images[chosen], labels=labels)
    read = foreign.read(path, loaded)
    np.testing.assert_array_equal(read.images, loaded.train.images[chosen])
    other = data.from_arrays(pixels, classes, name="cifar10")
    with pytest.raises(kd.InputError, match=r"preprocessing='zca'; this one has 'standardise'"):
        foreign.read(path, other)
