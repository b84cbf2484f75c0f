"""Sets written for other tools: what their loaders ask for, and what comes back."""

import csv
import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import kernel_distill as kd
from kernel_distill import data, foreign

WITH_TORCH = ("dc", "dc-bench", "dd-ranking")


@pytest.fixture
def write(request, tmp_path, distilled):
    """Writes a set, by default that of digits; gives the path. Formats of torch skip without."""

    def write(form, chosen=distilled, **settings):
        if form in WITH_TORCH:
            request.getfixturevalue("torch")
        path = tmp_path / ("dc.pt" if form == "dc" else form)
        write.notes = foreign.write(chosen, path, format=form, **settings)
        return path

    return write


def in_classes(distilled):
    order = np.argsort(distilled.labels.argmax(1), kind="stable")
    return distilled.images[order], distilled.labels[order]


@pytest.mark.parametrize(
    "form", ["npz-kip", *WITH_TORCH, "parquet", pytest.param("tfds", marks=pytest.mark.slow)]
)
def test_read_again(form, write, distilled):
    path = write(form)
    dataset = foreign.load_data(path)
    assert dataset.name == "digits"
    again = foreign.read(path, dataset)
    images, labels = distilled.images, distilled.labels
    if form in WITH_TORCH:  # their tools want the classes after each other
        images, labels = in_classes(distilled)
    np.testing.assert_array_equal(again.images, images)
    np.testing.assert_array_equal(again.labels, labels)
    origin = again.metadata.pop("origin")
    assert again.metadata == distilled.metadata
    assert origin["layout"].endswith(f"exported as {form}")
    assert f"exported as {form}: 20 images of digits" in foreign.describe(
        kd.Distilled(images, labels, again.metadata | {"origin": origin})
    )
    # what it says itself cannot be contradicted
    for read in (foreign.load_data, lambda path, **said: foreign.read(path, dataset, **said)):
        with pytest.raises(kd.InputError, match="preprocessed by 'standardise', as its metadata"):
            read(path, preprocessing="none")
    other = data.load("digits", validation_size=10)
    with pytest.raises(kd.InputError, match="another data set, version, split or preprocessing"):
        foreign.read(path, other)


def test_pictures_read_again(write, distilled, digits):
    path = write("png")
    again = foreign.read(path, foreign.load_data(path))
    np.testing.assert_array_equal(again.labels, distilled.labels)
    natural = digits.preprocessing.invert_for_viewing(distilled.images)
    rounded = digits.preprocessing.invert_for_viewing(again.images)
    np.testing.assert_allclose(rounded, natural, atol=0.5 / 255 + 1e-6)
    assert "metrics" not in again.metadata  # of other images
    (path / "metadata.json").unlink()
    with pytest.raises(kd.InputError, match="--preprocessing"):
        foreign.load_data(path)
    said = foreign.read(path, digits, preprocessing="standardise")
    assert said.metadata["origin"]["labels"] == "numbers of classes"
    np.testing.assert_array_equal(said.images, in_classes(again)[0])


@pytest.mark.parametrize(
    "form", ["parquet", "dd-ranking", pytest.param("tfds", marks=pytest.mark.slow)]
)
def test_without_its_metadata_a_folder_is_one_of_others(form, write, distilled, digits):
    path = write(form)
    (path / "metadata.json").unlink()
    with pytest.raises(kd.InputError, match="--preprocessing"):
        foreign.load_data(path)
    read = foreign.read(path, digits, preprocessing="standardise")
    if form == "dd-ranking":  # of a data set that it has no constants for
        np.testing.assert_allclose(read.images, in_classes(distilled)[0], atol=1e-5)
        np.testing.assert_array_equal(read.labels, in_classes(distilled)[1])
    else:
        pixels = digits.preprocessing.invert_for_viewing(distilled.images)
        again = digits.preprocessing.invert_for_viewing(read.images)
        np.testing.assert_allclose(again, pixels, atol=0.5 / 255 + 1e-6)
        np.testing.assert_array_equal(read.labels.argmax(1), distilled.labels.argmax(1))
        assert read.metadata["origin"]["labels"] == "numbers of classes"


