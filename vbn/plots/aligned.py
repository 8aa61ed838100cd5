"""Panels of one unit's spikes around events: rasters, mean rates, and shaded flashes and laser pulses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vbn.plots.panels import say
from vbn.plots.style import BLACK, BLUE, FLASH_GREY, GREEN, ORANGE, PURPLE, QUIET_GREY

Floats = NDArray[np.float64]

ROW_COLOURS = {
    "hit": BLUE,
    "miss": PURPLE,
    "auto": GREEN,
    "other": QUIET_GREY,
    "active": BLACK,
    "passive": ORANGE,
}
"""Colours of the kinds of events; all others are black."""
SPAN_COLOURS = {"flash": FLASH_GREY, "light": "#CDE6F5", "artefact": "#F3C9B0"}
KIND_POINTS = 8
DENSE = 4000
"""Rasters with more spikes are stored as images."""


@dataclass(frozen=True)
class EventSpikes:
    """The spikes around events of one kind.

    Attributes
    ----------
    name : a key of `ROW_COLOURS`, or any other name.
    time_s : (n_spikes,) seconds from the event.
    event : (n_spikes,) index of the event, in the order in which they are drawn.
    n_events : number of events, with or without spikes.
    """

    name: str
    time_s: Floats
    event: NDArray[np.int64]
    n_events: int


@dataclass(frozen=True)
class EventRate:
    """The mean rate around events of one kind.

    Attributes
    ----------
    name : a key of `ROW_COLOURS`, or any other name.
    rate_hz, sem_hz : (n_bins,) mean and standard error over events; NaN where undefined.
    n_events : number of events.
    """

    name: str
    rate_hz: Floats
    sem_hz: Floats
    n_events: int


@dataclass(frozen=True)
class AlignedUnit:
    """One unit around events.

    Attributes
    ----------
    event_name : the event at time 0.
    edges_s : (n_bins + 1,) bin edges of the rates, seconds from the event.
    rows : spikes for the raster, from top to bottom; () for no raster.
    rates : mean rates.
    spans : (start, stop, name) intervals to shade, in seconds from the event; the name is a key of
        `SPAN_COLOURS`.
    """

    event_name: str
    edges_s: Floats
    rows: Sequence[EventSpikes]
    rates: Sequence[EventRate]
    spans: Sequence[tuple[float, float, str]] = ()

    @property
    def in_milliseconds(self) -> bool:
        """Whether the time axis is short enough to be labelled in milliseconds."""
        return bool(self.edges_s[-1] - self.edges_s[0] < 0.5)


def draw_raster(axes: Axes, data: AlignedUnit) -> None:
    """Draw one row per event, kind by kind from the top, with a tick per spike."""
    axes.set_ylabel("Events")
    _limit(axes, data)
    shown = [rows for rows in data.rows if rows.n_events]
    if not shown:
        say(axes, f"no {data.event_name} in this session")
        return
    first, n_rows = 0, sum(rows.n_events for rows in shown)
    is_dense = sum(rows.time_s.size for rows in shown) > DENSE
    for rows in shown:
        colour, row = _colour(rows.name), first + rows.event
        axes.vlines(
            rows.time_s * _scale(data), row, row + 0.9, color=colour, linewidth=0.7, rasterized=is_dense
        )
        first += rows.n_events
    axes.set_ylim(n_rows, 0)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    _finish(axes, data)


def draw_rates(axes: Axes, data: AlignedUnit) -> None:
    """Draw mean rates with standard errors, one curve per kind of event."""
    axes.set_ylabel("Rate (Hz)")
    _limit(axes, data)
    axes.set_xlabel(f"Time from {data.event_name} ({'ms' if data.in_milliseconds else 's'})")
    shown = [rate for rate in data.rates if rate.n_events]
    if not shown:
        say(axes, f"no {data.event_name} in this session")
        return
    time = (data.edges_s[:-1] + data.edges_s[1:]) / 2 * _scale(data)
    for rate in shown:
        low, high = np.maximum(rate.rate_hz - rate.sem_hz, 0), rate.rate_hz + rate.sem_hz
        axes.fill_between(time, low, high, color=_colour(rate.name), alpha=0.22, linewidth=0)
        axes.plot(time, rate.rate_hz, color=_colour(rate.name), linewidth=1.0)
    highest = max(float(np.nanmax(rate.rate_hz)) for rate in shown)
    axes.set_ylim(0, axes.get_ylim()[1] if highest > 0 else 1)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    _finish(axes, data)


def write_kinds(axes: Axes, kinds: Sequence[EventSpikes | EventRate]) -> None:
    """Write the names and counts of the kinds of events above a panel, in their colours."""
    shown = [kind for kind in kinds if kind.n_events]
    texts: list[Artist] = [
        TextArea(
            f"{kind.name} {kind.n_events}", textprops={"color": _colour(kind.name), "fontsize": KIND_POINTS}
        )
        for kind in shown
    ]
    axes.add_artist(
        AnchoredOffsetbox(
            "lower right",
            child=HPacker(children=texts, pad=0, sep=6),
            bbox_to_anchor=(1.0, 1.0),
            bbox_transform=axes.transAxes,
            pad=0.0,
            borderpad=0.2,
            frameon=False,
        )
    )


def _finish(axes: Axes, data: AlignedUnit) -> None:
    for start, stop, name in data.spans:
        left, right = max(start, data.edges_s[0]), min(stop, data.edges_s[-1])
        if left < right - 1e-9:
            scale = _scale(data)
            axes.axvspan(left * scale, right * scale, color=SPAN_COLOURS[name], linewidth=0, zorder=0.5)
    axes.axvline(0, color=QUIET_GREY, linestyle="--", linewidth=1.0, zorder=0.6)


def _limit(axes: Axes, data: AlignedUnit) -> None:
    axes.set_xlim(data.edges_s[0] * _scale(data), data.edges_s[-1] * _scale(data))


def _scale(data: AlignedUnit) -> float:
    return 1000.0 if data.in_milliseconds else 1.0


def _colour(name: str) -> str:
    return ROW_COLOURS.get(name, BLACK)
