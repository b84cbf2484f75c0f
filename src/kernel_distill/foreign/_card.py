"""What people are told of an exported set: how it was made, of what, and how to cite it."""

from collections.abc import Mapping
from dataclasses import dataclass

from kernel_distill.artefact import made_here, method_citation, method_name
from kernel_distill.foreign._content import Content


@dataclass(frozen=True)
class Licence:
    """What the source of a set demands.

    Attributes:
        identifier: in the terms of Hugging Face's cards.
        text: for people.
    """

    identifier: str
    text: str


# as those who give the data out have it; of MNIST, keras.io/api/datasets/mnist tells what its
# authors state; github.com/zalandoresearch/fashion-mnist, LICENSE;
# archive.ics.uci.edu/dataset/80; ufldl.stanford.edu/housenumbers, beside each download;
# www.cs.toronto.edu/~kriz/cifar.html asks to be cited and states no licence
_LICENCES: Mapping[str, Licence] = {
    "mnist": Licence(
        "cc-by-sa-3.0",
        "MNIST, by Yann LeCun and Corinna Cortes, is under Creative Commons "
        "Attribution-Share Alike 3.0.",
    ),
    "fashion_mnist": Licence("mit", "Fashion-MNIST, by Zalando SE, is under the MIT licence."),
    "digits": Licence(
        "cc-by-4.0",
        "Optical Recognition of Handwritten Digits, by E. Alpaydin and C. Kaynak (UCI Machine "
        "Learning Repository), is under Creative Commons Attribution 4.0.",
    ),
    "svhn_cropped": Licence("other", "SVHN is given out for non-commercial use only."),
    "cifar10": Licence("unknown", "CIFAR-10 was given out without a licence."),
    "cifar100": Licence("unknown", "CIFAR-100 was given out without a licence."),
}

MODEL_IMAGE = "As the model takes it: preprocessed. What networks are trained on."
IMAGE = "On natural scale, for people: the preprocessing undone, 8 bits."
LABEL = "The class: the largest entry of soft_label."
SOFT_LABEL = "The target of regression by mean squared error: what the image teaches of each class."


def licence(content: Content) -> Licence:
    """That of the data that were distilled."""
    return _LICENCES.get(
        content.dataset,
        Licence("unknown", f"That of the data set {content.dataset}, which see."),
    )


def citation(content: Content) -> str:
    """BibTeX of the method's papers; empty where the method is not of this project."""
    return method_citation(content.method)


def title(content: Content) -> str:
    """What the set is, in a few words."""
    return f"{content.dataset}, distilled to {len(content.distilled)} images"


def summary(content: Content) -> str:
    """What the set is and how it was made, in sentences."""
    metadata = content.metadata
    sentences = [
        f"{len(content.distilled)} images of {len(content.class_names)} classes, distilled from "
        f"{content.dataset} ({metadata['dataset'].get('version', 'version unknown')}) by "
        f"{method_name(metadata)}{' with kernel-distill' if made_here(metadata) else ''}."
    ]
    if "architectures" in metadata:
        kernels = ", ".join(
            f"{each['name']} ({each.get('kernel', 'ntk')})" for each in metadata["architectures"]
        )
        sentences.append(f"Kernel: {kernels}.")
    sentences.append(f"Preprocessing: {content.preprocessing.name}.")
    if (accuracy := content.accuracy) is not None:
        learner = "kernel ridge regression on"
        if "network" in metadata:
            learner = f"{metadata['network']['name']} when it has learned from"
        sentences.append(f"Test accuracy of {learner} these images: {100 * accuracy:.2f} %.")
    return " ".join(sentences)


def details(content: Content) -> list[tuple[str, str]]:
    """What there is to say of the making, as rows of a table."""
    metadata, metrics = content.metadata, content.metadata.get("metrics", {})
    rows = {
        "method": content.method,
        "step": metadata.get("step"),
        "random key": metadata.get("seed"),
        "ridge": metadata.get("ridge"),
        "label convention": metadata.get("label_convention"),
        "created": metadata.get("created"),
        "kernel-distill": metadata.get("packages", {}).get("kernel_distill"),
        "jax": metadata.get("packages", {}).get("jax"),
    }
    for name in ("test_accuracy", "initial_test_accuracy", "validation_accuracy"):
        if metrics.get(name) is not None:
            rows[name.replace("_", " ")] = f"{100 * metrics[name]:.2f} %"
    rows |= metadata.get("settings", {})
    return [(key.replace("_", " "), str(value)) for key, value in rows.items() if value is not None]
