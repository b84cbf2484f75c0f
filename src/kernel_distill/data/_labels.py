"""Labels as numbers: the label convention, and class names turned into integers."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float32, Int, Shaped

from kernel_distill._errors import InputError

LABEL_CONVENTION = "one-hot minus 1/C"


def one_hot(labels: Int[np.ndarray, "n"], num_classes: int) -> Float32[np.ndarray, "n class"]:
    """The targets of kernel ridge regression: one-hot minus 1/C, so that each row sums to zero.

    Args:
        labels: integers in [0, num_classes).
        num_classes: C.

    Raises:
        InputError: a label is out of range.

    Source: [KIP21], appendix on label centring.
    """
    labels = np.asarray(labels)
    check_range(labels, num_classes, what="labels")
    centred = np.full((len(labels), num_classes), -1 / num_classes, np.float32)
    centred[np.arange(len(labels)), labels] += 1
    return centred


def check_range(labels: Int[np.ndarray, "n"], num_classes: int, *, what: str) -> None:
    """Raise `InputError` for the first label outside [0, num_classes)."""
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        raise InputError(
            f"{what} must be integers from 0 to {num_classes - 1} ({num_classes} classes); got "
            f"{what}[{wrong[0]}] = {labels[wrong[0]]} ({len(wrong)} such labels). Correct or "
            "leave out these examples."
        )


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The distinct names in the order of their labels: as numbers if all are, else as text."""
    distinct = set(names)
    try:
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    except ValueError:
        return tuple(sorted(distinct))


def encode(
    labels: Shaped[np.ndarray, "n"],
    *,
    what: str,
    class_names: Sequence[str] | None = None,
) -> tuple[Int[np.ndarray, "n"], tuple[str, ...]]:
    """Labels as int32, and the names of the classes in that order.

    Args:
        labels: integers from 0, or class names.
        what: what a message calls the labels.
        class_names: the order of the classes; None takes it from the labels, class "7" being the
            name of integer 7.

    Raises:
        InputError: neither integers nor text, an unknown class name, or an integer out of range.
    """
    if labels.dtype == object and all(isinstance(label, str) for label in labels):
        labels = labels.astype(str)
    if labels.dtype.kind == "U":
        names = in_order(labels) if class_names is None else tuple(class_names)
        number = {name: index for index, name in enumerate(names)}
        for index, label in enumerate(labels):
            if label not in number:
                raise InputError(
                    f"{what} must be among the classes of the training set; got "
                    f"{what}[{index}] = {str(label)!r}. Leave it out, or add training examples "
                    "of that class."
                )
        encoded = np.fromiter((number[label] for label in labels), np.int32, len(labels))
        return encoded, names
    if labels.dtype.kind not in "iu":
        raise InputError(
            f"{what} must be integers from 0 to C-1 or class names; got dtype {labels.dtype}. "
            "Convert them, for example with labels.astype(int)."
        )
    if class_names is None:
        num_classes = int(labels.max()) + 1
        check_range(labels, num_classes, what=what)
        # a stray label of a billion must not become a billion names
        names = tuple(str(index) for index in range(min(num_classes, len(labels) + 1)))
        if len(names) < num_classes:
            refuse_missing_class(labels, names, what=what)
    else:
        names = tuple(class_names)
        check_range(labels, len(names), what=what)
    return labels.astype(np.int32), names


def refuse_missing_class(
    labels: Int[np.ndarray, "n"], class_names: Sequence[str], *, what: str
) -> None:
    """Raise `InputError` naming the classes that have no example."""
    missing = np.setdiff1d(np.arange(len(class_names)), labels)
    if len(missing):
        listed = ", ".join(f"{index} ({class_names[index]!r})" for index in missing[:5])
        raise InputError(
            f"every class from 0 to C-1 needs training examples; {what} hold none of class "
            f"{listed}{', ...' if len(missing) > 5 else ''}. Number the classes without gaps, or "
            "give the labels as class names."
        )
