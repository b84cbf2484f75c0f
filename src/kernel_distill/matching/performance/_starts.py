"""The weights that networks have before the distilled steps."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.data import numpy_generator
from kernel_distill.matching.performance._initial import initial
from kernel_distill.matching.performance._settings import UnrolledSettings
from kernel_distill.matching.performance._weights import fingerprint, read_weights
from kernel_distill.transfer import Model, State


class Starts:
    """Where networks of an architecture begin: four kinds, as in Wang et al. 2018, section 3.4.

    Raises:
        InputError: the file of weights is not there, or not of this network.
    """

    def __init__(self, model: Model, settings: UnrolledSettings, key: PRNGKeyArray) -> None:
        self._drawn = functools.partial(initial, model, initialiser=settings.initialiser)
        self._settings, self._key = settings, key
        self._trained = read_weights(settings.weights, model) if settings.weights else ()
        self._fixed = None
        if settings.initialisation == "fixed":
            self._fixed = self._trained[0] if self._trained else self._drawn(key)
        elif len(self._trained) == 1:
            raise InputError(
                "random initialisation from trained weights needs two networks at least, one of "
                f"them to test; {settings.weights} has 1: train more, or take a fixed one"
            )

    def of_step(self, key: PRNGKeyArray) -> list[State]:
        """The networks of an outer step."""
        count = self._settings.initialisations
        if self._fixed is not None:
            return [self._fixed]
        if self._trained:
            pool = self._trained[: -self._held_out]
            chosen = numpy_generator(key).permutation(len(pool))[:count]
            return [pool[each] for each in chosen]
        return [self._drawn(each) for each in jax.random.split(key, count)]

    def of_test(self, key: PRNGKeyArray, count: int) -> list[State]:
        """So many networks that no step has seen; the fixed one, where there is one."""
        if self._fixed is not None:
            return [self._fixed]
        if self._trained:
            return list(self._trained[-self._held_out :][:count])
        return [self._drawn(each) for each in jax.random.split(key, count)]

    @property
    def _held_out(self) -> int:
        return max(1, min(self._settings.test_networks, len(self._trained) // 4))

    def to_metadata(self) -> dict[str, Any]:
        """How to come by the weights again; goes into JSON."""
        told: dict[str, Any] = {"initialisation": self._settings.initialisation}
        if self._trained:
            return told | {"weights": fingerprint(self._trained)}
        told["initialiser"] = self._settings.initialiser
        if self._fixed is not None:
            return told | fixed_metadata(self._key, self._fixed)
        return told


def fixed_metadata(key: PRNGKeyArray, state: State) -> dict[str, Any]:
    """How `fixed_again` draws the weights, and some of them, to know them by."""
    return {
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "key_implementation": str(jax.random.key_impl(key)),
        "some_weights": _some(state),
    }


def fixed_again(model: Model, metadata: dict[str, Any]) -> State:
    """The weights that a set was distilled for, drawn again.

    Raises:
        InputError: what is drawn today are other weights.
    """
    data = jnp.asarray(metadata["key"], jnp.uint32)
    key = jax.random.wrap_key_data(data, impl=metadata["key_implementation"])
    state = initial(model, key, initialiser=metadata["initialiser"])
    found, expected = _some(state), metadata["some_weights"]
    if len(found) != len(expected) or not np.allclose(found, expected, rtol=1e-4, atol=1e-6):
        raise InputError(
            "the initial weights that the images were distilled for cannot be drawn again: some of "
            f"them were {expected}, and are {found} with these packages. Use the versions that "
            "the metadata name."
        )
    return state


def _some(state: State) -> list[float]:
    """The first weight of each matrix and filter; a rounding does not change them, a draw does."""
    leaves = jax.tree.leaves(state.parameters)
    return [float(leaf.ravel()[0]) for leaf in leaves if leaf.ndim > 1]
