"""Figure of the responses of a structure's units, and of the mouse, to an event.

Five panels on one time axis, from top to bottom: firing rates of the units by depth, their mean, running
speed, licks, pupil.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vbn.counted import counted
from vbn.plots.bands import GUIDE
from vbn.plots.panels import given_or_new, is_missing, set_titles
from vbn.plots.source_data import name_rows
from vbn.plots.style import BLACK, BLUE, FLASH_GREY, GREEN, ORANGE, PURPLE, QUIET_GREY, drawing_style, points

Floats = NDArray[np.float64]

# As in the AllenSDK quick-start notebook: single bins with high rates do not set the scale.
COLOUR_PERCENTILES = (0.1, 99.9)
FLASH_DURATION_S = 0.25
FIGURE_SIZE_INCHES = (7.0, 9.0)
GROUP_INCHES, GROUP_MARGIN_INCHES = 2.2, 2.0
FROM_ZERO = (0, 2)
"""Traces whose scale begins at 0: the mean rate and the licks."""
HEIGHT_RATIOS = (3.4, 1.3, 1.0, 1.0, 1.15)


@dataclass(frozen=True)
class ChangeResponse:
    """Data of `plot_change_response`.

    Attributes
    ----------
    time_s : (n_bins,) centres of equal bins, seconds from the event.
    rate_hz : (n_units, n_bins) mean firing rates.
    depth_um : (n_units,) height above the probe's tip in micrometres (probe_vertical_position): higher is
        more superficial; units with NaN are drawn at the bottom.
    structure : acronym, such as VISp.
    session_id : id of the session.
    n_events : number of events averaged.
    running_speed_cm_s, lick_rate_hz, pupil_x, pupil_area : (n_bins,) means in cm/s, 1/s, pixels and pixels
        squared; None if not recorded.
    running_speed_sem, lick_rate_sem, pupil_x_sem, pupil_area_sem : (n_bins,) standard errors; None for no
        band.
    title, subtitle : text above the panels; None for the default, "" for none.
    event_name : the event at time 0.
    flash_onsets_s : onsets of nominal flashes to shade in grey, in seconds; () for none.
    unit_id : (n_units,) ids of the units, for the table of the drawn numbers; None if unknown.
    """

    time_s: Floats
    rate_hz: Floats
    depth_um: Floats
    structure: str
    session_id: int
    n_events: int
    running_speed_cm_s: Floats | None = None
    lick_rate_hz: Floats | None = None
    pupil_x: Floats | None = None
    pupil_area: Floats | None = None
    running_speed_sem: Floats | None = None
    lick_rate_sem: Floats | None = None
    pupil_x_sem: Floats | None = None
    pupil_area_sem: Floats | None = None
    title: str | None = None
    subtitle: str | None = None
    event_name: str = "image change"
    flash_onsets_s: Sequence[float] = (-1.5, -0.75, 0.0, 0.75, 1.5)
    unit_id: Sequence[int] | None = None

    def __post_init__(self) -> None:
        n_units, n_bins = np.shape(self.rate_hz)
        where = f"{self.structure} of session {self.session_id}"
        if n_units == 0:
            raise ValueError(
                f"No units to draw in {where}. Choose another structure, or looser unit criteria."
            )
        if self.n_events == 0 or not np.isfinite(self.rate_hz).any():
            raise ValueError(f"No firing rates to draw in {where}: there were {self.n_events} events.")
        if n_bins < 2 or np.shape(self.depth_um) != (n_units,):
            raise ValueError(
                "rate_hz must be (n_units, n_bins >= 2) and depth_um (n_units,): "
                f"got {np.shape(self.rate_hz)} and {np.shape(self.depth_um)}."
            )
        self._check_traces(n_bins)

    def _check_traces(self, n_bins: int) -> None:
        names = ["running_speed_cm_s", "running_speed_sem", "lick_rate_hz", "lick_rate_sem"]
        names += ["pupil_x", "pupil_x_sem", "pupil_area", "pupil_area_sem"]
        wrong = [
            name for name in names if (trace := getattr(self, name)) is not None and len(trace) != n_bins
        ]
        if np.shape(self.time_s) != (n_bins,):
            wrong.insert(0, "time_s")
        if wrong:
            raise ValueError(f"All traces must have the rates' {n_bins} bins; not so: {', '.join(wrong)}.")

    @property
    def limits_s(self) -> tuple[float, float]:
        """Outer edges of the first and last bin in seconds."""
        half = (self.time_s[-1] - self.time_s[0]) / (len(self.time_s) - 1) / 2
        return float(self.time_s[0] - half), float(self.time_s[-1] + half)


def plot_change_response(
    data: ChangeResponse, figure: Figure | None = None, *, axes: Sequence[Axes] | None = None
) -> Figure:
    """Draw the firing rates of a structure's units and the mouse's behavior around an event.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one of 7 x 9 inches.
    axes : five axes of a figure of your own to draw into instead, without titles.

    Returns
    -------
    The figure. ``figure.axes`` are the five panels from top to bottom and, with eye tracking, the right-hand
    axis of the pupil panel; the colour bar is a child of the first panel.

    Notes
    -----
    The colours span the 0.1th to the 99.9th percentile of all rates. Rows of the first panel are units in the
    order of their height, not spaced by it. The mean rate is drawn with its standard error over units,
    behavior with its standard error over events.
    """
    with drawing_style():
        figure, panels = given_or_new(figure, axes, FIGURE_SIZE_INCHES, HEIGHT_RATIOS)
        if axes is None:
            figure.set_layout_engine("constrained", h_pad=0.05, hspace=0.02)
        image, _ = _draw_column(panels, data, colour_limits(data.rate_hz))
        # Inset, so that it does not extend beyond the pupil panel's right-hand labels.
        _add_bar(figure, panels[0], image)
        if axes is None:
            figure.align_ylabels(panels)
            _set_titles(figure, panels[0], data)
    return figure


def plot_change_groups(groups: Mapping[str, ChangeResponse], figure: Figure | None = None) -> Figure:
    """Draw the responses of a structure to groups of events beside each other, on the same scales.

    Parameters
    ----------
    groups : name of the group -> what to draw; of the same units.
    figure : empty figure to draw into; by default a new one, wider for more groups.

    Returns
    -------
    The figure. ``figure.axes`` begin with the panels, as in `plot_change_response`, row by row.

    Raises
    ------
    ValueError
        If there is no group.
    """
    if not groups:
        raise ValueError("There are no groups of events to draw.")
    n_groups, first = len(groups), next(iter(groups.values()))
    with drawing_style():
        width = GROUP_MARGIN_INCHES + GROUP_INCHES * max(n_groups, 2)
        figure = figure or Figure(figsize=(width, FIGURE_SIZE_INCHES[1]))
        shape: dict[str, Any] = {"sharex": True, "sharey": "row", "squeeze": False}
        panels = figure.subplots(5, n_groups, height_ratios=HEIGHT_RATIOS, **shape)
        limits = colour_limits(np.concatenate([data.rate_hz for data in groups.values()]))
        rights: list[Axes] = []
        for number, (name, data) in enumerate(groups.items()):
            column = list(panels[:, number])
            image, right = _draw_column(column, data, limits)
            heading = f"{name}\n{counted(data.n_events, 'event')}"
            column[0].set_title(heading, color=QUIET_GREY, fontsize=points(9))
            for axes in column if number else ():
                axes.set_ylabel("")
            rights += [right] if right else []
            for axes in (*column, right) if right else column:
                for mark in (*axes.images, *axes.lines, *axes.collections):
                    mark.set_label(name)
        _fit_all(panels)
        _share_scale(rights)
        _add_bar(figure, panels[0][-1], image)
        figure.align_ylabels(panels[:, 0])
        title = first.title or f"{first.structure}: response to {first.event_name}"
        units = counted(len(first.rate_hz), "unit")
        set_titles(figure, title, [f"session {first.session_id}, {units} (grey: flashes)"])
    return figure


def _fit_all(panels: NDArray[Any]) -> None:
    """Give each row of traces the scale that all of its groups need; each had set its own for all."""
    for number, row in enumerate(panels[1:]):
        row[0].autoscale(axis="y")
        if number in FROM_ZERO:
            is_flat = max(axes.dataLim.y1 for axes in row) <= 0
            row[0].set_ylim(0, 1 if is_flat else None)


def _share_scale(rights: Sequence[Axes]) -> None:
    """Give the right-hand axes of a row one scale, and labels on the last one only."""
    if rights:
        lows, highs = zip(*(axes.get_ylim() for axes in rights), strict=True)
        rights[0].set_ylim(min(lows), max(highs))
    for axes in rights[1:]:
        axes.sharey(rights[0])
    for axes in rights[:-1]:
        axes.set_ylabel("")
        axes.tick_params(axis="y", labelright=False)


def _draw_column(
    panels: Sequence[Axes], data: ChangeResponse, limits: tuple[float, float]
) -> tuple[AxesImage, Axes | None]:
    """Draw the five panels of one group of events; return the heat map, and the pupil's right-hand axis."""
    image = _draw_rates(panels[0], data, limits)
    _draw_mean_rate(panels[1], data)
    _draw_running(panels[2], data)
    _draw_licks(panels[3], data)
    right = _draw_pupil(panels[4], data)
    _finish(panels, data)
    return image, right


