"""Draw the figures of docs/img from synthetic sessions, with the commands that a user types.

python docs/make_pictures.py    # a few minutes; the same seed draws the same figures

Everything happens in a temporary folder on an embedded server of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

IMAGES = Path(__file__).parent / "img"
SESSIONS = ("--sessions", "6", "--probes", "3", "--units-per-probe", "80", "--minutes", "24", "--seed", "3")
SESSION, MOUSE, STRUCTURE = "9000000001", "990001", "VISp"
WIDTH_PIXELS = 1200


def main() -> None:
    """Make the sessions, populate, draw."""
    with tempfile.TemporaryDirectory(prefix="vbn-pictures-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.environ.update(VBN_HOME=str(folder / "home"), DJ_IGNORE_CONFIG_FILE="true")
        os.environ.pop("DJ_HOST", None)
        data = folder / "data"
        try:
            vbn("synthetic", "--out", data, *SESSIONS)
            vbn("register", data, "--catalogue", data / "project_metadata")
            vbn("populate", "--processes", "2")
            for figure, words in figures().items():
                path = folder / f"{figure.replace('-', '_')}.png"
                vbn("plot", figure, *words, "--out", path)
                shrink(path, IMAGES / path.name)
        finally:
            vbn("down")


def vbn(*words: object) -> None:
    """Run the command line."""
    subprocess.run([sys.executable, "-m", "populate", *map(str, words)], check=True)


def figures() -> dict[str, tuple[str, ...]]:
    """Return the words of each figure's command."""
    import schemas
    from schemas import queries

    schemas.connect()
    units = queries.units(criteria="bennett_2025", session_id=int(SESSION), structure=STRUCTURE)
    table = queries.responses_table(units, ["ChangeResponse"]).query("change_is_responsive")
    unit_id = str(table.loc[table["change_modulation_active"].idxmax(), "unit_id"])
    return {
        "change-response": ("--session", SESSION, "--structure", STRUCTURE),
        "unit": ("--unit", unit_id),
        "hierarchy": (),
        "optotagging": ("--session", SESSION),
        "behavior": ("--session", SESSION),
        "training": ("--mouse", MOUSE),
        "session": ("--session", SESSION),
        "example": ("--session", SESSION),
        "fields": ("--session", SESSION, "--structure", STRUCTURE, "--at-most", "24"),
        "probe": ("--session", SESSION),
        "encoding": (),
        "strategy": ("--session", SESSION),
    }


def shrink(path: Path, out: Path) -> None:
    """Write a picture with fewer pixels and colours, which is enough for a page."""
    with Image.open(path) as picture:
        ratio = min(1.0, WIDTH_PIXELS / picture.width)
        size = (round(picture.width * ratio), round(picture.height * ratio))
        small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        small.quantize(256, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    main()
