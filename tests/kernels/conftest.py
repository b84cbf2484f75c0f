"""What the tests of kernels share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jaxtyping
import numpy as np
import pytest

from kernel_distill import kernels
from kernel_distill.kernels import Activation, AveragePooling, Convolution, Dense, Flatten


@pytest.fixture
def x64() -> Iterator[None]:
    """A test in float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def distance() -> Callable[[Any, Any], float]:
    """The norm of the difference over the norm of the reference.

    Not entry by entry: entries near zero are differences of larger terms, and of those they hold
    the rounding.
    """

    def distance(got: Any, reference: Any) -> float:
        got, reference = np.asarray(got, np.float64), np.asarray(reference, np.float64)
        assert got.shape == reference.shape
        assert np.isfinite(got).all()
        return float(np.linalg.norm(got - reference) / np.linalg.norm(reference))

    return distance


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user without a run-time type checker meets the package's own errors."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@dataclass(frozen=True, kw_only=True)
class Written(kernels.Architecture):
    """A network spelt out: convolution, with stride 2 or 3, ReLU, erf, pooling by 2 or 3."""

    letters: str

    @property
    def name(self) -> str:
        return self.letters

    @property
    def layers(self) -> Any:
        layer = {
            "c": Convolution(),
            "s": Convolution(stride=2),
            "t": Convolution(stride=3),
            "r": Activation("relu"),
            "e": Activation("erf"),
            "2": AveragePooling(2),
            "3": AveragePooling(3),
        }
        return (*(layer[letter] for letter in self.letters), Flatten(), Dense())


@pytest.fixture
def written() -> Callable[..., kernels.Architecture]:
    """`written(letters="cr2")` is an architecture of these layers."""
    return Written