def _add_bar(figure: Figure, axes: Axes, image: AxesImage) -> None:
    bar = figure.colorbar(image, cax=axes.inset_axes((1.025, 0.0, 0.025, 1.0)))
    bar.set_label("Firing rate (Hz)")
    bar.outline.set_visible(False)


def _draw_rates(axes: Axes, data: ChangeResponse, limits: tuple[float, float]) -> AxesImage:
    """Draw a heat map with one row per unit, the most superficial on top."""
    order = np.argsort(-np.asarray(data.depth_um, dtype=np.float64), kind="stable")  # NaN comes last
    n_units = len(order)
    image = axes.imshow(
        data.rate_hz[order],
        aspect="auto",
        cmap="magma",
        vmin=limits[0],
        vmax=limits[1],
        extent=(*data.limits_s, n_units - 0.5, -0.5),
    )
    if data.unit_id is not None:
        name_rows(image, [data.unit_id[unit] for unit in order])
    rows = np.unique(np.linspace(0, n_units - 1, min(n_units, 6)).round().astype(int))
    axes.set_yticks(rows, [_depth_text(data.depth_um[order[row]]) for row in rows])
    axes.set_ylabel("Units in order of height\n(µm above the probe's tip)")
    return image


def colour_limits(rate_hz: Floats) -> tuple[float, float]:
    """Return the 0.1th and 99.9th percentile of all finite rates; 1 Hz apart if they are equal."""
    low, high = np.percentile(rate_hz[np.isfinite(rate_hz)], COLOUR_PERCENTILES)
    return float(low), float(high if high > low else low + 1.0)


