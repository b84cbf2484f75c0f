"""Docstrings and annotations as they are written here, for autodoc.

Docstrings have Markdown's backticks and tables, and formulas; annotations are jaxtyping's.
"""

import re
from collections.abc import Iterator
from typing import Any

from sphinx.application import Sphinx

# what RST takes for markup; what a line begins with is not: the bar of a table, the stars of
# **settings, which napoleon sees to
_BEGINNING = re.compile(r"\s*(\| |\*+(?=\w+:))?")
_NAMES = re.compile(r"    \w+(, \w+)+: ")
_MARKUP = re.compile(r"`(?P<code>[^`]+)`|[*|]|(?<=\w)_\b")
# what Python makes of names that are aliases
_ALIASES = {
    "jaxlib._jax.Array": "Array",
    "~jaxtyping.Key[Array, ''] | ~jaxtyping.UInt32[Array, '2'] | ~jaxtyping.UInt32[Array, '4']": (
        "PRNGKeyArray"
    ),
}


def to_rst(lines: list[str]) -> Iterator[str]:
    """Code and tables as RST has them; signs of formulas stay what they are."""
    within = False
    for line in map(_escaped, lines):
        if not line.startswith("| "):
            within = False
            yield line
        elif not set(line) <= set("\\| -:"):  # but the line below the header
            if not within:
                yield from (".. list-table::", "   :header-rows: 1", "")
            within = True
            for number, cell in enumerate(line.strip("\\| ").split(r" \| ")):
                yield f"   {'  -' if number else '* -'} {cell}"


def _escaped(line: str) -> str:
    def escape(found: re.Match[str]) -> str:
        return f"``{found['code']}``" if found["code"] else f"\\{found[0]}"

    # several names with one description, which napoleon takes for a name and its type
    if names := _NAMES.match(line):
        line = names[0].replace(", ", ",\N{NO-BREAK SPACE}") + line.removeprefix(names[0])
    beginning = _BEGINNING.match(line)[0]
    return beginning + _MARKUP.sub(escape, line.removeprefix(beginning))


def shortened(annotation: str | None) -> str | None:
    """With the names that stand in the code."""
    for made, written in _ALIASES.items():
        annotation = annotation and annotation.replace(made, written)
    return annotation


def _process_docstring(app: Sphinx, *described: Any) -> None:
    del app
    lines = described[-1]  # to be changed in place, as autodoc has it
    lines[:] = list(to_rst(lines))


def _process_signature(app: Sphinx, *described: Any) -> tuple[str | None, str | None]:
    del app
    *_, arguments, returned = described
    return shortened(arguments), shortened(returned)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _process_docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", _process_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
