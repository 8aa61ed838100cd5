"""Writing figures to files."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

KNOWN_SUFFIXES = (".png", ".pdf", ".svg")
PNG_DOTS_PER_INCH = 200


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure to a file, making its folder.

    Parameters
    ----------
    figure : what to write.
    path : the file; the suffix ``.png`` (200 dots per inch), ``.pdf`` or ``.svg`` chooses the format. An
        existing file is overwritten. Text stays text in pdf and svg.

    Returns
    -------
    The path.

    Raises
    ------
    ValueError
        For another suffix.
    """
    file = Path(path)
    if file.suffix.lower() not in KNOWN_SUFFIXES:
        raise ValueError(f"A figure's file must end in {', '.join(KNOWN_SUFFIXES)}: got {str(file)!r}.")
    file.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"pdf.fonttype": 42, "svg.fonttype": "none"}):
        figure.savefig(file, dpi=PNG_DOTS_PER_INCH, facecolor="white")
    return file
