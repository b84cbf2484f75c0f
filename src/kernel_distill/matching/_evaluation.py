"""What a support teaches: networks are trained on it, as for any other distilled set."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from kernel_distill.data import Split
from kernel_distill.matching._settings import MatchingSettings
from kernel_distill.transfer import Model, TrainingSettings, train

# a tenth of the largest stable rate: momentum makes ten times as much of it, and the cross-entropy,
# which is what the methods distil for, is steepest where a network is sure and wrong
_TRAINING = TrainingSettings(loss="cross_entropy", factor=(0.1,))


def accuracies_of_training(
    model: Model,
    support: dict[str, Any],
    split: Split,
    *,
    settings: MatchingSettings,
    networks: int,
    key: PRNGKeyArray,
) -> Float[np.ndarray, "network"]:
    """The accuracies on a split of networks that are trained on a support.

    Raises:
        NumericalError: a training diverged.
    """
    trained = train(
        model.network,
        np.asarray(support["images"]),
        np.asarray(support["labels"]),
        settings=replace(_TRAINING, steps=settings.training_steps, augment=settings.augment),
        key=key,
        seeds=networks,
    )
    return trained.accuracies(split)
