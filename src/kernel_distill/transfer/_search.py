"""Learning rate, L2 and the scale of the labels, chosen on held-out images."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from kernel_distill._errors import InputError, NumericalError
from kernel_distill._settings import Progress, Report
from kernel_distill.data import Dataset, Split
from kernel_distill.networks import Network
from kernel_distill.transfer._learning_rate import with_l2
from kernel_distill.transfer._model import Model
from kernel_distill.transfer._settings import TrainingSettings
from kernel_distill.transfer._train import require_fit, train

_SEARCHED = ("factor", "l2", "label_scale")

T = TypeVar("T")


def search(
    network: Network,
    images: Float[np.ndarray, "n *shape"],
    labels: Float[np.ndarray, "n class"],
    *,
    settings: TrainingSettings,
    validation: Split,
    key: PRNGKeyArray,
    report: Report | None = None,
) -> tuple[list[TrainingSettings], list[dict[str, float | None]]]:
    """Factor, L2 and label scale, of those in the settings, that are best on validation images.

    One network is trained for each combination, from the same weights; one whose training diverges
    or dies is passed over. The test set is no part of this.

    Args:
        report: called at each point of a curve, with the steps of all combinations.

    Returns:
        The settings with one of each, the best first, and the validation accuracy of each
        combination, None where it failed. Without a choice to make, nothing is trained.

    Raises:
        InputError: there is a choice to make, and there are no validation images.
        NumericalError: all trainings fail.
    """
    _check_choice(settings, validation)
    combinations = _combinations(settings)
    if len(combinations) == 1:
        return [settings], []
    found: list[dict[str, float | None]] = []
    sound: list[tuple[float, TrainingSettings]] = []
    failure: NumericalError | None = None
    stable: Float[np.ndarray, "seed"] | None = None
    for number, combination in enumerate(combinations):
        alone: dict[str, Any] = {name: (value,) for name, value in combination.items()}
        one = replace(settings, **alone)
        judged: float | None = None
        try:
            trained = train(
                network, images, labels, settings=one, key=key, validation=validation,
                stable_rates=stable, report=_part_of(report, number, len(combinations)),
            )  # fmt: skip
            assert trained.validation_accuracies is not None
            judged = float(trained.validation_accuracies[0, -1])
            sound.append((judged, one))
            if trained.stable_rates is not None:  # the weights are the same
                stable = with_l2(trained.stable_rates, -trained.l2)
        except NumericalError as error:
            failure = error
        found.append({**combination, "validation_accuracy": judged})
    if not sound:
        raise NumericalError(f"no training of {len(combinations)} settings is sound; {failure}")
    # of equal ones the first: sorting keeps their order
    return [one for _, one in sorted(sound, key=lambda pair: -pair[0])], found


def _part_of(report: Report | None, part: int, parts: int) -> Report | None:
    """What reports as the part of that number, of equally long ones of a whole."""
    if report is None:
        return None

    def of_the_whole(progress: Progress) -> None:
        step = part * progress.steps + progress.step
        report(replace(progress, step=step, steps=parts * progress.steps))

    return of_the_whole


def check_training(
    network: Network, data: Dataset, count: int, *, settings: TrainingSettings, seeds: int = 1
) -> None:
    """Whether a network can be trained on `count` images of a data set, before it is.

    Raises:
        InputError: the images do not fit the network, or the training does not fit memory; there is
            a choice to make, and there are no validation images.
    """
    _check_choice(settings, data.validation)
    model = Model(network, data.image_shape, data.num_classes)
    require_fit(model, count, settings=settings, seeds=seeds)


def _check_choice(settings: TrainingSettings, validation: Split) -> None:
    """Raises InputError where there is a choice to make, and there are no validation images."""
    count = len(_combinations(settings))
    if count > 1 and len(validation) == 0:
        raise InputError(
            f"{count} settings are to be compared on validation images, and there are none: hold "
            "some out (validation_size), or give one factor, one l2 and one label_scale"
        )


def chosen_of(settings: TrainingSettings) -> dict[str, float]:
    """The factor, L2 and label scale of settings that leave no choice."""
    (only,) = _combinations(settings)
    return only


def _combinations(settings: TrainingSettings) -> list[dict[str, float]]:
    values = (getattr(settings, name) for name in _SEARCHED)
    return [dict(zip(_SEARCHED, each, strict=True)) for each in itertools.product(*values)]


def first_sound(ranked: Sequence[TrainingSettings], trained: Callable[[TrainingSettings], T]) -> T:
    """What is trained with the best settings; where that diverges, the best of a lower factor.

    The rate that was best for the seed of the search may be too much for another. That shows in the
    loss of the training images; nothing is looked at besides.

    Raises:
        NumericalError: it diverges with the last of them too.
    """
    while True:
        try:
            return trained(ranked[0])
        except NumericalError:
            ranked = [each for each in ranked if each.factor < ranked[0].factor]
            if not ranked:
                raise