def test_metadata_beside(write, distilled):
    for form in ("npz-kip", "parquet", "png"):
        path = write(form)
        metadata = json.loads((path / "metadata.json").read_text())
        export = metadata.pop("export")
        assert metadata == distilled.metadata
        assert export["format"] == form
        present = [file for file in path.rglob("*") if file.is_file()]
        assert sorted(export["files"]) == sorted(
            file.relative_to(path).as_posix() for file in present
        )
        assert (path / export["main"]).exists()
        assert export["notes"] == list(write.notes)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({}, "ConvNet_ssize20_nozca_l_aug_ckpt5.npz"),
        ({"settings": {}, "step": 0}, "ConvNet_ssize20_nozca_l_noaug_ckpt0.npz"),
        ({"method": "label-solve", "step": None}, "ConvNet_ssize20_nozca.npz"),
    ],
)
def test_kip_release(changed, name, write, distilled, digits):
    metadata = distilled.metadata | changed
    path = write("npz-kip", kd.Distilled(distilled.images, distilled.labels, metadata))
    # dataset.ipynb of google-research/kip: keys images and labels, nothing else
    with np.load(path / name, allow_pickle=False) as file:
        assert sorted(file) == ["images", "labels"]
        np.testing.assert_array_equal(file["images"], distilled.images)
        np.testing.assert_array_equal(file["labels"], distilled.labels)
    natural = np.load(path / "natural_images.npy", allow_pickle=False)
    expected = digits.preprocessing.invert_for_viewing(distilled.images)
    np.testing.assert_allclose(natural / 255, expected, atol=0.5 / 255 + 1e-6)
    # a reader of the file alone, which knows the names of the release
    (path / "metadata.json").unlink()
    read = foreign.read(path / name, digits)
    np.testing.assert_array_equal(read.images, distilled.images)
    assert read.metadata["architecture"]["name"] == "convnet"


def test_dc(write, torch, cifar10, distilled_of):
    distilled = distilled_of(cifar10)
    path = write("dc", distilled)
    # main.py of VICO-UoE/DatasetCondensation saves data, a list of pairs; utils.py takes
    # images [n, c, h, w] in float and labels [n] in long, and standardises by these constants
    content = torch.load(path, weights_only=True)
    images, labels = content["data"][-1]
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert images.shape == (20, 3, 8, 8)
    assert labels.tolist() == np.repeat(np.arange(10), 2).tolist()
    natural = cifar10.preprocessing.invert(in_classes(distilled)[0])
    expected = (natural - [0.4914, 0.4822, 0.4465]) / [0.2023, 0.1994, 0.2010]
    np.testing.assert_allclose(images, expected.transpose(0, 3, 1, 2), atol=1e-5)
    assert content["natural_images"].dtype == torch.uint8
    np.testing.assert_array_equal(content["soft_labels"], in_classes(distilled)[1])
    assert json.loads(content["metadata"])["export"]["format"] == "dc"
    assert "labels are the classes alone" in " ".join(write.notes)
    # by its own constants, as its readers here take files of others
    plain = path.with_name("plain.pt")
    torch.save({"data": content["data"]}, plain)
    again = foreign.read(plain, cifar10, preprocessing="dc")
    np.testing.assert_allclose(again.images, in_classes(distilled)[0], atol=1e-5)


def test_a_file_is_known_whatever_its_name(distilled, digits, torch, tmp_path):
    for form in ("npz", "dc"):
        foreign.write(distilled, tmp_path / form, format=form)
    assert foreign.recognised(tmp_path / "dc")
    assert not foreign.recognised(tmp_path / "npz")
    np.testing.assert_array_equal(kd.load(tmp_path / "npz").images, distilled.images)
    again = foreign.read(tmp_path / "dc", foreign.load_data(tmp_path / "dc"))
    np.testing.assert_array_equal(again.images, in_classes(distilled)[0])


