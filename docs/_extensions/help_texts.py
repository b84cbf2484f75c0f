"""The directive `commands`: what `--help` tells of every command, as sections of a page."""

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from kernel_distill.cli import _commands as commands
from kernel_distill.cli._completion import argument_parser


class Commands(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        (chosen,) = (each for each in argument_parser()._actions if isinstance(each.choices, dict))
        lines: list[str] = []
        for name, parser in chosen.choices.items():
            lines += ["", f"## {name}", "", commands.description(name), "", "```"]
            lines += [commands.example(name), "```", "", *_options(parser)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _options(parser: Any) -> Iterator[str]:
    """Of the parser, or of those that it chooses among (estimate), as lists of definitions."""
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for inner in action.choices.values():
                yield from ("", f"### {inner.prog.split(' ', 1)[1]}", "")
                yield from _options(inner)
        elif action.dest != "help":
            yield from _definition(action)


def _definition(action: Any) -> Iterator[str]:
    value = "" if action.nargs == 0 or action.metavar is None else f" {action.metavar}"
    names = ", ".join(action.option_strings)
    yield from ("", f"`{(names + value).strip()}`", f": {' '.join((action.help or '').split())}")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
