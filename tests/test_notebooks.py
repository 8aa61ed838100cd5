"""The notebooks, run top to bottom; on MySQL, with the account of a reader."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


ON_BOTH_SERVERS = ("01_explore", "06_your_own_table")  # the others differ in what they compute only


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem in ON_BOTH_SERVERS else pytest.mark.files)
        for path in NOTEBOOKS
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq", "ignore::ResourceWarning")
def test_a_notebook_runs(path: Path, populated_synthetic: Any, reader_account: dict[str, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the client and its messaging, not of the notebook
        from nbclient import NotebookClient
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=500, kernel_name="python3")
    client.execute(env={**populated_synthetic.environment, **reader_account})
    shown = {
        kind
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        for kind in output.get("data", ())
    }
    assert "image/png" in shown


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_with_its_outputs_and_without_places_of_a_machine(path: Path) -> None:
    text = path.read_text()
    assert "image/png" in text
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [word for word in ("/home/", "/root/", "/tmp/", "/work/", "Traceback") if word in text]


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) == 8
