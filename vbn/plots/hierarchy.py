"""Figure of responses to image changes across the visual hierarchy and all other structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, ScalarFormatter
from numpy.typing import NDArray

from vbn.analysis.hierarchy import HIERARCHY_SCORES, StructureMedians
from vbn.counted import counted
from vbn.plots.bands import size_inches, spread
from vbn.plots.panels import of_projects, say, set_titles
from vbn.plots.source_data import name_rows
from vbn.plots.style import BLACK, ORANGE, QUIET_GREY, drawing_style, points

Floats = NDArray[np.float64]

HIERARCHY = "visual hierarchy"
NO_FILTER = "all"
HEIGHT_INCHES, MIN_WIDTH_INCHES, INCHES_PER_STRUCTURE, MARGIN_INCHES = 6.5, 7.2, 0.24, 1.2
MAX_UPRIGHT = 12
"""With more structures, their names are rotated."""
SCORE_STEPS, SCORE_LETTER_INCHES = 40, 0.062
"""Distance of a session's median from the mean, as a part of the range of scores."""
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
    "markersize": 3.2,
    "linestyle": "none",
    "alpha": 0.55,
    "markeredgewidth": 0,
}
POINT_SHIFT = 0.2
"""Distance of the sessions' medians from the mean over mice, in units of one structure's width."""
SCORE_INCHES = 3.4
"""Width of the panels against the hierarchy score, which need at least two structures with one."""
SCORE_LABEL = "Hierarchy score (Siegle 2021)"


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
    projects : data set -> its number of sessions; none if it is not known.
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
    projects: Mapping[str, int] = field(default_factory=dict)

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
    The figure. ``figure.axes`` are from top to bottom: latency, change modulation index, number of units;
    then latency and change modulation index against the hierarchy score, if at least two structures have one.

    Notes
    -----
    Large markers are means over mice of medians of sessions, with 95 % intervals over mice and units, none
    of one mouse; small markers beside them are the medians of sessions. Spearman's correlation is that of the
    large markers with the anatomical hierarchy score of Siegle et al. 2021.
    """
    scored = sum(name in HIERARCHY_SCORES for name in data.structures) > 1
    with drawing_style():
        if figure is None:
            width = max(MIN_WIDTH_INCHES, MARGIN_INCHES + INCHES_PER_STRUCTURE * (data.positions[-1] + 1))
            figure = Figure(figsize=(width + SCORE_INCHES * scored, HEIGHT_INCHES))
        share = SCORE_INCHES / figure.get_figwidth()
        ratios = (max(1 - share, 0.5), min(share, 0.5)) if scored else (1.0,)
        grid = figure.add_gridspec(3, len(ratios), height_ratios=(1, 1.25, 0.9), width_ratios=ratios)
        first = figure.add_subplot(grid[0, 0])
        panels = [first, *(figure.add_subplot(grid[row, 0], sharex=first) for row in (1, 2))]
        for axes in panels[:-1]:
            axes.tick_params(labelbottom=False)
        panels[0].set_xlim(-0.7, data.positions[-1] + 0.7)
        draw_latency(panels[0], data)
        draw_modulation(panels[1], data)
        draw_counts(panels[2], data)
        _name_structures(panels[2], data)
        _name_sections(panels[0], data)
        if scored:
            draw_scores(figure.add_subplot(grid[0, 1]), data, {"": (data.latency_s, BLACK)}, scale=1000.0)
            right = figure.add_subplot(grid[1, 1], sharex=figure.axes[3])
            draw_scores(right, data, _modulations(data))
            for axes, left in zip(figure.axes[3:], panels, strict=False):
                axes.set_ylim(left.get_ylim())
            figure.axes[3].tick_params(labelbottom=False)
            right.set_xlabel(SCORE_LABEL)
        figure.align_ylabels(panels)
        set_titles(figure, _title(data), _notes(data))
    return figure


def draw_scores(
    axes: Axes,
    data: ChangeHierarchy,
    measures: Mapping[str, tuple[StructureMedians, str]],
    *,
    scale: float = 1.0,
) -> None:
    """Draw measures against the published hierarchy score, in structures that have one.

    Parameters
    ----------
    axes : to draw into.
    data : the structures.
    measures : name -> measure and its colour.
    scale : what values are multiplied with.
    """
    if _is_empty(axes, *(measure for measure, _ in measures.values())):
        return
    scores = np.array([HIERARCHY_SCORES.get(name, np.nan) for name in data.structures])
    low, high = min(HIERARCHY_SCORES.values()), max(HIERARCHY_SCORES.values())
    step = (high - low) / SCORE_STEPS
    axes.set_xlim(low - 4 * step, high + 4 * step)
    sides = (-1.0, 1.0) if len(measures) > 1 else (0.0,)
    for side, (name, (measure, colour)) in zip(sides, measures.items(), strict=True):
        x, shift = scores + 0.5 * side * step, (side or 1.0) * step
        _draw_medians(axes, x, data.structures, measure, colour, name, scale, shift)
    known = np.any([np.isfinite(measure.median) for measure, _ in measures.values()], axis=0)
    style: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "color": QUIET_GREY, "va": "bottom"}
    shown = [int(at) for at in np.flatnonzero(known & np.isfinite(scores))]
    letter = points(SCORE_LETTER_INCHES) * (high - low + 8 * step) / size_inches(axes)[0]
    sizes = [(len(data.structures[at]) + 1) * letter for at in shown]
    places = spread(scores[shown], sizes, *axes.get_xlim())
    for at, place in zip(shown, places, strict=True):
        axes.text(place, 1.01, data.structures[at], ha="center", fontsize=points(7), **style)


def _modulations(data: ChangeHierarchy) -> dict[str, tuple[StructureMedians, str]]:
    return {"active": (data.modulation_active, BLACK), "passive": (data.modulation_passive, ORANGE)}


def draw_latency(axes: Axes, data: ChangeHierarchy) -> None:
    """Draw the latency by structure, in milliseconds."""
    axes.set_ylabel("Response onset\n(ms after change)")
    if _is_empty(axes, data.latency_s):
        return
    _draw_medians(axes, data.positions, data.structures, data.latency_s, BLACK, "", 1000.0)
    _write_correlations(axes, data, {"": (data.latency_s, BLACK)})


def draw_modulation(axes: Axes, data: ChangeHierarchy) -> None:
    """Draw the change modulation index by structure, in the task and in the replay."""
    axes.set_ylabel("Change modulation\nindex")
    if _is_empty(axes, data.modulation_active, data.modulation_passive):
        return
    axes.axhline(0, color=QUIET_GREY, linewidth=0.6, zorder=0.6)
    conditions = _modulations(data)
    for side, (name, (measure, colour)) in zip((-1, 1), conditions.items(), strict=True):
        x, shift = data.positions + 0.12 * side, side * POINT_SHIFT
        _draw_medians(axes, x, data.structures, measure, colour, name, shift=shift)
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
    axes.legend(ncols=2, frameon=False, fontsize=points(8), **place)


def _is_empty(axes: Axes, *measures: StructureMedians) -> bool:
    """Return whether there is nothing to draw, which the panel then says."""
    if any(np.isfinite(each.median).any() or len(each.point_median) for each in measures):
        return False
    say(axes, "too few units")
    return True


def _draw_medians(
    axes: Axes,
    x: Floats,
    structures: Sequence[str],
    measure: StructureMedians,
    colour: str,
    name: str,
    scale: float = 1.0,
    shift: float = -POINT_SHIFT,
) -> None:
    """Draw means over mice at x, and the medians of sessions beside them."""
    points_x = x[measure.point_structure] + shift
    placed = np.isfinite(points_x)  # structures without a score have no place
    label = f"{name} medians of sessions".strip()
    medians = measure.point_median[placed] * scale
    (line,) = axes.plot(points_x[placed], medians, color=colour, label=label, **POINT_STYLE)
    name_rows(line, [structures[at] for at in np.asarray(measure.point_structure)[placed]])
    shown = np.flatnonzero(np.isfinite(measure.median) & np.isfinite(x))
    median = measure.median[shown] * scale
    limits = np.array([measure.low[shown], measure.high[shown]]) * scale
    lengths = np.abs(limits - median)  # NaN, and no bar, of a single mouse
    style: dict[str, Any] = {"markersize": 5, "linewidth": 1.3, "color": colour}
    drawn = axes.errorbar(x[shown], median, yerr=lengths, fmt="o", **style)
    for mark in drawn.get_children():
        mark.set_label(f"{name} means over mice".strip())
        name_rows(mark, [structures[int(at)] for at in shown])
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
            fontsize=points(8),
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
    letter = points(LETTER_INCHES) * (high - low) / size_inches(axes)[0]
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
            fontsize=points(GROUP_POINTS),
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
    sessions = f"{counted(data.n_sessions, 'session')}{of_projects(data.projects)}{missing}"
    marks = "means over mice of session medians (small), 95 % intervals over mice and units"
    rule = (
        "Units, trials and index as in Siegle 2021: in the 250 ms after changes spike density rises by "
        "more than 5 SD of the 250 ms before, in task or replay, and exceeds 0.1 Hz in both"
    )
    notes = [f"{sessions}; {passing} changes excite; {marks}", rule]
    if data.left_out:
        ranked = sorted(data.left_out.items(), key=lambda pair: (-pair[1], pair[0]))
        few = ", ".join(f"{name} ({count})" for name, count in ranked[:MAX_LEFT_OUT])
        more = f" and {len(ranked) - MAX_LEFT_OUT} more" if len(ranked) > MAX_LEFT_OUT else ""
        notes.append(f"Left out, fewer than {data.min_units} responsive units: {few}{more}")
    return notes
