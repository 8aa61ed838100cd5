"""Writing figures and their numbers to files."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

import vbn
from vbn.plots.source_data import source_data
from vbn.plots.style import drawing_style

KNOWN_SUFFIXES = (".png", ".pdf", ".svg")
PNG_DOTS_PER_INCH = 200
MADE_WITH = f"vbn-datajoint {vbn.__version__}, Matplotlib {mpl.__version__}"


def save_figure(figure: Figure, path: str | Path, *, made_by: str = "") -> Path:
    """Write a figure to a file, creating its folder.

    Parameters
    ----------
    figure : the figure.
    path : file to write; the suffix ``.png`` (200 dots per inch), ``.pdf`` or ``.svg`` selects the format. An
        existing file is overwritten. Text remains text in PDF and SVG.
    made_by : what makes the figure again, such as the command, to be kept in the file beside its title and
        the versions of this package and of Matplotlib.

    Returns
    -------
    The path.

    Raises
    ------
    ValueError
        For any other suffix.
    """
    file = Path(path)
    kind = file.suffix.lower()
    if kind not in KNOWN_SUFFIXES:
        raise ValueError(f"A figure's file must end in {', '.join(KNOWN_SUFFIXES)}: got {str(file)!r}.")
    file.parent.mkdir(parents=True, exist_ok=True)
    with drawing_style(), mpl.rc_context({"pdf.fonttype": 42, "svg.fonttype": "none"}):
        figure.savefig(file, dpi=PNG_DOTS_PER_INCH, metadata=_metadata(kind, _title(figure), made_by))
    return file


def save_source_data(figure: Figure, path: str | Path) -> Path:
    """Write the numbers that a figure shows to a CSV file, see `source_data`, creating its folder."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    source_data(figure).to_csv(file, index=False, float_format="%.9g", lineterminator="\n")
    return file


def _title(figure: Figure) -> str:
    """Return the first text of a figure, which is its title."""
    return figure.get_suptitle() or (figure.texts[0].get_text() if figure.texts else "")


def _metadata(kind: str, title: str, made_by: str) -> dict[str, str]:
    """Return what was used, under the names that each kind of file has for it."""
    program, text = {
        ".png": ("Software", "Description"),
        ".pdf": ("Creator", "Subject"),
        ".svg": ("Creator", "Description"),
    }[kind]
    return {
        name: value for name, value in {"Title": title, program: MADE_WITH, text: made_by}.items() if value
    }
