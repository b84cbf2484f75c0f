"""Imports within the package run one way."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "kernel_distill"

# what each part may import, besides the bottom and itself
BOTTOM = {
    *("_archive", "_errors", "_files", "_settings", "_interrupt", "_hosts", "_memory", "_npz"),
    *("_tensorflow", "_optimizers", "_trees"),
}
ALLOWED: dict[str, set[str]] = {
    "_archive": set(),
    "_errors": set(),
    "_files": set(),
    "_settings": set(),
    "_interrupt": set(),
    "_hosts": set(),
    "_memory": set(),
    "_npz": set(),
    "_tensorflow": set(),
    "_optimizers": set(),
    "_trees": set(),
    "data": set(),
    "artefact": set(),
    "kernels": set(),
    "distributed": {"kernels"},
    "networks": {"kernels"},
    "foreign": {"data", "artefact", "kernels"},
    "evaluation": {"data", "artefact", "kernels"},
    "report": {"artefact"},
    "viewing": {"data", "artefact"},
    "watchers": {"artefact"},
    "results": {"data", "artefact", "kernels", "evaluation", "report", "viewing"},
    "supports": {"data", "kernels"},
    "estimates": {"kernels", "distributed"},
    "outer_loop": {"artefact", "results", "viewing"},
}
ALLOWED["kip"] = ALLOWED["label_solve"] = {
    *("data", "artefact", "kernels", "distributed"),
    *("evaluation", "results", "supports", "estimates", "viewing", "outer_loop"),
}
ALLOWED["transfer"] = {"data", "artefact", "kernels", "networks", "evaluation", "supports"}
ALLOWED["matching"] = {
    *("data", "artefact", "kernels", "networks", "evaluation", "transfer"),
    *("results", "supports", "viewing", "outer_loop"),
}
ALLOWED["cli"] = set(ALLOWED)
ALLOWED["__init__"] = set()  # names are loaded where they are first used: __init__.pyi

PARTS = sorted(
    path.stem
    for path in PACKAGE.iterdir()
    if path.suffix == ".py" or (path.is_dir() and list(path.glob("*.py")))
)


def files_of(part: str) -> list[Path]:
    folder = PACKAGE / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def imported(file: Path) -> set[str]:
    """Full names of modules that a file imports anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno}: a relative import"
            # `from kernel_distill import kip` as much as `from kernel_distill.kip import distill`
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("part", PARTS)
def test_imports_run_one_way(part: str) -> None:
    assert part in ALLOWED, f"say in {Path(__file__).name} what {part} may import"
    allowed = ALLOWED[part] | BOTTOM | {part}
    for file in files_of(part):
        for name in imported(file):
            package, _, rest = name.partition(".")
            if package == "kernel_distill":
                assert rest.split(".")[0] in allowed, f"{file} imports {name}"


def test_the_table_has_no_way_round() -> None:
    order: list[str] = []
    while len(order) < len(ALLOWED):
        free = [part for part in ALLOWED if part not in order and ALLOWED[part] <= set(order)]
        assert free, f"these import one another: {set(ALLOWED) - set(order)}"
        order += free


def test_one_module_imports_neural_tangents() -> None:
    # it does so by name, through importlib
    users = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == "neural_tangents" for name in imported(file))
        or 'import_module("neural_tangents' in file.read_text()
    }
    assert users == {"kernels/_neural_tangents_import.py"}
