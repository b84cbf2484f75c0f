"""The directive `help`: what `kernel-distill COMMAND --help` prints."""

import contextlib
import io
import os
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from kernel_distill.cli import main


class Help(SphinxDirective):
    """The argument is the command."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = main([*self.arguments, "--help"])
        if status:
            raise self.error(f"{self.arguments} has no help")
        return [nodes.literal_block(text=printed.getvalue().strip(), language="text")]


def setup(app: Sphinx) -> dict[str, Any]:
    os.environ["COLUMNS"] = "88"  # tyro's width
    app.add_directive("help", Help)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
