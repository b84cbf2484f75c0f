"""Learning rate and L2, chosen on held-out images."""

import itertools
from dataclasses import replace

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from kernel_distill._errors import InputError, NumericalError
from kernel_distill._settings import Report
from kernel_distill.data import Split
from kernel_distill.networks import Network
from kernel_distill.transfer._settings import TrainingSettings
from kernel_distill.transfer._train import train


def search(
    network: Network,
    images: Float[np.ndarray, "n *shape"],
    labels: Float[np.ndarray, "n class"],
    *,
    settings: TrainingSettings,
    validation: Split,
    key: PRNGKeyArray,
    report: Report | None = None,
) -> tuple[TrainingSettings, list[dict[str, float | None]]]:
    """The factor and L2, of those in the settings, that are best on the validation images.

    One network is trained for each pair, from the same weights; a pair whose training diverges is
    passed over. The test set is no part of this.

    Returns:
        The settings with one factor and one L2, and the validation accuracy of each pair, None
        where it diverged. Without a choice to make, nothing is trained.

    Raises:
        InputError: there is a choice to make, and there are no validation images.
        NumericalError: all trainings diverge.
    """
    pairs = list(itertools.product(settings.factor, settings.l2))
    if len(pairs) == 1:
        return settings, []
    if len(validation) == 0:
        raise InputError(
            f"{len(pairs)} settings are to be compared on validation images, and there are none: "
            "hold some out (validation_size), or give one factor and one l2"
        )
    found: list[dict[str, float | None]] = []
    judgements: list[float] = []
    failure: NumericalError | None = None
    for factor, l2 in pairs:
        one = replace(settings, factor=(factor,), l2=(l2,))
        judged: float | None = None
        try:
            trained = train(
                network, images, labels, settings=one, key=key, validation=validation, report=report
            )
            assert trained.validation_accuracies is not None
            judged = float(trained.validation_accuracies[0, -1])
        except NumericalError as error:
            failure = error
        found.append({"factor": factor, "l2": l2, "validation_accuracy": judged})
        judgements.append(-1.0 if judged is None else judged)
    if max(judgements) < 0:
        raise NumericalError(f"the training diverges with all settings; the last: {failure}")
    factor, l2 = pairs[judgements.index(max(judgements))]
    return replace(settings, factor=(factor,), l2=(l2,)), found
