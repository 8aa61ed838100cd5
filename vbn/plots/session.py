"""Figure of a whole session over time: stimulus blocks, activity of the units, behavior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from vbn.analysis.spikes.binning import z_scores
from vbn.counted import counted
from vbn.plots.bands import GUIDE, draw_bands, size_inches, spread, structure_bands
from vbn.plots.panels import (
    SECONDS_PER_MINUTE,
    draw_trace,
    is_missing,
    say,
    set_titles,
    time_limits_min,
)
from vbn.plots.structure_colours import group_rank
from vbn.plots.style import (
    AMBER,
    BLACK,
    BLUE,
    FLASH_GREY,
    GREEN,
    ORANGE,
    PURPLE,
    QUIET_GREY,
    SKY_BLUE,
    drawing_style,
    points,
)

Floats = NDArray[np.float64]

FIGURE_SIZE_INCHES = (7.2, 8.2)
HEIGHT_RATIOS = (0.75, 4.2, 0.9, 0.9, 0.9)
WITHOUT_UNITS = (0.55, 0.5, 0.9, 0.9, 0.9)
STRIP_BOX = (-0.19, 0.0, 0.18, 1.0)
LARGEST_Z = 3.0
BLOCK_COLOURS = {
    "change detection": GREEN,
    "replay": SKY_BLUE,
    "Gabors": AMBER,
    "flashes": "#CC79A7",
    "gray": "#CCCCCC",
    "laser": ORANGE,
}
"""Colour of each kind of block, by its label."""
LABEL_POINTS = 8.5
LETTER_WIDTH = 0.6
"""Approximate, as a fraction of the font size."""


@dataclass(frozen=True)
class SessionOverview:
    """Data of `plot_session`. Times are seconds on the session clock.

    Attributes
    ----------
    session_id, session_type : id and protocol of the session.
    block_name : (n_blocks,) keys of `BLOCK_COLOURS`, in order of time.
    block_start_s, block_stop_s : (n_blocks,) start and stop of the blocks.
    edges_s : (n_bins + 1,) edges of equal bins.
    rate_hz : (n_units, n_bins) firing rates; no rows for a behavior-only session.
    structure, structure_group : (n_units,) structure and group of each unit; None for no structure.
    depth_um : (n_units,) micrometres from the probe's tip.
    running_speed_cm_s, pupil_area_px2 : (n_bins,) means; None if not recorded.
    lick_rate_hz : (n_bins,) licks per second.
    reward_time_s : (n_rewards,) seconds.
    """

    session_id: int
    session_type: str
    block_name: Sequence[str]
    block_start_s: Floats
    block_stop_s: Floats
    edges_s: Floats
    rate_hz: Floats
    structure: Sequence[str | None]
    structure_group: Sequence[str | None]
    depth_um: Floats
    running_speed_cm_s: Floats | None
    pupil_area_px2: Floats | None
    lick_rate_hz: Floats
    reward_time_s: Floats

    def __post_init__(self) -> None:
        n_units, n_bins = np.shape(self.rate_hz)
        per_unit = ("structure", "structure_group", "depth_um")
        wrong = [name for name in per_unit if len(getattr(self, name)) != n_units]
        per_bin = ("running_speed_cm_s", "pupil_area_px2", "lick_rate_hz")
        wrong += [
            name for name in per_bin if (trace := getattr(self, name)) is not None and len(trace) != n_bins
        ]
        wrong += ["edges_s"] if len(self.edges_s) != n_bins + 1 else []
        if wrong:
            raise ValueError(f"All must agree with {n_units} units and {n_bins} bins; not so: {wrong}.")
        if unknown := sorted(set(self.block_name) - set(BLOCK_COLOURS)):
            raise ValueError(f"Unknown blocks {unknown}. Known: {', '.join(BLOCK_COLOURS)}.")

    @property
    def bin_time_s(self) -> Floats:
        """(n_bins,) centres of the bins."""
        return (self.edges_s[:-1] + self.edges_s[1:]) / 2


def plot_session(data: SessionOverview, figure: Figure | None = None) -> Figure:
    """Draw a session from beginning to end.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one of 7.2 x 8.2 inches.

    Returns
    -------
    The figure. ``figure.axes`` are, from top to bottom, the panels: blocks, activity of the units, running,
    pupil, licks; the strip with the structure names and the colour bar are children of the second.

    Notes
    -----
    Rates are drawn as z-scores over the session, one row per unit; where there are more rows than pixels,
    neighbouring units are averaged.
    """
    with drawing_style():
        figure = figure or Figure(figsize=FIGURE_SIZE_INCHES)
        ratios = HEIGHT_RATIOS if len(data.rate_hz) else WITHOUT_UNITS
        panels = list(figure.subplots(5, 1, sharex=True, height_ratios=ratios))
        time_limits_min(panels, data.edges_s[0], data.edges_s[-1])
        draw_blocks(panels[0], data)
        _draw_population(figure, panels[1], data)
        running, pupil = data.running_speed_cm_s, data.pupil_area_px2
        draw_trace(panels[2], data.bin_time_s, running, "Running\n(cm/s)", GREEN, "no running")
        draw_trace(panels[3], data.bin_time_s, pupil, "Pupil area\n(px²)", PURPLE, "no eye tracking")
        draw_lick_rate(panels[4], data)
        _finish(figure, panels, data)
    return figure


def draw_blocks(axes: Axes, data: SessionOverview) -> None:
    """Draw the stimulus blocks as bars, with their names above."""
    starts, stops = data.block_start_s / SECONDS_PER_MINUTE, data.block_stop_s / SECONDS_PER_MINUTE
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(bottom=False)
    for name, start, stop in zip(data.block_name, starts, stops, strict=True):
        axes.axvspan(start, stop, 0, 0.42, color=BLOCK_COLOURS[name], linewidth=0)
    low, high = axes.get_xlim()
    letter = points(LABEL_POINTS) / 72 * LETTER_WIDTH * (high - low) / size_inches(axes)[0]
    centres = (starts + stops) / 2
    order = np.argsort(centres, kind="stable")
    sizes = [(len(data.block_name[block]) + 1.5) * letter for block in order]
    for block, x in zip(order, spread(centres[order], sizes, low, high), strict=True):
        name = data.block_name[block]
        axes.plot([centres[block], x], [0.44, 0.62], color=QUIET_GREY, linewidth=0.7, clip_on=False)
        axes.text(x, 0.65, name, fontsize=points(LABEL_POINTS), ha="center", va="bottom")


def draw_population(axes: Axes, data: SessionOverview) -> AxesImage:
    """Draw the activity of the units, sorted by structure and depth as in `unit_order`."""
    values = z_scores(data.rate_hz)[unit_order(data)]
    start, stop = data.edges_s[[0, -1]] / SECONDS_PER_MINUTE
    return axes.imshow(
        values,
        aspect="auto",
        cmap="RdBu_r",
        vmin=-LARGEST_Z,
        vmax=LARGEST_Z,
        extent=(start, stop, len(values), 0),
        interpolation="antialiased",
        interpolation_stage="data",
    )


def draw_lick_rate(axes: Axes, data: SessionOverview) -> None:
    """Draw the lick rate, and a tick for each reward."""
    times = data.bin_time_s / SECONDS_PER_MINUTE
    axes.fill_between(times, data.lick_rate_hz, color=BLUE, alpha=0.35, linewidth=0, gid=GUIDE)
    draw_trace(axes, data.bin_time_s, data.lick_rate_hz, "Licks\n(1/s)", BLUE, "no licks")
    highest = float(data.lick_rate_hz.max(initial=0.0)) or 1.0
    axes.set_ylim(0, 1.25 * highest)
    rewards = data.reward_time_s / SECONDS_PER_MINUTE
    dense = len(rewards) > 1000
    style: dict[str, Any] = {"marker": "|", "linestyle": "none", "color": BLACK, "rasterized": dense}
    axes.plot(rewards, np.full(len(rewards), 1.15 * highest), markersize=4, markeredgewidth=0.4, **style)


def unit_order(data: SessionOverview) -> NDArray[np.intp]:
    """Return the unit in each row, sorted by group, structure, and depth from the surface down."""
    return row_order(data.structure, data.structure_group, data.depth_um)


def row_order(
    structures: Sequence[str | None], groups: Sequence[str | None], depths_um: Floats
) -> NDArray[np.intp]:
    """Return the unit in each row, sorted by group, structure, and depth from the surface down.

    Parameters
    ----------
    structures, groups : (n_units,) structure and group of each unit; None for no structure.
    depths_um : (n_units,) micrometres from the probe's tip.
    """
    names = [name or "" for name in structures]
    ranks = [group_rank(group) for group in groups]
    heights = np.where(np.isfinite(depths_um), depths_um, -np.inf)
    keys = sorted(range(len(ranks)), key=lambda unit: (ranks[unit], names[unit], -heights[unit]))
    return np.array(keys, dtype=np.intp)


def _draw_population(figure: Figure, axes: Axes, data: SessionOverview) -> None:
    axes.set_yticks([])
    n_units = len(data.rate_hz)
    if n_units == 0:
        say(axes, "no units were recorded")
        return
    image = draw_population(axes, data)
    order = unit_order(data)
    names = [data.structure[unit] for unit in order]
    groups = [data.structure_group[unit] for unit in order]
    axes.set_ylim(n_units, 0)
    strip = axes.inset_axes(STRIP_BOX, sharey=axes)
    strip.tick_params(left=False, labelleft=False)
    draw_bands(strip, structure_bands(np.arange(n_units + 1), names, groups), mirrored=True, font_size=7)
    strip.set_ylabel(f"{counted(n_units, 'unit')} by structure and depth")
    bar = figure.colorbar(image, cax=axes.inset_axes((1.015, 0.0, 0.02, 1.0)), extend="both")
    bar.set_label("Firing rate (SD from the unit's mean)")
    bar.outline.set_visible(False)


def _finish(figure: Figure, panels: Sequence[Axes], data: SessionOverview) -> None:
    for axes in panels[:-1]:
        axes.tick_params(labelbottom=False)
    for axes in panels[2:]:
        for name, start, stop in zip(data.block_name, data.block_start_s, data.block_stop_s, strict=True):
            if name == "change detection" and not (axes is panels[3] and is_missing(data.pupil_area_px2)):
                span = (start / SECONDS_PER_MINUTE, stop / SECONDS_PER_MINUTE)
                axes.axvspan(*span, color=FLASH_GREY, linewidth=0, zorder=0.5)
    time_limits_min(panels, data.edges_s[0], data.edges_s[-1])
    figure.align_ylabels(panels[2:])
    bin_s = float(data.edges_s[1] - data.edges_s[0])
    laser = "" if "laser" in data.block_name else ", no laser"
    rewards = counted(len(data.reward_time_s), "reward")
    notes = f"bins of {round(bin_s, 1):g} s, {rewards} (black ticks){laser}; grey: change detection task"
    set_titles(figure, f"Session {data.session_id}", [data.session_type, notes])
