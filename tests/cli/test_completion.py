"""Scripts that complete the command line, in the shells that they are for."""

import os
import shutil
import subprocess
from dataclasses import fields

import pytest

import kernel_distill as kd
from kernel_distill.cli._commands import COMMANDS

# presses Tab after the last of its arguments, as bash itself does
_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
[[ $(complete -p kernel-distill) =~ -F\\ ([^ ]+) ]]
"${BASH_REMATCH[1]}" kernel-distill "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
# a terminal within zsh, since its completions are drawn, not returned
_ZSH = """
zmodload zsh/zpty
zpty -b shell zsh -f -i
zpty -w shell "PS1= ; fpath=(${1:h} \\$fpath); autoload -Uz compinit; compinit -u -D; print ready"
zpty -r shell begun '*ready*ready*'
zpty -w -n shell "$2"$'\\t\\t'
sleep 2
zpty -w -n shell $'\\x15'
zpty -w shell 'print finished'
zpty -r shell drawn '*finished*'
print -r -- "$drawn"
"""

TABS = [
    ("ev", {"evaluate"}),
    ("estimate ", {"kip", "label-solve"}),
    ("kip --data", {"--data-dir", "--dataset"}),
    ("kip --kernel n", {"ntk", "nngp"}),
    ("kip --architecture myrtle", {"myrtle5", "myrtle7", "myrtle10"}),
    ("estimate label-solve --block", {"--block-size"}),
    ("kip --preprocessing ", {"standardise", "zca", "whiten", "none"}),
    ("import --preprocessing d", {"dc"}),
    ("transfer --optimizer m", {"momentum"}),
    ("evaluate ru", {"runs"}),
    ("kip --dataset cifar", {"cifar10", "cifar100"}),
    ("evaluate runs --dataset ru", {"runs"}),
    ("export runs --form", {"--format"}),
]


@pytest.fixture(scope="module")
def scripts(cli, tmp_path_factory):
    """Those of the three shells, in files by the names that they look for."""
    folder = tmp_path_factory.mktemp("completion")
    written = {}
    for shell, name in (("bash", "bash"), ("zsh", "_kernel-distill"), ("fish", "fish")):
        outcome = cli("completion", shell)
        assert (outcome.status, outcome.err) == (0, "")
        written[shell] = folder / name
        written[shell].write_text(outcome.out)
    return written


@pytest.fixture
def press_tab(scripts, tmp_path):
    """What bash offers after a line, in a folder that has another one, `runs`, in it."""
    (tmp_path / "runs").mkdir()

    def press_tab(line: str) -> set[str]:
        words = ["kernel-distill", *line.split(" ")]
        # no program is there to be started: neither kernel-distill nor any Python
        offered = subprocess.run(
            [_program("bash"), "-c", _BASH, "bash", scripts["bash"], *words],
            cwd=tmp_path,
            env={"PATH": "/nowhere"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert offered.stderr == ""
        return set(offered.stdout.split())

    return press_tab


@pytest.mark.parametrize(("line", "offered"), TABS)
def test_bash(press_tab, line, offered):
    assert press_tab(line) == offered


def test_every_command_and_every_setting_is_offered(press_tab):
    assert press_tab("") == set(COMMANDS)
    settings = {
        f"--{field.name.replace('_', '-')}"
        for group in (kd.kip.Settings, kd.data.Settings)
        for field in fields(group)
    }
    assert settings | {"--out", "--resume", "--help"} <= press_tab("kip --")


@pytest.mark.parametrize(("line", "offered"), TABS)
def test_fish(scripts, tmp_path, line, offered):
    (tmp_path / "runs").mkdir()
    ask = f"source {scripts['fish']}; complete --do-complete 'kernel-distill {line}'"
    answer = subprocess.run(
        [_program("fish"), "--no-config", "-c", ask],
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stderr == ""
    words = {each.split("\t")[0].rstrip("/") for each in answer.stdout.splitlines()}
    assert words == offered


@pytest.mark.slow
def test_zsh(scripts, tmp_path):
    (tmp_path / "runs").mkdir()

    def press_tab(line: str) -> str:
        return subprocess.run(
            [_program("zsh"), "-f", "-c", _ZSH, "zsh", scripts["zsh"], line],
            cwd=tmp_path,
            env=os.environ | {"HOME": str(tmp_path), "TERM": "dumb"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    offered = press_tab("kernel-distill kip --data")
    assert "--data-dir" in offered
    assert "--dataset" in offered
    assert "--kernel" not in offered
    offered = press_tab("kernel-distill kip --dataset ")
    for name in ("mnist", "cifar100", "runs"):
        assert name in offered


def _program(name: str) -> str:
    """Its path, since some tests leave no programs on the PATH; skips without it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", "data/bash-completion/completions/kernel-distill"),
        ("zsh", "data/zsh/site-functions/_kernel-distill"),
        ("fish", ".config/fish/completions/kernel-distill.fish"),
    ],
)
def test_install(cli, scripts, tmp_path, monkeypatch, *, shell, place):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    outcome = cli("completion", shell, "--install")
    assert outcome.status == 0
    assert str(tmp_path / place) in outcome.out
    assert (tmp_path / place).read_text().strip() == scripts[shell].read_text().strip()
