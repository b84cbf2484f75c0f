"""The commands that make a set again, from words that are known: people paste them into a shell."""

import re
import shlex
from collections.abc import Mapping

from kernel_distill.artefact import PACKAGES

COMMANDS = ("kip", "label-solve", "match")
"""Of the command line, those that make sets."""

_VERSION = re.compile(r"[A-Za-z0-9._+!-]+")


def commands(command: str, packages: Mapping[str, str]) -> str:
    """What installs the versions, and runs `config.yaml` again.

    Args:
        command: one of `COMMANDS`; any other is left out.
        packages: versions by names as `package_versions` has them; so are names that it does not
            have, and versions that are none: a file may come from anybody.
    """
    pins = [
        shlex.quote(f"{name}=={version}")
        for name in PACKAGES
        if _VERSION.fullmatch(version := str(packages.get(name.replace("-", "_"), "")))
    ]
    lines = [f"pip install {' '.join(pins)}"] if pins else []
    if command in COMMANDS:
        lines += [f"kernel-distill {command} --config config.yaml --out again"]
    return "\n".join(lines)