def _depth_text(depth_um: float) -> str:
    return f"{depth_um:.0f}" if np.isfinite(depth_um) else "?"


def _draw_mean_rate(axes: Axes, data: ChangeResponse) -> None:
    rates = data.rate_hz[np.isfinite(data.rate_hz).all(axis=1)]
    n_units = len(rates)
    if n_units > 0:
        sem = rates.std(axis=0, ddof=1) / np.sqrt(n_units) if n_units > 1 else None
        _draw_trace(axes, data.time_s, rates.mean(axis=0), sem, BLACK)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("Mean rate\n(Hz)")


def _draw_running(axes: Axes, data: ChangeResponse) -> None:
    axes.set_ylabel("Running\n(cm/s)")
    if is_missing(data.running_speed_cm_s):
        return _say(axes, "no running")
    return _draw_trace(axes, data.time_s, data.running_speed_cm_s, data.running_speed_sem, GREEN)


def _draw_licks(axes: Axes, data: ChangeResponse) -> None:
    axes.set_ylabel("Licks\n(1/s)")
    rate_hz = data.lick_rate_hz
    if rate_hz is None or is_missing(rate_hz):
        return _say(axes, "no licks recorded")
    axes.fill_between(data.time_s, rate_hz, step="mid", color=PURPLE, alpha=0.3, linewidth=0, gid=GUIDE)
    _draw_trace(axes, data.time_s, rate_hz, data.lick_rate_sem, PURPLE, steps=True)
    axes.set_ylim(bottom=0, top=None if np.nanmax(rate_hz) > 0 else 1)
    return None


