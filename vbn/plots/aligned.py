"""Panels of one unit's spikes around events: rasters, mean rates, and shaded flashes and laser pulses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea, VPacker
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vbn.plots.bands import size_inches
from vbn.plots.panels import CHARACTERS_PER_INCH, draw_ticks, say
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
)  # fmt: skip

Floats = NDArray[np.float64]

ROW_COLOURS = {
    "hit": BLUE,
    "miss": PURPLE,
    "auto": GREEN,
    "other": QUIET_GREY,
    "active": BLACK,
    "passive": ORANGE,
}
"""Colours of the kinds of events that have their own."""
GROUP_COLOURS = (BLACK, ORANGE, SKY_BLUE, GREEN, PURPLE, AMBER, BLUE, "#CC79A7", "#882255", "#999933")
"""Colours of all others, in their order; of more they begin again."""
BANDS_OF_AT_MOST = 2
"""With more curves, standard errors would lie over one another: they are left out."""
SPAN_COLOURS = {"flash": FLASH_GREY, "light": "#CDE6F5", "artefact": "#F3C9B0"}
KIND_POINTS = 8
DENSE = 4000
"""Rasters with more spikes are stored as images."""
SPARSE = 1000
"""Ticks of fewer spikes are broader."""


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
    smoothing_s : standard deviation of the Gaussian that the rates are smoothed with; 0 for none.
    """

    event_name: str
    edges_s: Floats
    rows: Sequence[EventSpikes]
    rates: Sequence[EventRate]
    spans: Sequence[tuple[float, float, str]] = ()
    smoothing_s: float = 0.0

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
    colours, first, n_rows = kind_colours(data.rows), 0, sum(rows.n_events for rows in shown)
    n_spikes = sum(rows.time_s.size for rows in shown)
    is_dense, width = n_spikes > DENSE, 1.2 if n_spikes < SPARSE else 0.7
    for rows in shown:
        row = first + rows.event
        style: dict[str, Any] = {"color": colours[rows.name], "linewidth": width, "rasterized": is_dense}
        draw_ticks(axes, rows.time_s * _scale(data), row, row + 0.9, label=rows.name, **style)
        first += rows.n_events
    axes.set_ylim(n_rows, 0)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    if n_spikes == 0:
        say(axes, "no spikes")
    _finish(axes, data)


def draw_rates(axes: Axes, data: AlignedUnit) -> None:
    """Draw mean rates, one curve per kind of event; of up to two kinds with standard errors."""
    axes.set_ylabel("Rate (Hz)")
    _limit(axes, data)
    axes.set_xlabel(f"Time from {data.event_name} ({'ms' if data.in_milliseconds else 's'})")
    shown = [rate for rate in data.rates if rate.n_events]
    if not shown:
        say(axes, f"no {data.event_name} in this session")
        return
    time = (data.edges_s[:-1] + data.edges_s[1:]) / 2 * _scale(data)
    colours = kind_colours(data.rates)
    for rate in shown:
        style: dict[str, Any] = {"color": colours[rate.name], "label": rate.name}
        if len(shown) <= BANDS_OF_AT_MOST:
            low, high = np.maximum(rate.rate_hz - rate.sem_hz, 0), rate.rate_hz + rate.sem_hz
            axes.fill_between(time, low, high, alpha=0.18, linewidth=0, **style)
        axes.plot(time, rate.rate_hz, linewidth=1.2, **style)
    highest = max(float(np.nanmax(rate.rate_hz)) for rate in shown)
    axes.set_ylim(0, axes.get_ylim()[1] if highest > 0 else 1)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    _finish(axes, data)


def draw_aligned(axes: tuple[Axes, Axes], data: AlignedUnit) -> None:
    """Draw raster and rates on two given axes, the upper one first, with the names of the groups above.

    Parameters
    ----------
    axes : for the raster and the rates. To have one time axis, let them share it.
    data : what to draw.
    """
    raster, rates = axes
    with drawing_style():
        draw_raster(raster, data)
        write_kinds(raster, data.rows)
        draw_rates(rates, data)
        if [rate.name for rate in data.rates] != [rows.name for rows in data.rows]:
            write_kinds(rates, data.rates)
        rates.set_title(rates_text(data), loc="left", fontsize=points(KIND_POINTS), color=QUIET_GREY)
        raster.tick_params(labelbottom=False)


def name_spans(axes: Axes, spans: Sequence[tuple[float, float, str]]) -> None:
    """Write a legend of the shaded intervals above a panel, on the right."""
    shown = list(dict.fromkeys(name for _, _, name in spans))
    patches = [Patch(facecolor=SPAN_COLOURS[name], label=name) for name in shown]
    style: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 0.98), "borderaxespad": 0.0}
    style |= {"frameon": False, "handlelength": 1.0, "handletextpad": 0.4, "columnspacing": 0.9}
    axes.legend(handles=patches, ncols=len(shown), fontsize=points(KIND_POINTS), **style)


def write_kinds(axes: Axes, kinds: Sequence[EventSpikes | EventRate]) -> None:
    """Write the names and counts of the kinds of events above a panel, in their colours."""
    shown = [kind for kind in kinds if kind.n_events]
    lines: list[list[Artist]]
    colours, lines, length = kind_colours(kinds), [[]], 0
    room = int(size_inches(axes)[0] * CHARACTERS_PER_INCH / points(1))
    for kind in shown:
        text = f"{kind.name} {kind.n_events}"
        length += len(text) + 2
        if length > room and lines[-1]:
            lines.append([])
            length = len(text) + 2
        style = {"color": colours[kind.name], "fontsize": points(KIND_POINTS)}
        lines[-1].append(TextArea(text, textprops=style))
    rows: list[Artist] = [HPacker(children=texts, pad=0, sep=6) for texts in lines]
    axes.add_artist(
        AnchoredOffsetbox(
            "lower right",
            child=VPacker(children=rows, pad=0, sep=2, align="right"),
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


def kind_colours(kinds: Sequence[EventSpikes | EventRate]) -> dict[str, str]:
    """Return the colour of each kind of event by its name."""
    others = [kind.name for kind in kinds if kind.name not in ROW_COLOURS]
    return ROW_COLOURS | {name: GROUP_COLOURS[at % len(GROUP_COLOURS)] for at, name in enumerate(others)}


def rates_text(data: AlignedUnit) -> str:
    """Return how the rates were made, in words."""
    bin_ms = 1000 * float(data.edges_s[1] - data.edges_s[0])
    smoothed = f", smoothed (SD {1000 * data.smoothing_s:.2g} ms)" if data.smoothing_s else ""
    return f"bins of {bin_ms:g} ms{smoothed}"
