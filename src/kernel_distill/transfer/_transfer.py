"""From a distilled set to the test accuracy of networks that were trained on it."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill._settings import Report
from kernel_distill.artefact import Distilled, device_description
from kernel_distill.data import Dataset
from kernel_distill.networks import Network
from kernel_distill.transfer._match import check_match
from kernel_distill.transfer._search import first_sound, search
from kernel_distill.transfer._settings import TrainingSettings
from kernel_distill.transfer._statistics import deviation
from kernel_distill.transfer._train import Trained, train


@dataclass(frozen=True)
class Transfer:
    """What networks trained on a distilled set reached; accuracies are fractions.

    Attributes:
        network: what was trained.
        distilled: the SHA-256 of the set that it was trained on.
        seed: the data of the random key.
        accuracies: on the test set, of each seed.
        curve_steps: where the curve was measured, [point].
        curve: validation accuracy there, [seed, point]; None without validation images.
        losses: of the training images there, L2 included, [seed, point].
        learning_rates: the peak of the schedule, of each seed.
        stable_rates: the largest stable one of each seed; None where a rate was given.
        settings: as they were used, with one factor, one L2 and one label scale.
        search: the combinations of these that were tried, with their validation accuracy.
        seconds: in all.
    """

    network: Network
    distilled: str
    seed: list[int]
    accuracies: Float[np.ndarray, "seed"]
    curve_steps: Int[np.ndarray, "point"]
    curve: Float[np.ndarray, "seed point"] | None
    losses: Float[np.ndarray, "seed point"]
    learning_rates: Float[np.ndarray, "seed"]
    stable_rates: Float[np.ndarray, "seed"] | None
    settings: TrainingSettings
    search: list[dict[str, float | None]]
    seconds: float

    @property
    def mean(self) -> float:
        return float(self.accuracies.mean())

    @property
    def deviation(self) -> float | None:
        """The standard deviation (n - 1 in the denominator); None of a single accuracy."""
        return deviation(self.accuracies)

    def to_json(self) -> dict[str, Any]:
        """What `transfer.json` says of a network."""
        return {
            "network": self.network.to_metadata(),
            "label": self.network.label,
            "distilled": self.distilled,
            "seed": self.seed,
            "accuracies": self.accuracies.tolist(),
            "mean": self.mean,
            "deviation": self.deviation,
            "learning_rates": self.learning_rates.tolist(),
            "stable_rates": None if self.stable_rates is None else self.stable_rates.tolist(),
            "settings": asdict(self.settings),
            "search": self.search,
            "curve": {
                "steps": self.curve_steps.tolist(),
                "validation_accuracy": None if self.curve is None else self.curve.tolist(),
                "loss": self.losses.tolist(),
            },
            "wall_seconds": self.seconds,
            "device": device_description(),
        }


def transfer(
    network: Network,
    distilled: Distilled,
    data: Dataset,
    *,
    settings: TrainingSettings | None = None,
    seeds: int = 5,
    key: PRNGKeyArray,
    report: Report | None = None,
) -> Transfer:
    """Trains a network on a distilled set and tests it, several times.

    Where the settings hold several factors, L2 or label scales, the best are chosen on validation
    images with one more seed; then the seeds are trained, and each is tested once, in its last
    state. Where one of them diverges, all are trained with the best settings of a lower factor.

    Args:
        network: from `networks.named` or `networks.twin`.
        distilled: what to train on.
        data: the data set that it was made from, preprocessed as then (`data.load_again`).
        settings: by default `TrainingSettings()`.
        seeds: how many networks.
        key: the randomness of the whole.
        report: called at each point of a training's curve.

    Raises:
        InputError: the distilled set does not say how it was preprocessed, or not as the data are;
            its images or classes are not those of the data; they do not fit the network; the
            training does not fit memory; seeds is not positive.
        NumericalError: a training diverged.
    """
    start = time.perf_counter()
    settings = settings or TrainingSettings()
    if seeds < 1:
        raise InputError(f"seeds must be 1 or more; got {seeds}")
    check_match(distilled, data)
    search_key, train_key = jax.random.split(key)
    given = distilled.images, distilled.labels
    ranked, tried = search(
        network,
        *given,
        settings=settings,
        validation=data.validation,
        key=search_key,
        report=report,
    )

    def all_seeds(chosen: TrainingSettings) -> tuple[TrainingSettings, Trained]:
        return chosen, train(
            network,
            *given,
            settings=chosen,
            key=train_key,
            seeds=seeds,
            validation=data.validation,
            report=report,
        )

    chosen, trained = first_sound(ranked, all_seeds)
    return Transfer(
        network=network,
        distilled=distilled.sha256,
        seed=np.asarray(jax.random.key_data(key)).ravel().tolist(),
        accuracies=trained.accuracies(data.test),
        curve_steps=trained.steps,
        curve=trained.validation_accuracies,
        losses=trained.losses,
        learning_rates=trained.learning_rates,
        stable_rates=trained.stable_rates,
        settings=chosen,
        search=tried,
        seconds=time.perf_counter() - start,
    )
