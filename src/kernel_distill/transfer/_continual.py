"""Continual learning: a few images of each class are all that is left of the tasks before."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.artefact import Distilled, device_description
from kernel_distill.data import Dataset, Split
from kernel_distill.networks import Network
from kernel_distill.transfer._baselines import baseline
from kernel_distill.transfer._settings import TrainingSettings
from kernel_distill.transfer._transfer import check_match, transfer


@dataclass(frozen=True)
class Continual:
    """What a network knows after each task.

    Attributes:
        network: what was trained.
        classes: how many it has met after each task, [task].
        accuracies: on the test images of these classes (fractions), of each memory: "distilled" and
            "random", [seed, task].
        settings: of the trainings.
    """

    network: Network
    classes: tuple[int, ...]
    accuracies: dict[str, Float[np.ndarray, "seed task"]]
    settings: TrainingSettings

    def to_json(self) -> dict[str, Any]:
        """What `continual.json` says."""
        return {
            "network": self.network.to_metadata(),
            "classes": list(self.classes),
            "accuracies": {name: found.tolist() for name, found in self.accuracies.items()},
            "settings": asdict(self.settings),
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
        InputError: there are more tasks than classes, or a class without an image in the distilled
            set; or as `transfer`.
        NumericalError: a training diverged.
    """
    settings = settings or TrainingSettings()
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
    parts = np.array_split(np.arange(data.num_classes), tasks)
    met = tuple(int(part[-1]) + 1 for part in parts)
    names = ("distilled", "random")
    accuracies = {name: np.empty((seeds, tasks)) for name in names}
    keys = jax.random.split(key, seeds)
    random = [
        baseline("random", data, images_per_class=int(counts.max()), key=each) for each in keys
    ]
    for task, classes in enumerate(met):
        so_far = _of_classes(data, classes)

        kept = np.where(np.arange(data.num_classes) < classes, counts, 0)
        for seed in range(seeds):
            for name, memory in zip(names, (distilled, random[seed]), strict=True):
                if report:
                    report(f"{classes} classes, {name}, seed {seed + 1} of {seeds}")
                part = _memory(memory, kept)
                found = transfer(network, part, so_far, settings=settings, seeds=1, key=keys[seed])
                accuracies[name][seed, task] = found.mean
    return Continual(network, met, accuracies, settings)


def _of_classes(data: Dataset, classes: int) -> Dataset:
    """The data without the validation and test images of later classes."""

    def part(split: Split) -> Split:
        rows = split.labels < classes
        return replace(split, images=split.images[rows], labels=split.labels[rows])

    return replace(data, validation=part(data.validation), test=part(data.test))


def _memory(memory: Distilled, kept: np.ndarray) -> Distilled:
    """So many images of each class, and of their labels nothing of classes without any."""
    classes = memory.labels.argmax(axis=1)
    rows = np.concatenate(
        [np.flatnonzero(classes == number)[:count] for number, count in enumerate(kept)]
    )
    labels = np.where(kept > 0, memory.labels[rows], -1 / len(kept)).astype(np.float32)
    return replace(memory, images=memory.images[rows], labels=labels)
