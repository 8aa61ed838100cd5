"""The notebooks, run top to bottom on a populated database."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq", "ignore::ResourceWarning")
def test_a_notebook_runs(path: Path, populated_synthetic: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the client and its messaging, not of the notebook
        from nbclient import NotebookClient
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=120, kernel_name="python3")
    client.execute(env={**os.environ, **populated_synthetic.environment})
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
    assert not [word for word in ("/home/", "/root/", "/tmp/", "/work/", "Traceback") if word in text]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
