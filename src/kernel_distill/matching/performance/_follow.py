"""A network learns again from a distilled set as it was meant to."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill._files import PathLike
from kernel_distill.artefact import Distilled
from kernel_distill.data import Split
from kernel_distill.evaluation import check_not_empty, check_preprocessing
from kernel_distill.matching.performance._course import Course, raw
from kernel_distill.matching.performance._initial import initial, scales_itself
from kernel_distill.matching.performance._starts import fixed_again
from kernel_distill.matching.performance._weights import fingerprint, read_weights
from kernel_distill.networks import Network
from kernel_distill.transfer import Model, State, accuracy


@dataclass(frozen=True)
class Followed:
    """Networks before and after the distilled steps.

    Attributes:
        distilled: the set that they learned from.
        model: the architecture.
        before: the states that the steps began with.
        states: those that they led to, of the same networks.
    """

    distilled: Distilled
    model: Model
    before: tuple[State, ...]
    states: tuple[State, ...]

    def accuracies(self, split: Split) -> Float[np.ndarray, "network"]:
        """The fraction of images whose largest logit is their class, of each network.

        Raises:
            InputError: the split is empty, or preprocessed in another way than the distilled set.
        """
        check_not_empty(split)
        check_preprocessing(self.distilled, split)
        return np.array([accuracy(self.model, state, split) for state in self.states])


def follow(
    distilled: Distilled,
    network: Network,
    *,
    key: PRNGKeyArray,
    networks: int = 5,
    weights: PathLike | None = None,
) -> Followed:
    """Takes the distilled steps of a set that `method="unrolled"` made, at their learned rates.

    A network that the set was distilled for begins as it did then: at the fixed weights, which are
    drawn again, at trained ones from a file, or at random ones. Any other begins at random weights:
    drawn in the same way, or, in NTK parameterisation, as the network draws its own.

    Args:
        distilled: the set, with the metadata that the run gave it.
        network: what is to learn.
        key: the randomness of random weights.
        networks: how many begin at random weights; fixed ones are one network.
        weights: the file of trained weights, where the set was distilled for such; all of the
            networks in it learn, or the first, where the set is for fixed weights.

    Raises:
        InputError: the set does not say how to learn from it, or what it says does not fit its
            images; the weights are not given, or others than they were, or given where there are
            none to give; the images do not fit the network; fewer than one is to learn.
        NumericalError: a network diverged.
    """
    if not isinstance(distilled, Distilled):
        raise InputError(
            f"follow takes a distilled set, from kernel_distill.load; got {distilled!r}"
        )
    if networks < 1:
        raise InputError(f"networks must be 1 or more; got {networks}")
    told = distilled.metadata.get("unrolled")
    if told is None:
        raise InputError(
            "the distilled set must say in its metadata, under 'unrolled', in which steps networks "
            "learn from it, and this one does not: train on it with `transfer` instead"
        )
    rates = _rates(told, len(distilled))
    model = Model(network, distilled.images.shape[1:], distilled.labels.shape[1])
    # compared as JSON gives it back
    itself = Distilled(distilled.images, distilled.labels, network.to_metadata()).metadata
    itself.pop("format_version")
    known: dict[str, Any] = next(
        (each for each in told["networks"] if itself.items() <= each.items()), {}
    )
    if weights is not None and "weights" not in known:
        raise InputError(
            f"the set was not distilled for trained weights of {network.label}: leave weights out"
        )
    if "weights" in known:
        before = _trained(model, known, weights)
    elif "key" in known:
        before = (fixed_again(model, known),)
    else:
        drawn = (known or told["networks"][0]).get("initialiser", "network")
        initialiser = "network" if scales_itself(model) else drawn
        before = tuple(
            initial(model, each, initialiser=initialiser)
            for each in jax.random.split(key, networks)
        )
    support = {
        "images": jnp.asarray(distilled.images),
        "labels": jnp.asarray(distilled.labels),
        "rates": jnp.asarray(raw(rates), jnp.float32),
    }
    return Followed(distilled, model, before, tuple(Course(model).finals(before, support)))


def _rates(told: dict[str, Any], images: int) -> Float[np.ndarray, "epoch step"]:
    """The learning rates that metadata tell.

    Raises:
        InputError: they are none of steps through so many images.
    """
    rows = told.get("learning_rates", [])
    steps = {len(epoch) for epoch in rows}
    if len(steps) != 1 or not min(steps) or images % min(steps) or not told.get("networks"):
        raise InputError(
            "the distilled set must tell, under 'unrolled', its networks, and as many learning "
            f"rates in each epoch as there are steps, among which its {images} images are shared "
            f"out evenly; got epochs of {sorted(steps)} rates. Take the file that the run wrote"
        )
    rates = np.array(rows, np.float64)
    if not (np.isfinite(rates) & (rates > 0)).all():
        raise InputError(
            f"the learning rates of distilled steps must be positive and finite; got {rows!r:.200}"
        )
    return rates


def _trained(model: Model, known: dict[str, Any], weights: PathLike | None) -> tuple[State, ...]:
    """The trained weights that a set was distilled for, from their file.

    Raises:
        InputError: there is no file, or it has other weights.
    """
    if weights is None:
        raise InputError(
            "the set was distilled for trained weights: give the file that they were saved in "
            "(weights)"
        )
    states = read_weights(weights, model)
    if fingerprint(states) != known["weights"]:
        raise InputError(
            f"the weights in {weights} are not those that the set was distilled for: give that file"
        )
    return states[:1] if known["initialisation"] == "fixed" else states
