"""Writing figures to files."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

KNOWN_SUFFIXES = (".png", ".pdf", ".svg")
PNG_DOTS_PER_INCH = 200


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure to a file, creating its folder.

    Parameters
    ----------
    figure : the figure.
    path : file to write; the suffix ``.png`` (200 dots per inch), ``.pdf`` or ``.svg`` selects the format. An
        existing file is overwritten. Text remains text in PDF and SVG.

    Returns
    -------
    The path.

    Raises
    ------
    ValueError
        For any other suffix.
    """
    file = Path(path)
    if file.suffix.lower() not in KNOWN_SUFFIXES:
        raise ValueError(f"A figure's file must end in {', '.join(KNOWN_SUFFIXES)}: got {str(file)!r}.")
    file.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"pdf.fonttype": 42, "svg.fonttype": "none"}):
        figure.savefig(file, dpi=PNG_DOTS_PER_INCH, facecolor="white")
    return file