def _draw_pupil(axes: Axes, data: ChangeResponse) -> Axes | None:
    """Draw the pupil's horizontal position on the left axis, its area on the right axis."""
    if is_missing(data.pupil_x) and is_missing(data.pupil_area):
        axes.set_ylabel("Pupil")
        _say(axes, "no eye tracking")
        return None
    right = axes.twinx()
    right.spines["right"].set_visible(True)
    _draw_trace(axes, data.time_s, data.pupil_x, data.pupil_x_sem, BLUE)
    _draw_trace(right, data.time_s, data.pupil_area, data.pupil_area_sem, ORANGE)
    axes.set_ylabel("Pupil position,\nhorizontal (px)", color=BLUE)
    right.set_ylabel("Pupil area\n(px²)", color=ORANGE)
    axes.tick_params(axis="y", labelcolor=BLUE)
    right.tick_params(axis="y", labelcolor=ORANGE)
    right.yaxis.set_major_locator(MaxNLocator(3))
    return right


def _draw_trace(
    axes: Axes, time_s: Floats, mean: Floats | None, sem: Floats | None, colour: str, *, steps: bool = False
) -> None:
    """Draw a mean, as a curve or as steps, with a band of its standard error."""
    if mean is None:
        return
    style, width = ("steps-mid", 1.0) if steps else ("default", 1.5)
    axes.plot(time_s, mean, color=colour, linewidth=width, drawstyle=style)
    if sem is not None:
        step: Literal["mid"] | None = "mid" if steps else None
        axes.fill_between(time_s, mean - sem, mean + sem, step=step, color=colour, alpha=0.22, linewidth=0)


def _say(axes: Axes, text: str) -> None:
    """Leave a panel empty, with a note why."""
    axes.set_yticks([])
    written = axes.text(0.75, 0.5, text, color=QUIET_GREY, style="italic", transform=axes.transAxes)
    written.set(horizontalalignment="center", verticalalignment="center")
    written.set_bbox({"facecolor": "white", "edgecolor": "none"})  # to cover the event's line


def _finish(panels: Sequence[Axes], data: ChangeResponse) -> None:
    """Mark event and flashes, label the time axis."""
    top, *traces = panels
    outline = [Stroke(linewidth=2.4, foreground="black"), Normal()]  # visible on dark and bright colours
    top.axvline(0, color="white", linestyle="--", linewidth=1.2, path_effects=outline)
    top.tick_params(axis="x", length=0)
    for axes in traces:
        if axes.lines:  # not in panels without data
            _shade_flashes(axes, data)
        axes.axvline(0, color=QUIET_GREY, linestyle="--", linewidth=1.2, zorder=0.6)
        if axes.get_yticks().size:
            axes.yaxis.set_major_locator(MaxNLocator(3))
    top.set_xlim(*data.limits_s)
    traces[-1].set_xlabel(f"Time from {data.event_name} (s)")


def _shade_flashes(axes: Axes, data: ChangeResponse) -> None:
    start, stop = data.limits_s
    for onset in data.flash_onsets_s:
        left, right = max(onset, start), min(onset + FLASH_DURATION_S, stop)
        if left < right - 1e-9:
            axes.axvspan(left, right, color=FLASH_GREY, linewidth=0, zorder=0.5)


def _set_titles(figure: Figure, top: Axes, data: ChangeResponse) -> None:
    title, subtitle = data.title, data.subtitle
    if title is None:
        title = f"{data.structure}: response to {data.event_name}"
    if subtitle is None:
        counts = f"{counted(len(data.rate_hz), 'unit')}, {counted(data.n_events, 'event')}"
        subtitle = f"session {data.session_id}, {counts}"
        subtitle += " (grey: flashes)" if len(data.flash_onsets_s) else ""
    if title:
        figure.suptitle(title, fontsize=points(13), fontweight="bold")
    top.set_title(subtitle, color=QUIET_GREY, pad=6)
