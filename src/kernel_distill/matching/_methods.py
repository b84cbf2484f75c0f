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

_MEANT = {
    "dd": "DD is unrolled here.",
    "dc": "DC is gradient here.",
    "dsa": "DSA is gradient here, with augment.",
    "mtt": "MTT is trajectory here.",
    "dm": "DM is distribution here.",
    "frepo": "FRePo is features here.",
    "kip": "KIP is a command of its own, and kernel_distill.kip in Python.",
    "ls": "Label Solve is a command of its own, and kernel_distill.label_solve in Python.",
}
"""What to say to the names that papers have."""


def method_named(name: str) -> type[Method[Any]]:
    """The method of a name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in METHODS:
        raise unknown_name("method", name, METHODS, hint=_MEANT.get(name.lower(), ""))
    return METHODS[name]
