"""Run the notebooks of this folder and store their outputs, so that they show pictures where they are read.

python notebooks/execute.py FOLDER_OF_THE_DEMO

The demo's database is the same on every machine, so a second run changes no more than what really changed.
"""

from __future__ import annotations

import base64
import io
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image
from tqdm import tqdm

FOLDER = Path(__file__).parent
CELL_TIMEOUT_S = 300
COLOURS = 256


def main(demo: Path) -> None:
    """Run each notebook as a user of the demo's database does."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("DJ_", "VBN_"))}
    settings.update(VBN_HOME=str(demo.resolve()), DJ_IGNORE_CONFIG_FILE="true")
    for path in tqdm(sorted(FOLDER.glob("*.ipynb")), unit="notebook"):
        notebook = nbformat.read(path, as_version=4)
        # The times of the run would change the file with each one.
        NotebookClient(notebook, timeout=CELL_TIMEOUT_S, kernel_name="python3", record_timing=False).execute(
            env=settings
        )
        notebook.metadata["language_info"] = {"name": "python"}
        for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = with_fewer_colours(output["data"]["image/png"])
        nbformat.write(notebook, path)


def with_fewer_colours(picture: str) -> str:
    """Return a PNG in base64 as one with a palette, a third of the size."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    stored = io.BytesIO()
    image.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE).save(
        stored, "png", optimize=True
    )
    return base64.b64encode(stored.getvalue()).decode()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
