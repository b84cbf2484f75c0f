"""The methods by name."""

from typing import Any

from kernel_distill._errors import unknown_name
from kernel_distill.matching._method import Method
from kernel_distill.matching.distribution import Distribution
from kernel_distill.matching.features import Features
from kernel_distill.matching.parameter import Gradient, Trajectory
from kernel_distill.matching.performance import Unrolled

_ALL: tuple[type[Method[Any]], ...] = (Unrolled, Gradient, Trajectory, Distribution, Features)
METHODS = {each.name: each for each in _ALL}
"""The names of methods, as the command line takes them, and what they are."""

_BY_PAPERS = {
    "dd": "unrolled",
    "dc": "gradient",
    "dsa": "gradient with augment",
    "mtt": "trajectory",
    "dm": "distribution",
    "frepo": "features",
}


def method_named(name: str) -> type[Method[Any]]:
    """The method of a name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in METHODS:
        meant = _BY_PAPERS.get(name.lower())
        hint = f"{name.upper()} is {meant} here." if meant else ""
        raise unknown_name("method", name, METHODS, hint=hint)
    return METHODS[name]
