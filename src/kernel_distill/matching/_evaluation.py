"""What a support teaches: networks are trained on it, as for any other distilled set."""

from typing import Any

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from kernel_distill.data import Split
from kernel_distill.matching._settings import MatchingSettings
from kernel_distill.transfer import Model, Trained, TrainingSettings, first_sound, train

# of the largest stable rate: with momentum, a tenth moves as far as the whole without. The
# cross-entropy, which is what the methods distil for, gets steeper as networks get surer
_FACTORS = (0.1, 0.03, 0.01)


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

    Where one of them diverges, all are trained at a lower rate.

    Raises:
        NumericalError: one diverges at the lowest rate too.
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

    augment = settings.training_augment
    ranked = [
        TrainingSettings(
            loss="cross_entropy",
            factor=(factor,),
            steps=settings.training_steps,
            augment=settings.augment if augment is None else augment,
        )
        for factor in _FACTORS
    ]
    return first_sound(ranked, trained).accuracies(split)
