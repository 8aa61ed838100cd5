"""Figure of a stretch of a session: the stimuli, what the mouse did, and the spikes of all units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vbn.counted import counted
from vbn.plots.bands import POINTS_PER_INCH, draw_bands, size_inches, structure_bands
from vbn.plots.panels import draw_ticks, given_or_new, is_missing, say, set_titles
from vbn.plots.session import STRIP_BOX, row_order
from vbn.plots.style import (
    AMBER,
    BLACK,
    BLUE,
    GREEN,
    PURPLE,
    QUIET_GREY,
    SKY_BLUE,
    drawing_style,
    points,
)  # fmt: skip

Floats = NDArray[np.float64]

WIDTH_INCHES, OTHERS_INCHES = 8.0, 4.1
HEIGHT_RATIOS = (0.75, 0.45, 0.8, 0.8)
INCHES_PER_UNIT, RASTER_INCHES = 0.2, (1.2, 4.6)
IMAGE_COLOURS = (BLUE, AMBER, GREEN, PURPLE, SKY_BLUE, "#882255", "#999933", "#332288")
DENSE = 5000
"""Rasters with more spikes are stored as images."""
LETTER_WIDTH = 0.62
"""Approximate, as a fraction of the font size."""


@dataclass(frozen=True)
class SessionExample:
    """Data of `plot_example`. Times are seconds on the session clock.

    Attributes
    ----------
    session_id, session_type : id and protocol of the session.
    start_s, stop_s : the stretch.
    shown : (n_shown,) name of the image, or of another stimulus, of each presentation in the stretch, in
        order of time; ``omitted`` for an omission.
    shown_start_s, shown_stop_s : (n_shown,) when it was on the screen.
    is_change : (n_shown,) whether it changes the image.
    lick_time_s, reward_time_s : (n_licks,), (n_rewards,) those in the stretch.
    running_time_s, running_speed_cm_s : (n_samples,) cm/s; None if not recorded.
    pupil_time_s, pupil_area_px2 : (n_frames,) NaN in blinks; None if not recorded.
    spike_time_s : (n_units,) the spikes of each unit in the stretch.
    unit_id : (n_units,) ids of the units.
    structure, structure_group : (n_units,) of each unit; None for no structure.
    height_um : (n_units,) micrometres above the probe's tip.
    names : names of all images and other stimuli of the session, in the order of their colours.
    criteria : what the units passed; empty for all.
    """

    session_id: int
    session_type: str
    start_s: float
    stop_s: float
    shown: Sequence[str]
    shown_start_s: Floats
    shown_stop_s: Floats
    is_change: NDArray[np.bool_]
    lick_time_s: Floats
    reward_time_s: Floats
    running_time_s: Floats | None
    running_speed_cm_s: Floats | None
    pupil_time_s: Floats | None
    pupil_area_px2: Floats | None
    spike_time_s: Sequence[Floats]
    unit_id: Sequence[int]
    structure: Sequence[str | None]
    structure_group: Sequence[str | None]
    height_um: Floats
    names: Sequence[str]
    criteria: str = ""

    def __post_init__(self) -> None:
        if not self.stop_s > self.start_s:
            raise ValueError(f"A stretch ends after it starts, got {self.start_s:g} to {self.stop_s:g} s.")
        n_units, n_shown = len(self.unit_id), len(self.shown)
        per_unit = ("spike_time_s", "structure", "structure_group", "height_um")
        wrong = [name for name in per_unit if len(getattr(self, name)) != n_units]
        per_shown = ("shown_start_s", "shown_stop_s", "is_change")
        wrong += [name for name in per_shown if len(getattr(self, name)) != n_shown]
        if wrong:
            raise ValueError(
                f"All must agree with {n_units} units and {n_shown} presentations; not so: {wrong}."
            )


def plot_example(
    data: SessionExample, figure: Figure | None = None, *, axes: Sequence[Axes] | None = None
) -> Figure:
    """Draw a stretch of a session.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one 8 inches wide, higher for more units.
    axes : five axes of a figure of your own to draw into instead, without titles.

    Returns
    -------
    The figure. ``figure.axes`` are from top to bottom: stimuli, licks and rewards, running, pupil, spikes of
    the units by structure and, within one, from the surface down; the strip with the structures' names is a
    child of the last.
    """
    with drawing_style():
        rows = float(np.clip(INCHES_PER_UNIT * len(data.unit_id), *RASTER_INCHES))
        size = (WIDTH_INCHES, OTHERS_INCHES + rows)
        figure, panels = given_or_new(figure, axes, size, (*HEIGHT_RATIOS, rows))
        if axes is None:
            titles = _notes(data)
            set_titles(figure, f"{data.stop_s - data.start_s:g} s of session {data.session_id}", titles)
        for panel in panels:
            panel.set_xlim(data.start_s, data.stop_s)
        draw_stimuli(panels[0], data)
        draw_actions(panels[1], data)
        running = (data.running_time_s, data.running_speed_cm_s, "Running\n(cm/s)", GREEN, "no running")
        pupil = (data.pupil_time_s, data.pupil_area_px2, "Pupil area\n(px²)", PURPLE, "no eye tracking")
        _draw_samples(panels[2], *running)
        _draw_samples(panels[3], *pupil)
        draw_spikes(panels[4], data)
        for panel in panels[:-1]:
            panel.tick_params(labelbottom=False)
        panels[4].set_xlabel("Time in the session (s)")
        if axes is None:
            figure.align_ylabels(panels[1:4])
    return figure


def draw_stimuli(axes: Axes, data: SessionExample) -> None:
    """Draw each presentation, in the colour of its image, with its name where it changes."""
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if not data.shown:
        say(axes, "gray screen")
        return
    names = np.array(data.shown, dtype=object)
    colours = {name: IMAGE_COLOURS[at % len(IMAGE_COLOURS)] for at, name in enumerate(data.names)}
    for name in dict.fromkeys(data.shown):
        at = names == name
        style: dict[str, Any] = {"color": colours.get(name, QUIET_GREY), "linewidth": 0}
        if name == "omitted":
            style = {"fill": False, "edgecolor": BLACK, "linestyle": ":", "linewidth": 0.9}
        starts, widths = data.shown_start_s[at], (data.shown_stop_s - data.shown_start_s)[at]
        axes.bar(starts, 0.5, widths, align="edge", label=name, **style)
    _name_images(axes, data, colours)
    handles: list[Line2D] = []
    changes = data.shown_start_s[data.is_change]
    if len(changes):  # an empty line that is not clipped is laid out at the figure's corner
        style = {"color": BLACK, "markersize": 4.5, "clip_on": False}
        handles += axes.plot(changes, np.full(len(changes), 0.58), "v", label="change", **style)
    if "omitted" in data.shown:
        handles.append(Line2D([], [], color=BLACK, linestyle=":", linewidth=0.9, label="omission"))
    _legend(axes, handles)


def _name_images(axes: Axes, data: SessionExample, colours: dict[str, str]) -> None:
    """Write the name of each image above its first flash, where there is room."""
    letter = (
        points(7.5) / POINTS_PER_INCH * LETTER_WIDTH * (data.stop_s - data.start_s) / size_inches(axes)[0]
    )
    before, free_from = "", data.start_s
    for name, start in zip(data.shown, np.maximum(data.shown_start_s, data.start_s), strict=True):
        if name == "omitted":
            continue
        text = name.removeprefix("im").removesuffix("_r")
        if name != before and start >= free_from and start + len(text) * letter <= data.stop_s:
            axes.text(
                start, 0.72, text, color=colours.get(name, QUIET_GREY), fontsize=points(7.5), va="bottom"
            )
            free_from = start + (len(text) + 1) * letter
        before = name


def draw_actions(axes: Axes, data: SessionExample) -> None:
    """Draw the licks as ticks, and the rewards above them."""
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylabel("Licks", rotation=0, ha="right", va="center")
    axes.vlines(data.lick_time_s, 0.05, 0.5, color=BLACK, linewidth=0.8, label="lick")
    if not len(data.lick_time_s) and not len(data.reward_time_s):
        say(axes, "no licks, no rewards")
    if len(data.reward_time_s):
        style: dict[str, Any] = {"color": SKY_BLUE, "markersize": 6, "markeredgewidth": 0, "clip_on": False}
        rewards = np.full(len(data.reward_time_s), 0.8)
        _legend(axes, axes.plot(data.reward_time_s, rewards, "o", label="reward", **style))


def draw_spikes(axes: Axes, data: SessionExample) -> None:
    """Draw the spikes of the units, one row per unit, by structure and from the surface down."""
    axes.set_yticks([])
    n_units = len(data.unit_id)
    if n_units == 0:
        say(axes, "no units")
        return
    order = row_order(data.structure, data.structure_group, data.height_um)
    axes.set_ylim(n_units, 0)
    structures, groups = ([names[unit] for unit in order] for names in (data.structure, data.structure_group))
    is_dense = sum(len(times) for times in data.spike_time_s) > DENSE
    points_per_row = size_inches(axes)[1] * POINTS_PER_INCH / n_units
    style: dict[str, Any] = {
        "linewidth": float(np.clip(points_per_row / 6, 0.35, 1.0)),
        "rasterized": is_dense,
    }
    bands = structure_bands(np.arange(n_units + 1), structures, groups)
    colours = np.repeat([band.colour for band in bands], [round(band.high - band.low) for band in bands])
    for row, (unit, colour) in enumerate(zip(order, colours, strict=True)):
        times = data.spike_time_s[unit]
        label = f"unit {data.unit_id[unit]}"
        draw_ticks(axes, times, row + 0.05, row + 0.95, color=colour, label=label, **style)
    strip = axes.inset_axes(STRIP_BOX, sharey=axes)
    strip.tick_params(left=False, labelleft=False)
    draw_bands(strip, bands, mirrored=True, font_size=7)
    strip.set_ylabel(counted(n_units, "unit"))


def _draw_samples(
    axes: Axes, time_s: Floats | None, values: Floats | None, label: str, colour: str, missing: str
) -> None:
    axes.set_ylabel(label)
    if time_s is None or values is None or is_missing(values):
        say(axes, missing)
        return
    axes.plot(time_s, values, color=colour, linewidth=1.0)
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _legend(axes: Axes, handles: Sequence[Line2D]) -> None:
    if handles:
        place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.4), "borderaxespad": 0.2}
        style: dict[str, Any] = {"frameon": False, "handlelength": 1.0, "handletextpad": 0.4}
        axes.legend(handles=handles, fontsize=points(8), **place, **style)


def _notes(data: SessionExample) -> list[str]:
    changes, omissions = int(np.sum(data.is_change)), list(data.shown).count("omitted")
    units = counted(len(data.unit_id), "unit")
    passing = f" that pass {data.criteria}" if data.criteria else ""
    licks, rewards = counted(len(data.lick_time_s), "lick"), counted(len(data.reward_time_s), "reward")
    counts = f"{counted(changes, 'change')}, {counted(omissions, 'omission')}, {licks}, {rewards}"
    return [data.session_type, f"{counts}; {units}{passing}, from the surface down in each structure"]
