"""Runs notebooks from the start and keeps their outputs: python notebooks/run.py [NAME ...]"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent


def executed(path: Path, folder: Path, *, parameters: str | None = None) -> nbformat.NotebookNode:
    """The notebook with its outputs, run in a folder; the package is installed already.

    Args:
        path: of the notebook.
        folder: where it runs and leaves its files.
        parameters: in place of the cell with that tag, for quicker ones.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raises an error.
    """
    notebook = nbformat.read(path, as_version=4)
    original = {cell.id: cell.source for cell in notebook.cells}
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", ())
        if "install" in tags:
            cell.source = ""
        elif "parameters" in tags and parameters is not None:
            cell.source = parameters
    client = NotebookClient(
        notebook,
        timeout=1200,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    for cell in notebook.cells:
        cell.source = original[cell.id]
        for output in cell.get("outputs", ()):  # other than results: progress bars, warnings
            if output.get("name") == "stderr":
                print(f"{path.name}: {output.text}", file=sys.stderr)
    return notebook


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            done = executed(FOLDER / f"{name}.ipynb", Path(folder))
        nbformat.write(done, FOLDER / f"{name}.ipynb")
        print(name)
