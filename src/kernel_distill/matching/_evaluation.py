"""What a support teaches: networks are trained on it, as for any other distilled set."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from kernel_distill.data import Split
from kernel_distill.matching._settings import MatchingSettings
from kernel_distill.transfer import Model, Trained, TrainingSettings, first_sound, train

# of the largest stable rate: with momentum, a tenth moves as far as the whole without. The
# cross-entropy, which is what most methods distil for, gets steeper as networks get surer
CROSS_ENTROPY = TrainingSettings(loss="cross_entropy", factor=(0.1, 0.03, 0.01))

# takes learned labels as they are, be they distributions or not; scaled up, they drown what a
# network says before it is trained
SQUARED_ERROR = TrainingSettings(loss="mse", factor=(1.0, 0.3, 0.1), l2=(0.0,), label_scale=(5.0,))


def accuracies_of_training(
    model: Model,
    support: dict[str, Any],
    splits: Sequence[Split],
    *,
    settings: MatchingSettings,
    training: TrainingSettings,
    networks: int,
    key: PRNGKeyArray,
) -> Float[np.ndarray, "split network"]:
    """The accuracies on splits of networks that are trained on a support.

    Args:
        model: the network.
        support: "images" and "labels".
        splits: what they are tested on, once they are trained.
        settings: how long they are trained, and how images are changed meanwhile.
        training: the rest. Its factors of the learning rate are tried in their order until no
            training diverges.
        networks: how many.
        key: the randomness of the whole.

    Raises:
        NumericalError: one diverges at the last factor too.
    """

    def trained(chosen: TrainingSettings) -> Trained:
        return train(
            model.network,
            np.asarray(support["images"]),
            np.asarray(support["labels"]),
            settings=chosen,
            key=key,
            seeds=networks,
        )

    augment = settings.augment if settings.training_augment is None else settings.training_augment
    common = replace(training, steps=settings.training_steps, augment=augment)
    ranked = [replace(common, factor=(factor,)) for factor in training.factor]
    found = first_sound(ranked, trained)
    return np.stack([found.accuracies(split) for split in splits])
