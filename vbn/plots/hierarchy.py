"""Figure of responses to image changes across the visual hierarchy and all other structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, ScalarFormatter
from numpy.typing import NDArray

from vbn.analysis.hierarchy import HIERARCHY_SCORES, StructureMedians
from vbn.plots.bands import size_inches, spread
from vbn.plots.panels import counted, say, set_titles
from vbn.plots.style import BLACK, ORANGE, QUIET_GREY, STYLE

Floats = NDArray[np.float64]

HIERARCHY = "visual hierarchy"
NO_FILTER = "all"
HEIGHT_INCHES, MIN_WIDTH_INCHES, INCHES_PER_STRUCTURE, MARGIN_INCHES = 6.5, 7.2, 0.24, 1.2
MAX_UPRIGHT = 12
"""With more structures, their names are rotated."""
MIN_SCORED = 5
"""Minimum number of structures for a correlation with the hierarchy score."""
MAX_LEFT_OUT = 12
GAP = 0.8
"""Gap between groups of structures, in units of one structure's width."""
GROUP_POINTS, LETTER_INCHES = 8, 0.075
TEXT_ROOM = 0.1
"""Space above the data per line of text, as a fraction of the panel's height."""
POINT_STYLE: dict[str, Any] = {
    "marker": "o",
    "markersize": 2.5,
    "linestyle": "none",
    "alpha": 0.35,
    "markeredgewidth": 0,
}


@dataclass(frozen=True)
class ChangeHierarchy:
    """Data of `plot_hierarchy`, from the excited units of Siegle et al. 2021 and engaged trials.

    Attributes
    ----------
    structures, groups : (n_structures,) acronyms and their groups, those in
        `vbn.analysis.hierarchy.HIERARCHY_SCORES` first.
    latency_s : onset of the response, seconds after changes in the task.
    modulation_active, modulation_passive : change modulation index of Siegle et al. 2021 in the task and in
        the replay, of the units for which it is defined.
    n_units, n_responsive : (n_structures,) number of all units, and of responsive ones.
    left_out : structures with too few responsive units -> their number.
    min_units : minimum number of responsive units.
    n_sessions, n_sessions_missing : number of sessions with these units, and of those not computed yet.
    experience_level : experience level of the sessions; None for all.
    criteria : name of the quality filter.
    layers : cortical layers of the units, none for all.
    """

    structures: Sequence[str]
    groups: Sequence[str]
    latency_s: StructureMedians
    modulation_active: StructureMedians
    modulation_passive: StructureMedians
    n_units: NDArray[np.int64]
    n_responsive: NDArray[np.int64]
    left_out: Mapping[str, int]
    min_units: int
    n_sessions: int
    n_sessions_missing: int
    experience_level: str | None
    criteria: str
    layers: Sequence[str] = ()

    @property
    def sections(self) -> list[str]:
        """(n_structures,) heading of each structure."""
        pairs = zip(self.structures, self.groups, strict=True)
        return [HIERARCHY if name in HIERARCHY_SCORES else group for name, group in pairs]

    @property
    def positions(self) -> Floats:
        """(n_structures,) horizontal positions, with gaps between sections."""
        sections = self.sections
        changes = [before != after for before, after in pairwise(sections)]
        return np.concatenate(([0.0], np.cumsum(1.0 + GAP * np.array(changes, dtype=np.float64))))


