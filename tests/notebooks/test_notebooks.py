"""The notebooks: each runs from the start, and is kept as it can be read without running."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"

# in place of the cell of parameters: fewer steps, on data that are there
QUICK = {
    "quickstart": 'DATASET, STEPS, TRAINING_STEPS = "digits", 20, 20',
    "label_solve": 'DATASET, IMAGES = "digits", 50',
    "transfer": (
        'DATASET, ARCHITECTURE, STEPS, BATCH = "digits", "convnet1", 3, 20\n'
        "HELD_OUT, WIDTH, TRAINING_STEPS, SEEDS = 100, 8, 20, 2"
    ),
    "own_data": 'FOLDER, STEPS = "my_images", 20',
}


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_notebooks", FOLDER / "run.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(cell: nbformat.NotebookNode) -> set[str]:
    """What a cell of assignments gives values to."""
    return set(re.findall(r"\b[A-Z_]+\b", re.sub(r'".*?"|=.*', "", cell.source)))


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_it_runs_from_the_start(name: str, runner: ModuleType, tmp_path: Path) -> None:
    done = runner.executed(FOLDER / f"{name}.ipynb", tmp_path, parameters=QUICK[name])
    install, *cells = (cell for cell in done.cells if cell.cell_type == "code")
    assert install.execution_count is None  # left out: what is tested is what is installed
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_it_can_be_read_without_running(path: Path) -> None:
    assert path.stem in QUICK
    assert path.stat().st_size < 1_000_000
    text = path.read_text()
    assert not re.search(r"(?<![\w.:/])/(home|root|tmp|work|usr)/", text)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    badge, install, *cells = notebook.cells
    assert f"/blob/main/notebooks/{path.name})" in badge.source
    assert install.metadata["tags"] == ["install"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    assert {output.output_type for output in outputs} <= {
        "stream",
        "display_data",
        "execute_result",
    }
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    (parameters,) = (cell for cell in cells if cell.metadata.get("tags") == ["parameters"])
    assert names(parameters) == names(nbformat.v4.new_code_cell(QUICK[path.stem]))
    links = re.findall(r"\]\((?!http)([^)#]+)\)", "".join(cell.source for cell in cells))
    assert all((FOLDER / link).exists() for link in links)
