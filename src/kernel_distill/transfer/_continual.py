"""Continual learning: a few images of each class are all that is left of the tasks before."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from kernel_distill._errors import InputError, NumericalError
from kernel_distill.artefact import Distilled, device_description
from kernel_distill.data import Dataset, Split, numpy_generator, one_hot
from kernel_distill.networks import Network
from kernel_distill.transfer._match import check_match
from kernel_distill.transfer._search import check_training, chosen_of
from kernel_distill.transfer._settings import TrainingSettings
from kernel_distill.transfer._transfer import transfer


@dataclass(frozen=True)
class Continual:
    """What a network knows after each task.

    Attributes:
        network: what was trained.
        classes: how many it has met after each task, [task].
        accuracies: on the test images of these classes (fractions), of each memory: "distilled" and
            "random", [seed, task].
        distilled: the SHA-256 of the distilled set.
        data: the name of the data set.
        seed: the data of the random key.
        settings: of the trainings, with what was to be chosen from.
        chosen: the settings of each training, of each memory, seed and task.
    """

    network: Network
    classes: tuple[int, ...]
    accuracies: dict[str, Float[np.ndarray, "seed task"]]
    distilled: str
    data: str
    seed: list[int]
    settings: TrainingSettings
    chosen: dict[str, list[list[dict[str, float]]]]

    def to_json(self) -> dict[str, Any]:
        """What `continual.json` says."""
        return {
            "network": self.network.to_metadata(),
            "classes": list(self.classes),
            "accuracies": {name: found.tolist() for name, found in self.accuracies.items()},
            "distilled": self.distilled,
            "data": self.data,
            "seed": self.seed,
            "settings": asdict(self.settings),
            "chosen": self.chosen,
            "device": device_description(),
        }


def continual(
    network: Network,
    distilled: Distilled,
    data: Dataset,
    *,
    tasks: int = 5,
    settings: TrainingSettings | None = None,
    seeds: int = 5,
    key: PRNGKeyArray,
    report: Callable[[str], None] | None = None,
) -> Continual:
    """Classes come in tasks, one after another, and a small memory of each class is kept.

    After every task the network is trained from scratch on the memory alone, and tested on all
    classes that it has met, without being told the task. That is the protocol by which distilled
    sets are compared as memories (Zhao & Bilen 2023, "Dataset Condensation with Distribution
    Matching", after GDumb of Prabhu et al. 2020). The memory holds the images of these classes in
    the distilled set; beside it, as many random training images of each, drawn anew for every seed.
    The distilled set was made of all classes at once, which a learner of one task after another
    could not do: its figures are an upper bound in that respect. Of labels that were learned, what
    they say of classes not met yet is left out.

    Args:
        network: from `networks.named` or `networks.twin`.
        distilled: with images of every class (the largest entry of a label is its class).
        data: the data set that it was made from.
        tasks: among which the classes are shared out, in their order.
        settings: of the trainings, by default `TrainingSettings()`; a choice that they leave is
            made on the validation images of the classes met.
        seeds: how many networks, and random memories.
        key: the randomness of the whole.
        report: told what is trained next.

    Raises:
        InputError: there are more tasks than classes, a class without an image in the distilled
            set, or with more of them than it has for training; or as `transfer`.
        NumericalError: a training diverged.
    """
    settings = settings or TrainingSettings()
    if seeds < 1:
        raise InputError(f"seeds must be 1 or more; got {seeds}")
    check_match(distilled, data)
    if not 1 <= tasks <= data.num_classes:
        raise InputError(
            f"tasks must be 1 to {data.num_classes}, the number of classes; got {tasks}"
        )
    counts = np.bincount(distilled.labels.argmax(axis=1), minlength=data.num_classes)
    if counts.min() == 0:
        missing = data.class_names[int(counts.argmin())]
        raise InputError(
            f"a memory needs an image of every class, and the distilled set has none of {missing!r}"
            ": take a set that was made class by class"
        )
    _check_numbers(counts, data)
    check_training(network, data, len(distilled), settings=settings)
    parts = np.array_split(np.arange(data.num_classes), tasks)
    met = tuple(int(part[-1]) + 1 for part in parts)
    names = ("distilled", "random")
    accuracies = {name: np.empty((seeds, tasks)) for name in names}
    chosen: dict[str, list[list[dict[str, float]]]] = {name: [] for name in names}
    for seed, seed_key in enumerate(jax.random.split(key, seeds)):
        memory_key, train_key = jax.random.split(seed_key)
        memories = distilled, _random_memory(distilled, data, counts, memory_key)
        for name, memory in zip(names, memories, strict=True):
            chosen[name].append([])
            for task, classes in enumerate(met):
                what = f"the {name} memory, seed {seed + 1} of {seeds}, {classes} classes"
                if report:
                    report(what)
                try:
                    found = transfer(
                        network,
                        _met(memory, classes),
                        _of_classes(data, classes),
                        settings=settings,
                        seeds=1,
                        key=train_key,
                    )
                except NumericalError as error:
                    raise NumericalError(f"with {what}: {error}") from error
                accuracies[name][seed, task] = found.mean
                chosen[name][seed].append(chosen_of(found.settings))
    return Continual(
        network=network,
        classes=met,
        accuracies=accuracies,
        distilled=distilled.sha256,
        data=data.name,
        seed=np.asarray(jax.random.key_data(key)).ravel().tolist(),
        settings=settings,
        chosen=chosen,
    )


def _check_numbers(counts: Int[np.ndarray, "class"], data: Dataset) -> None:
    there = np.bincount(data.train.labels, minlength=data.num_classes)
    if (counts > there).any():
        label = int((counts > there).argmax())
        raise InputError(
            f"the random memory takes as many training images of a class as the distilled set has; "
            f"class {data.class_names[label]!r} has {there[label]}, and {counts[label]} in the "
            "set: hold out fewer for validation"
        )


def _random_memory(
    distilled: Distilled, data: Dataset, counts: Int[np.ndarray, "class"], key: PRNGKeyArray
) -> Distilled:
    """As many training images of each class as the distilled set has, preprocessed alike."""
    generator = numpy_generator(key)
    rows = np.concatenate(
        [
            generator.choice(np.flatnonzero(data.train.labels == label), count, replace=False)
            for label, count in enumerate(counts)
        ]
    )
    labels = one_hot(data.train.labels[rows], data.num_classes)
    return replace(distilled, images=data.train.images[rows], labels=labels)


def _of_classes(data: Dataset, classes: int) -> Dataset:
    """The data without the validation and test images of later classes."""

    def part(split: Split) -> Split:
        rows = split.labels < classes
        return replace(split, images=split.images[rows], labels=split.labels[rows])

    return replace(data, validation=part(data.validation), test=part(data.test))


def _met(memory: Distilled, classes: int) -> Distilled:
    """What a memory holds of the first classes, and of its labels nothing of the others."""
    rows = memory.labels.argmax(axis=1) < classes
    labels = memory.labels[rows].copy()
    labels[:, classes:] = -1 / labels.shape[1]
    return replace(memory, images=memory.images[rows], labels=labels)