def plot_hierarchy(data: ChangeHierarchy, figure: Figure | None = None) -> Figure:
    """Draw latencies and modulation of the change response by structure.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one, wider for more structures.

    Returns
    -------
    The figure. ``figure.axes`` are from top to bottom: latency, change modulation index, number of units.

    Notes
    -----
    Large markers are means over mice of medians of sessions, with 95 % intervals over mice and units, none
    of one mouse; small markers are the medians of sessions. Spearman's correlation is that of the large
    markers with the anatomical hierarchy score of Siegle et al. 2021.
    """
    with mpl.rc_context(STYLE):
        if figure is None:
            width = MARGIN_INCHES + INCHES_PER_STRUCTURE * (data.positions[-1] + 1)
            figure = Figure(figsize=(max(MIN_WIDTH_INCHES, width), HEIGHT_INCHES))
        panels = list(figure.subplots(3, 1, sharex=True, height_ratios=(1, 1.25, 0.9)))
        panels[0].set_xlim(-0.7, data.positions[-1] + 0.7)
        draw_latency(panels[0], data)
        draw_modulation(panels[1], data)
        draw_counts(panels[2], data)
        _name_structures(panels[2], data)
        _name_sections(panels[0], data)
        figure.align_ylabels(panels)
        set_titles(figure, _title(data), _notes(data))
    return figure


def draw_latency(axes: Axes, data: ChangeHierarchy) -> None:
    """Draw the latency by structure, in milliseconds."""
    axes.set_ylabel("Response onset\n(ms after change)")
    if _is_empty(axes, data.latency_s):
        return
    _draw_medians(axes, data, data.latency_s, BLACK, scale=1000.0)
    _write_correlations(axes, data, {"": (data.latency_s, BLACK)})


def draw_modulation(axes: Axes, data: ChangeHierarchy) -> None:
    """Draw the change modulation index by structure, in the task and in the replay."""
    axes.set_ylabel("Change modulation\nindex")
    if _is_empty(axes, data.modulation_active, data.modulation_passive):
        return
    axes.axhline(0, color=QUIET_GREY, linewidth=0.6, zorder=0.6)
    conditions = {"active": (data.modulation_active, BLACK), "passive": (data.modulation_passive, ORANGE)}
    for side, (measure, colour) in zip((-1, 1), conditions.values(), strict=True):
        _draw_medians(axes, data, measure, colour, shift=0.16 * side)
    _write_correlations(axes, data, conditions)


def draw_counts(axes: Axes, data: ChangeHierarchy) -> None:
    """Draw the number of units and of responsive units by structure."""
    axes.set_yscale("log")
    counts = {"all units": (data.n_units, "white"), "responsive units": (data.n_responsive, BLACK)}
    for label, (count, fill) in counts.items():
        axes.plot(data.positions, count, "o", color=BLACK, markerfacecolor=fill, markersize=4.5, label=label)
    axes.set_ylim(data.n_responsive.min() / 2, data.n_units.max() * 2)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=6))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("Number of units")
    place: dict[str, Any] = {
        "loc": "lower right",
        "bbox_to_anchor": (1.0, 0.98),
        "borderpad": 0.0,
        "handletextpad": 0.1,
    }
    axes.legend(ncols=2, frameon=False, fontsize=8, **place)


def _is_empty(axes: Axes, *measures: StructureMedians) -> bool:
    """Return whether there is nothing to draw, which the panel then says."""
    if any(np.isfinite(each.median).any() or len(each.point_median) for each in measures):
        return False
    say(axes, "too few units")
    return True


