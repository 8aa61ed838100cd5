"""Colours, fonts and sizes of all figures.

The colours are those of Okabe and Ito (and Tol's purple), which can be distinguished with any colour vision.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import style as sheets

from vbn.errors import SettingError
from vbn.nearest import nearest

BLACK, BLUE, GREEN, ORANGE, PURPLE = "#000000", "#0072B2", "#009E73", "#D55E00", "#AA4499"
SKY_BLUE, AMBER = "#56B4E9", "#E69F00"
FLASH_GREY, QUIET_GREY = "#ECECEC", "#666666"
BASE_POINTS = 10.0
STYLE: dict[Any, Any] = {
    "font.size": BASE_POINTS,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.5,
    "text.parse_math": False,  # a name with two $ is no formula
}
"""Matplotlib settings of all figures."""
TEXT_SIZES = {"axes.titlesize": 1.0, "axes.labelsize": 1.0, "xtick.labelsize": 0.9, "ytick.labelsize": 0.9}
"""Setting -> its size, as a multiple of the font's."""

_chosen: ContextVar[dict[Any, Any] | None] = ContextVar("_chosen", default=None)


@contextmanager
def chosen_style(
    *, font: str | None = None, font_size: float | None = None, sheet: str | Path | None = None
) -> Iterator[None]:
    """Draw and save all figures within the context in another style.

    Parameters
    ----------
    font : family, such as Arial; by default Matplotlib's.
    font_size : of the labels of axes in points, by default 10; all other texts keep their ratio to it.
    sheet : name or file of a Matplotlib style sheet, which is laid over `STYLE`. Colours with a meaning stay.

    Raises
    ------
    SettingError
        If there is no such style sheet, or it cannot be read.

    Examples
    --------
    >>> with chosen_style(font_size=14):
    ...     with drawing_style():
    ...         points(8)
    11.2
    """
    settings = {} if sheet is None else _of_sheet(str(sheet))
    if font is not None:
        settings["font.family"] = [font]
    if font_size is not None:
        settings["font.size"] = font_size
        settings = {name: value for name, value in settings.items() if name not in TEXT_SIZES}
    token = _chosen.set(settings)
    try:
        yield
    finally:
        _chosen.reset(token)


def drawing_style() -> Any:
    """Return the context in which figures are drawn: `STYLE`, and what `chosen_style` lays over it."""
    settings = STYLE | (_chosen.get() or {})
    sizes: dict[Any, Any] = {name: ratio * float(settings["font.size"]) for name, ratio in TEXT_SIZES.items()}
    return mpl.rc_context(sizes | settings)


def points(size: float) -> float:
    """Return the size of a text, in points, that has this one where the font has 10."""
    return size * float(mpl.rcParams["font.size"]) / BASE_POINTS


def _of_sheet(sheet: str) -> dict[Any, Any]:
    """Return the settings of a style sheet."""
    if sheet in sheets.library:
        return dict(sheets.library[sheet])
    if not Path(sheet).is_file():
        near = nearest(sheet, sorted(sheets.library))
        raise SettingError(f"There is no style sheet '{sheet}', as a file or in Matplotlib.{near}")
    try:
        settings = dict(mpl.rc_params_from_file(sheet, use_default_template=False))
    except (OSError, UnicodeDecodeError, ValueError, KeyError) as error:
        raise SettingError(f"'{sheet}' is not a style sheet of Matplotlib: {error}") from error
    if not settings:
        raise SettingError(f"'{sheet}' is not a style sheet of Matplotlib: it has no settings.")
    return settings
