"""The names of files, by the conventions of those who released them: read, and given."""

import re
from dataclasses import dataclass
from pathlib import Path

_ARCHITECTURES = {"ConvNet": "convnet", "ConvNet3": "convnet3"}
_DATASETS = {
    "MNIST": "mnist",
    "FashionMNIST": "fashion_mnist",
    "SVHN": "svhn_cropped",
    "CIFAR10": "cifar10",
    "CIFAR100": "cifar100",
}
_METHODS = {"KIP": "kip", "LS": "label-solve"}
_UNSAFE = re.compile(r"[^A-Za-z0-9]+")
_UNSAFE_ARCHITECTURE = re.compile(r"[^A-Za-z0-9-]+")  # convnet3-strided

# google-research/kip: ConvNet_ssize100_zca_nol_noaug_ckpt1000.npz, of Label Solve
# ConvNet_ssize100_zca.npz; in collections kip_cifar10_ may come first
_KIP = re.compile(
    r"((?P<method>kip|ls)_(?P<dataset>\w+?)_)?(?P<architecture>ConvNet3?)_ssize(?P<size>[1-9]\d*)"
    r"_(?P<zca>zca|nozca)(_(?P<learned>l|nol)_(?P<augmented>aug|noaug)_ckpt(?P<step>\d+))?\.npz"
)
# VICO-UoE/DatasetCondensation: res_DSA_CIFAR10_ConvNet_10ipc.pt
_DC = re.compile(
    r"res_((?P<method>DC|DSA|DM|KIP|LS)_)?(?P<dataset>[A-Za-z]+\d*)_(?P<network>\w+)_(?P<per_class>[1-9]\d*)ipc"
    r"\.pt"
)


@dataclass(frozen=True)
class Told:
    """Attributes are None where the name does not tell.

    Attributes:
        method: "kip", "label-solve", "dc", "dsa", "dm".
        dataset: by its name in TensorFlow Datasets.
        preprocessing: "zca" or "standardise".
        architecture: by its name here (`kernels.named`).
        support_size: images in all.
        images_per_class: the same, by class.
        labels_learned, augmented: whether labels were learned, natural images augmented.
        step: of the optimiser.
    """

    method: str | None = None
    dataset: str | None = None
    preprocessing: str | None = None
    architecture: str | None = None
    support_size: int | None = None
    images_per_class: int | None = None
    labels_learned: bool | None = None
    augmented: bool | None = None
    step: int | None = None


def told_by_name(path: str | Path) -> Told:
    """What the name of a file of KIP's release, or of DC, DSA or DM, tells; of others nothing."""
    name = Path(path).name
    if found := _KIP.fullmatch(name):
        at_a_step = found["step"] is not None  # Label Solve has no steps
        return Told(
            method="kip" if at_a_step else "label-solve",
            dataset=found["dataset"],
            preprocessing="zca" if found["zca"] == "zca" else "standardise",
            architecture=_ARCHITECTURES[found["architecture"]],
            support_size=int(found["size"]),
            labels_learned=found["learned"] == "l" if at_a_step else True,
            augmented=found["augmented"] == "aug" if at_a_step else False,
            step=int(found["step"]) if at_a_step else None,
        )
    if found := _DC.fullmatch(name):
        method = found["method"] or "DC"
        return Told(
            method=_METHODS.get(method, method.lower()),
            dataset=_DATASETS.get(found["dataset"], found["dataset"].lower()),
            images_per_class=int(found["per_class"]),
            labels_learned=False,
        )
    return Told()


def kip_name(told: Told) -> str:
    """The name that KIP's release gives such a set; other architectures keep their own names.

    Args:
        told: all but the images of each class; of Label Solve also without a step.
    """
    names = {ours: theirs for theirs, ours in _ARCHITECTURES.items()}
    architecture = names.get(told.architecture or "", told.architecture)
    architecture = _UNSAFE_ARCHITECTURE.sub("", architecture or "")
    name = f"{architecture}_ssize{told.support_size}_"
    name += "zca" if told.preprocessing == "zca" else "nozca"
    if told.method != "label-solve":
        name += "_l" if told.labels_learned else "_nol"
        name += "_aug" if told.augmented else "_noaug"
        name += f"_ckpt{told.step}"
    return f"{name}.npz"


def dc_method(method: str) -> str:
    """What to call a method in capitals, as DC's files and DC-BENCH's folders do: KIP, LS."""
    names = {ours: theirs for theirs, ours in _METHODS.items()}
    return names.get(method, _UNSAFE.sub("", method).upper())


def dc_dataset(dataset: str) -> str:
    """DC's own name of a data set: CIFAR10, FashionMNIST."""
    names = {ours: theirs for theirs, ours in _DATASETS.items()}
    return names.get(dataset, _UNSAFE.sub("", dataset) or "own")


def dc_name(method: str, dataset: str, per_class: int) -> str:
    """The name that DC, DSA and DM give such a set: res_KIP_CIFAR10_ConvNet_10ipc.pt."""
    return f"res_{dc_method(method)}_{dc_dataset(dataset)}_ConvNet_{per_class}ipc.pt"