def test_dc_bench(write, torch, natural, distilled_of):
    pixels, classes = natural.cifar10_images[:, 2::4, 2::4], natural.cifar10_labels
    for name, mean, std in (
        ("cifar10", [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
        ("cifar100", [0.5071, 0.4866, 0.4409], [0.2673, 0.2564, 0.2762]),
    ):
        dataset = data.from_arrays(pixels, classes, name=name)
        distilled = distilled_of(dataset)
        root = write("dc-bench", distilled, overwrite=True)
        # data_loader/dc_data_loader.py of justincui03/dc_benchmark, with the method of
        # docs/new_method.md: root/METHOD/DATASET/IPCn/FILE, and data[-1] of it
        folder = root / "KIP" / name.upper() / "IPC2"
        file = folder / f"res_KIP_{name.upper()}_ConvNet_2ipc.pt"
        images, labels = torch.load(file, weights_only=True)["data"][-1]
        assert labels.tolist() == np.repeat(np.arange(10), 2).tolist()
        expected = (dataset.preprocessing.invert(in_classes(distilled)[0]) - mean) / std
        np.testing.assert_allclose(images, expected.transpose(0, 3, 1, 2), atol=1e-5)
        told = foreign.told_by_name(file)
        assert (told.method, told.dataset, told.images_per_class) == ("kip", name, 2)
    whitened = data.from_arrays(pixels, classes, name="cifar10", preprocessing="zca")
    distilled = distilled_of(whitened)
    root = write("dc-bench", distilled, preprocessing=whitened.preprocessing, overwrite=True)
    # data_loader/kip_data_loader.py: this name only, images channels last, the largest label
    name = "kip_cifar10_ConvNet3_ssize20_zca_nol_noaug_ckpt1000.npz"
    with np.load(root / "KIP" / "CIFAR10" / "IPC2" / name) as file:
        images, labels = file["images"].transpose(0, 3, 1, 2), file["labels"].argmax(1)
    np.testing.assert_array_equal(images, distilled.images.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(labels, distilled.labels.argmax(1))
    assert "whitening is undone" in " ".join(write.notes)


def test_dd_ranking(write, torch, cifar10, distilled_of):
    distilled = distilled_of(cifar10)
    path = write("dd-ranking", distilled)
    # README of NUS-HPC-AI-Lab/DD-Ranking: torch.load of images.pt and labels.pt;
    # ddranking/utils/data.py zips the two, and standardises what it tests on by these constants;
    # metrics/soft_label.py takes the classes from the order: ipc of each
    images, labels = (
        torch.load(path / name, weights_only=True) for name in ("images.pt", "labels.pt")
    )
    assert (images.dtype, labels.dtype) == (torch.float32, torch.float32)
    assert (images.shape, labels.shape) == ((20, 3, 8, 8), (20, 10))
    assert labels.argmax(1).tolist() == np.repeat(np.arange(10), 2).tolist()
    np.testing.assert_array_equal(labels, in_classes(distilled)[1])
    natural = cifar10.preprocessing.invert(in_classes(distilled)[0])
    expected = (natural - [0.4914, 0.4822, 0.4465]) / [0.2023, 0.1994, 0.2010]
    np.testing.assert_allclose(images, expected.transpose(0, 3, 1, 2), atol=1e-5)
    model = torch.load(path / "model_images.pt", weights_only=True)
    np.testing.assert_array_equal(model, in_classes(distilled)[0].transpose(0, 3, 1, 2))


def test_dd_ranking_trains_on_it(write, torch, natural, distilled_of):
    package = importlib.util.find_spec("ddranking")
    if package is None:
        pytest.skip("DD-Ranking is not there: pip install --no-deps ddranking==0.2.0")

    def module(name):  # a file by itself: the package as a whole wants torchvision, timm, kornia
        file = Path(package.submodule_search_locations[0]) / name
        spec = importlib.util.spec_from_file_location(file.stem, file)
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded

    dataset = data.from_arrays(natural.cifar10_images, natural.cifar10_labels, name="cifar10")
    path = write("dd-ranking", distilled_of(dataset, per_class=1))
    images, labels = (
        torch.load(path / name, weights_only=True) for name in ("images.pt", "labels.pt")
    )
    torch.manual_seed(0)
    network = module("utils/networks.py").ConvNet(
        3, 10, 16, 3, "relu", "instancenorm", "avgpooling", im_size=(32, 32)
    )
    loss = module("loss/mse_gt.py").MSEGTLoss(mse_weight=1.0, ce_weight=0.0)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        losses.append(loss(network(images), labels, labels))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.5 * losses[0]


def test_parquet(write, distilled, digits):
    import pyarrow.parquet as pq

    told = distilled.metadata | {"seed": [0, 3]}
    path = write("parquet", kd.Distilled(distilled.images, distilled.labels, told))
    table = pq.read_table(path / "data" / "train-00000-of-00001.parquet")
    assert table.column_names == ["image", "label", "model_image", "soft_label"]
    np.testing.assert_array_equal(np.array(table["soft_label"].to_pylist()), distilled.labels)
    natural = digits.preprocessing.invert_for_viewing(distilled.images)
    for row, expected in zip(table["image"].to_pylist(), natural, strict=True):
        picture = np.asarray(Image.open(io.BytesIO(row["bytes"])))
        np.testing.assert_array_equal(picture, np.rint(255 * expected[..., 0]))
    _, header, card = (path / "README.md").read_text().split("---\n", 2)
    header = yaml.safe_load(header)
    assert header["license"] == "cc-by-4.0"
    assert header["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*"}]
    for part in (
        "Test accuracy",
        "87.50 %",
        "convnet (ntk)",
        "| random key | [0, 3] |",
        "Kaynak",
        "@inproceedings",
    ):
        assert part in card


@pytest.mark.parametrize(
    ("source", "licence"),
    [
        ("mnist", ("cc-by-sa-3.0", "Creative Commons Attribution-Share Alike 3.0")),
        ("fashion_mnist", ("mit", "MIT")),
        ("svhn_cropped", ("other", "non-commercial use only")),
        ("cifar10", ("unknown", "without a licence")),
        ("cifar100", ("unknown", "without a licence")),
        ("flowers", ("unknown", "That of the data set flowers")),
    ],
)
def test_the_card_has_the_licence_of_the_source(write, natural, distilled_of, source, licence):
    images = natural.cifar10_images[:, 2::4, 2::4]
    dataset = data.from_arrays(images, natural.cifar10_labels, name=source)
    card = (write("parquet", distilled_of(dataset, per_class=1)) / "README.md").read_text()
    _, header, text = card.split("---\n", 2)
    identifier, said = licence
    assert yaml.safe_load(header)["license"] == identifier
    assert said in text.partition("## Licence of the source")[2]


@pytest.mark.parametrize(
    ("per_class", "category"), [(99, "n<1K"), (100, "1K<n<10K"), (1000, "10K<n<100K")]
)
def test_the_card_has_the_size(write, digits, per_class, category):
    # the categories of huggingface/hub-docs, datasetcard.md
    shown = np.zeros((10 * per_class, 8, 8, 1), np.float32)
    labels = data.one_hot(np.arange(10 * per_class) % 10, 10)
    known = {"dataset": digits.to_metadata(), "preprocessing": digits.preprocessing.to_metadata()}
    card = (write("parquet", kd.Distilled(shown, labels, known)) / "README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["size_categories"] == [category]


@pytest.mark.parametrize(
    ("metadata", "made"),
    [
        ({"method": "kip"}, "by Kernel Inducing Points (KIP) with kernel-distill."),
        ({"method": "kip", "origin": {}}, "by Kernel Inducing Points (KIP)."),
        ({"method": "rfad", "origin": {}}, "by RFAD."),
        ({"method": "foreign", "origin": {}}, "by an unknown method."),
    ],
)
def test_the_card_says_who_made_it(write, digits, distilled_of, metadata, made):
    card = (write("parquet", distilled_of(digits, **metadata)) / "README.md").read_text()
    assert f"distilled from digits (1) {made} " in card.replace("\n", " ")


@pytest.mark.slow
def test_datasets_loads_it(write, distilled, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    path = write("parquet")
    loaded = datasets.load_dataset(str(path), cache_dir=str(tmp_path / "cache"))["train"]
    assert loaded.features["label"].names == [str(digit) for digit in range(10)]
    assert isinstance(loaded.features["image"], datasets.Image)
    arrays = loaded.with_format("numpy")
    np.testing.assert_array_equal(arrays["model_image"][:], distilled.images)
    np.testing.assert_array_equal(arrays["soft_label"][:], distilled.labels)
    np.testing.assert_array_equal(arrays["label"][:], distilled.labels.argmax(1))
    assert loaded[0]["image"].size == (8, 8)


@pytest.mark.slow
def test_tensorflow_datasets_loads_it(write, distilled, digits, capfd):
    import tensorflow_datasets as tfds

    path = write("tfds")
    assert capfd.readouterr().out == ""
    builder = tfds.builder_from_directory(path)
    assert "87.50 %" in builder.info.description
    assert "Dataset Meta-Learning" in builder.info.citation
    features = builder.info.features
    assert features["label"].names == [str(digit) for digit in range(10)]
    for name in ("image", "label", "model_image", "soft_label"):
        assert features[name].doc.desc
    examples = list(tfds.as_numpy(builder.as_dataset(split="train")))
    natural = digits.preprocessing.invert_for_viewing(distilled.images)
    for index, example in enumerate(examples):
        np.testing.assert_array_equal(example["model_image"], distilled.images[index])
        np.testing.assert_array_equal(example["soft_label"], distilled.labels[index])
        np.testing.assert_array_equal(example["image"], np.rint(255 * natural[index]))
        assert example["label"] == distilled.labels[index].argmax()
    assert len(examples) == 20


def test_pictures(write, cifar10, distilled_of):
    names = ["aeroplane", "a/b", "..", *(str(index) for index in range(7))]
    unsafe = distilled_of(cifar10, dataset=cifar10.to_metadata() | {"class_names": names})
    safe = distilled_of(cifar10)
    for distilled, folders in ((unsafe, map(str, range(10))), (safe, cifar10.class_names)):
        path = write("png", distilled, overwrite=True)
        found = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
        assert found == sorted(folders)
        assert Path(path / "contact_sheet.png").stat().st_size > 0
    natural = cifar10.preprocessing.invert_for_viewing(safe.images)
    with (path / "labels.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[2:] == list(cifar10.class_names)
    for row, image, label in zip(rows, natural, safe.labels, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path / row[0])), np.rint(255 * image))
        assert row[1] == cifar10.class_names[label.argmax()]
        np.testing.assert_array_equal(np.array(row[2:], np.float32), label)


def test_whitening_is_undone_for_people(write, natural, distilled_of):
    pixels, classes = natural.cifar10_images[:, 2::4, 2::4], natural.cifar10_labels
    whitened = data.from_arrays(pixels, classes, name="cifar10", preprocessing="zca")
    distilled = distilled_of(whitened)
    with pytest.raises(kd.InputError, match="whitening matrix"):
        write("png", distilled)
    path = write("parquet", distilled, preprocessing=whitened.preprocessing)
    assert (path / "README.md").exists()
    again = foreign.read(path, whitened)
    np.testing.assert_array_equal(again.images, distilled.images)
