"""The command line: one file a command."""

from kernel_distill.cli._main import main as main