def _draw_medians(
    axes: Axes,
    data: ChangeHierarchy,
    measure: StructureMedians,
    colour: str,
    *,
    scale: float = 1.0,
    shift: float = 0.0,
) -> None:
    x = data.positions + shift
    axes.plot(x[measure.point_structure], measure.point_median * scale, color=colour, **POINT_STYLE)
    shown = np.flatnonzero(np.isfinite(measure.median))
    median = measure.median[shown] * scale
    limits = np.array([measure.low[shown], measure.high[shown]]) * scale
    lengths = np.where(np.isfinite(limits), np.abs(limits - median), 0.0)
    style: dict[str, Any] = {"markersize": 5, "linewidth": 1.3, "color": colour}
    axes.errorbar(x[shown], median, yerr=lengths, fmt="o", **style)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _write_correlations(
    axes: Axes, data: ChangeHierarchy, measures: Mapping[str, tuple[StructureMedians, str]]
) -> None:
    """Write the correlation of each measure's structure medians with the hierarchy score, one per line."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + TEXT_ROOM * len(measures) * (high - low))
    for line, (name, (measure, colour)) in enumerate(measures.items()):
        text = ": ".join(part for part in (name, _correlation(data, measure)) if part)
        axes.annotate(
            text,
            (1.0, 1.0),
            (0, -10 * line),
            xycoords="axes fraction",
            textcoords="offset points",
            color=colour,
            fontsize=8,
            ha="right",
            va="top",
        )


def _correlation(data: ChangeHierarchy, measure: StructureMedians) -> str:
    pairs = [
        (HIERARCHY_SCORES[name], median)
        for name, median in zip(data.structures, measure.median, strict=True)
        if name in HIERARCHY_SCORES and np.isfinite(median)
    ]
    if len(pairs) < MIN_SCORED or len({median for _, median in pairs}) < 2:
        return ""
    r = np.corrcoef(pd.DataFrame(pairs).rank().to_numpy(), rowvar=False)[0, 1]
    return f"Spearman's r with the hierarchy = {r:.2f}"


def _name_structures(axes: Axes, data: ChangeHierarchy) -> None:
    is_rotated = len(data.structures) > MAX_UPRIGHT
    axes.set_xticks(data.positions, list(data.structures), rotation=90 if is_rotated else 0)


def _name_sections(axes: Axes, data: ChangeHierarchy) -> None:
    """Write the names of the groups of structures above the panels, with a line over each group."""
    members = [list(group) for _, group in groupby(range(len(data.structures)), data.sections.__getitem__)]
    names = [data.sections[group[0]] for group in members]
    limits = np.array([[data.positions[group[0]], data.positions[group[-1]]] for group in members])
    low, high = axes.get_xlim()
    letter = LETTER_INCHES * (high - low) / size_inches(axes)[0]
    sizes = [(len(name) + 1) * letter for name in names]
    centres = limits.mean(axis=1)
    positions = spread(centres, sizes, low, high)
    across = axes.get_xaxis_transform()
    for name, (first, last), centre, x in zip(names, limits, centres, positions, strict=True):
        line: dict[str, Any] = {"color": QUIET_GREY, "clip_on": False, "transform": across}
        axes.plot([first - 0.4, last + 0.4], [1.05, 1.05], linewidth=1.2, **line)
        axes.plot([centre, x], [1.06, 1.11], linewidth=0.7, **line)
        axes.text(
            x,
            1.12,
            name,
            fontsize=GROUP_POINTS,
            ha="center",
            va="bottom",
            color=QUIET_GREY,
            transform=across,
        )


def _title(data: ChangeHierarchy) -> str:
    images = "" if data.experience_level is None else f", {data.experience_level.lower()} images"
    word = "layers" if len(data.layers) > 1 else "layer"
    layers = f", {word} {', '.join(data.layers)}" if data.layers else ""
    return f"Responses to image changes over structures{images}{layers}"


def _notes(data: ChangeHierarchy) -> list[str]:
    missing = f" ({data.n_sessions_missing} more not computed)" if data.n_sessions_missing else ""
    passing = "all units that" if data.criteria == NO_FILTER else f"units that pass {data.criteria} and"
    sessions = f"{counted(data.n_sessions, 'session')}{missing}"
    marks = "means over mice of session medians (small), 95 % intervals over mice and units"
    notes = [f"{sessions}; {passing} changes excite", f"Units, trials and index as in Siegle 2021; {marks}"]
    if data.left_out:
        ranked = sorted(data.left_out.items(), key=lambda pair: (-pair[1], pair[0]))
        few = ", ".join(f"{name} ({count})" for name, count in ranked[:MAX_LEFT_OUT])
        more = f" and {len(ranked) - MAX_LEFT_OUT} more" if len(ranked) > MAX_LEFT_OUT else ""
        notes.append(f"Left out, fewer than {data.min_units} responsive units: {few}{more}")
    return notes
