"""The numbers that a figure shows, as journals ask for them: a table, read from what was drawn.

They are taken from the marks themselves, so that table and picture cannot differ, and stand in the units of
the figure's axes. Marks without numbers (shades of flashes, strips of structures, lines at an axis's zero)
are left out, as are fitted ellipses, whose numbers the figure writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection, LineCollection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.ticker import FixedLocator

from vbn.plots.bands import GUIDE

COLUMNS = ("panel", "title", "x_label", "y_label", "series", "mark", "row", "x", "y", "low", "high", "value")

_rows_of: WeakKeyDictionary[Artist, list[str]] = WeakKeyDictionary()


def name_rows(mark: Artist, names: Sequence[object]) -> None:
    """Say what the rows of an image, or the points of a line, are: such as the ids of units, in order.

    Parameters
    ----------
    mark : an image, line or interval that was drawn.
    names : (n_rows,) or (n_points,) names.
    """
    _rows_of[mark] = [str(name) for name in names]


def source_data(figure: Figure) -> pd.DataFrame:
    """Return the numbers that a figure shows.

    Parameters
    ----------
    figure : a figure of ``vbn.plots``.

    Returns
    -------
    One row per point, bin or interval, with the columns `COLUMNS`: ``panel``, its number in ``figure.axes``
    from 1, and its ``title`` and labels; ``series``, the name of the curve; ``mark``, which is ``line``,
    ``level`` (a line at one y), ``band``, ``interval``, ``bar`` or ``image``; ``row``, the name of an image's
    row or of a place on the x axis; ``x``, ``y`` in the units of the axes; ``low`` and ``high`` of bands,
    intervals and bars along the axis that they have no single value on; ``value`` of an image at x and y.
    What a mark has not is missing.
    """
    parts = []
    for number, axes in enumerate(figure.axes, 1):
        labels = {"title": axes.get_title("left") or axes.get_title(), **_labels(axes)}
        words = {name: " ".join(text.split()) for name, text in labels.items()}
        for part in _marks(axes):
            parts.append(part.assign(panel=number, **words))
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return frame.reindex(columns=list(COLUMNS))


def _labels(axes: Axes) -> dict[str, str]:
    """Return the labels of the axes, which may stand at another panel that shares them."""
    words = {}
    for name in ("x", "y"):
        label = getattr(axes, f"get_{name}label")
        shared = getattr(axes, f"get_shared_{name}_axes")().get_siblings(axes)
        others = (text for each in shared if (text := getattr(each, f"get_{name}label")()))
        words[f"{name}_label"] = label() or next(others, "")
    return words


def _marks(axes: Axes) -> Iterator[pd.DataFrame]:
    bars = [bar for kind in axes.containers if isinstance(kind, BarContainer) for bar in kind.patches]
    for image in axes.images:
        yield _of_image(image)
    for line in axes.lines:
        if line.get_gid() == GUIDE:
            continue
        if line.get_transform() == axes.transData:
            yield _of_line(axes, line)
        elif line.get_transform() == axes.get_yaxis_transform(which="grid") and _has_name(line):
            yield _named(line, "level", y=np.asarray(line.get_ydata(), dtype=np.float64)[:1])
    for collection in axes.collections:
        if collection.get_gid() == GUIDE:
            continue
        if isinstance(collection, FillBetweenPolyCollection):
            yield _of_band(collection)
        elif isinstance(collection, LineCollection):
            yield _of_intervals(collection)
    for patch in axes.patches:
        if isinstance(patch, StepPatch):
            yield _of_steps(patch)
    if bars:
        yield _of_bars(axes)


def _has_name(mark: Any) -> bool:
    return not str(mark.get_label()).startswith("_")


def _named(mark: Any, kind: str, **columns: Any) -> pd.DataFrame:
    series = str(mark.get_label()) if _has_name(mark) else ""
    return pd.DataFrame({"series": series, "mark": kind, **columns})


def _of_image(image: AxesImage) -> pd.DataFrame:
    values = np.ma.filled(np.ma.asarray(image.get_array(), dtype=np.float64), np.nan)
    left, right, bottom, top = image.get_extent()
    if image.origin == "upper":
        bottom, top = top, bottom
    (n_rows, n_columns), names = values.shape[:2], _rows_of.get(image)
    x = left + (np.arange(n_columns) + 0.5) * (right - left) / n_columns
    y = bottom + (np.arange(n_rows) + 0.5) * (top - bottom) / n_rows
    columns = {"x": np.tile(x, n_rows), "y": np.repeat(y, n_columns), "value": values.ravel()}
    return _named(image, "image", row=np.repeat(names, n_columns) if names else None, **columns)


def _of_line(axes: Axes, line: Line2D) -> pd.DataFrame:
    x, y = (np.asarray(values, dtype=np.float64) for values in line.get_data())
    return _named(line, "line", row=_rows_of.get(line) or _places(axes, x), x=x, y=y)


def _places(axes: Axes, x: np.ndarray) -> list[str] | None:
    """Return the name of the place on the x axis that each point is nearest to, if places have names."""
    if not isinstance(axes.xaxis.get_major_locator(), FixedLocator) or not np.isfinite(x).all():
        return None
    ticks = np.asarray(axes.get_xticks(), dtype=np.float64)
    names = [" ".join(name.split()) for name in axes.xaxis.get_major_formatter().format_ticks(list(ticks))]
    numbers = [f"{tick:g}".replace("-", "\N{MINUS SIGN}") for tick in ticks]
    if not names or names == numbers:
        return None
    return [names[int(np.argmin(np.abs(ticks - each)))] for each in x]


def _of_band(band: FillBetweenPolyCollection) -> pd.DataFrame:
    """Return the band between two curves, at each of their points."""
    parts = []
    for path in band.get_paths():
        # A corner, one curve, a corner, the other curve backwards, and the first corner again.
        vertices = np.asarray(path.vertices, dtype=np.float64)
        n_points = (len(vertices) - 3) // 2
        curve, other = vertices[1 : n_points + 1], vertices[n_points + 2 : 2 * n_points + 2][::-1]
        low, high = np.sort([curve[:, 1], other[:, 1]], axis=0)
        parts.append(pd.DataFrame({"x": curve[:, 0], "low": low, "high": high}))
    limits = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["x", "low", "high"])
    return _named(band, "band", **{name: limits[name].to_numpy() for name in ("x", "low", "high")})


def _of_intervals(lines: LineCollection) -> pd.DataFrame:
    segments = [np.asarray(segment, dtype=np.float64) for segment in lines.get_segments()]
    drawn = [at for at, segment in enumerate(segments) if len(segment) == 2]  # those without limits are empty
    ends = np.array([segments[at] for at in drawn]).reshape(-1, 2, 2)
    (x, y), (last_x, last_y) = ends[:, 0].T, ends[:, 1].T
    names = _rows_of.get(lines)
    row = None if names is None else [names[at] for at in drawn]
    if np.array_equal(x, last_x):
        return _named(lines, "interval", row=row, x=x, low=y, high=last_y)
    return _named(lines, "interval", row=row, y=y, low=x, high=last_x)


def _of_steps(steps: StepPatch) -> pd.DataFrame:
    values, edges, _ = steps.get_data()
    return _named(steps, "bar", y=np.asarray(values), low=edges[:-1], high=edges[1:])


def _of_bars(axes: Axes) -> pd.DataFrame:
    parts = []
    for bars in axes.containers:
        if not isinstance(bars, BarContainer):
            continue
        boxes = [bar.get_bbox().extents for bar in bars.patches]
        left, bottom, right, top = np.array(boxes, dtype=np.float64).reshape(-1, 4).T
        if bars.orientation == "horizontal":
            parts.append(_named(bars, "bar", x=right, low=bottom, high=top))
        else:
            places = _places(axes, (left + right) / 2)
            parts.append(_named(bars, "bar", row=places, y=top, low=left, high=right))
    return pd.concat(parts, ignore_index=True)
