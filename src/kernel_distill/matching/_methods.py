"""The methods by name."""

from typing import Any

from kernel_distill._errors import unknown_name
from kernel_distill.matching._method import Method

METHODS: dict[str, type[Method[Any]]] = {}
"""The names of methods, as the command line takes them, and what they are."""


def method_named(name: str) -> type[Method[Any]]:
    """The method of a name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    return METHODS[name]
