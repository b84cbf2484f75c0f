"""What the name of a file tells, by the conventions of those who released it."""

import re
from dataclasses import dataclass
from pathlib import Path

_ARCHITECTURES = {"ConvNet": "convnet", "ConvNet3": "convnet3"}
_DATASETS = {"fashionmnist": "fashion_mnist", "svhn": "svhn_cropped"}
_METHODS = {"kip": "kip", "ls": "label-solve"}

# google-research/kip: ConvNet_ssize100_zca_nol_noaug_ckpt1000.npz, of Label Solve
# ConvNet_ssize100_zca.npz; in collections kip_cifar10_ may come first
_KIP = re.compile(
    r"((?P<method>kip|ls)_(?P<dataset>\w+?)_)?(?P<architecture>ConvNet3?)_ssize(?P<size>[1-9]\d*)"
    r"_(?P<zca>zca|nozca)(_(?P<learned>l|nol)_(?P<augmented>aug|noaug)_ckpt(?P<step>\d+))?\.npz"
)
# VICO-UoE/DatasetCondensation: res_DSA_CIFAR10_ConvNet_10ipc.pt
_DC = re.compile(
    r"res_((?P<method>DC|DSA|DM)_)?(?P<dataset>[A-Za-z]+\d*)_(?P<network>\w+)_(?P<per_class>[1-9]\d*)ipc"
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
        dataset = found["dataset"].lower()
        return Told(
            method=(found["method"] or "dc").lower(),
            dataset=_DATASETS.get(dataset, dataset),
            images_per_class=int(found["per_class"]),
            labels_learned=False,
        )
    return Told()
