"""Figure of a session's probes by depth: structures, invalid channels, unit yield, firing rates, CSD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vbn.counted import counted
from vbn.plots.bands import STRIP_WIDTH, Band, channel_bands, draw_bands
from vbn.plots.panels import say, set_titles
from vbn.plots.structure_colours import lighter
from vbn.plots.style import BLACK, BLUE, QUIET_GREY, drawing_style, points

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

HEIGHT_INCHES, ROW_INCHES = 7.0, 4.6
LOWER_ROW = 0.6
PROBE_INCHES, PANEL_INCHES = 1.9, 1.6
MARGIN_INCHES, LEAST_WIDTH_INCHES = 0.8, 5.5
DEPTH_LABEL = "Height above the probe's tip (µm)"
YIELD_BIN_UM = 100.0
LOWEST_RATE_HZ = 0.01
"""Units with lower rates are drawn here."""
CSD_PERCENTILE = 99.0
BACKGROUND_LIGHTNESS = 0.82
ALL_GREY = "#B3B3B3"
LEGEND_INCHES = 1.7
"""Width of an entry of the legend."""


@dataclass(frozen=True)
class SourceDensity:
    """Current source density around a flash.

    Attributes
    ----------
    values : (n_times, n_depths) V/cm².
    time_s : (n_times,) seconds from the flash, evenly spaced.
    depth_um : (n_depths,) micrometres from the tip, evenly spaced.
    """

    values: Floats
    time_s: Floats
    depth_um: Floats

    def __post_init__(self) -> None:
        shape = (len(self.time_s), len(self.depth_um))
        if np.shape(self.values) != shape:
            raise ValueError(f"values must be (n_times, n_depths) = {shape}, got {np.shape(self.values)}.")


@dataclass(frozen=True)
class ProbeDepths:
    """One probe; depths are micrometres from its tip, increasing towards the surface.

    Attributes
    ----------
    name : such as probeA.
    channel_depth_um : (n_channels,) depths of the channels.
    structure, structure_group : (n_channels,) structure and group of each channel; None for no structure.
    is_valid : (n_channels,) whether the channel is usable.
    unit_depth_um : (n_units,) depths of the units.
    unit_rate_hz : (n_units,) firing rates; NaN where unknown.
    passes : (n_units,) whether the unit passes the quality filter.
    csd : current source density; None if there is none.
    """

    name: str
    channel_depth_um: Floats
    structure: Sequence[str | None]
    structure_group: Sequence[str | None]
    is_valid: Booleans
    unit_depth_um: Floats
    unit_rate_hz: Floats
    passes: Booleans
    csd: SourceDensity | None = None

    def __post_init__(self) -> None:
        n_channels, n_units = len(self.channel_depth_um), len(self.unit_depth_um)
        per_channel = ("structure", "structure_group", "is_valid")
        wrong = [name for name in per_channel if len(getattr(self, name)) != n_channels]
        wrong += [name for name in ("unit_rate_hz", "passes") if len(getattr(self, name)) != n_units]
        if wrong:
            raise ValueError(
                f"{self.name} has {n_channels} channels and {n_units} units; not so: {', '.join(wrong)}."
            )
        if n_channels == 0:
            raise ValueError(f"{self.name} has no channels to draw.")

    @property
    def bands(self) -> list[Band]:
        """Structures from the tip upwards."""
        return channel_bands(self.channel_depth_um, self.structure, self.structure_group)


@dataclass(frozen=True)
class SessionProbes:
    """Data of `plot_probes`.

    Attributes
    ----------
    session_id : id of the session.
    unit_criteria : name of the quality filter.
    probes : one or more probes.
    """

    session_id: int
    unit_criteria: str
    probes: Sequence[ProbeDepths]

    def __post_init__(self) -> None:
        if not self.probes:
            raise ValueError(f"No probes to draw of session {self.session_id}.")

    @property
    def limits_um(self) -> tuple[float, float]:
        """Depths of the lowest and the highest channel of all probes."""
        depths = np.concatenate([probe.channel_depth_um for probe in self.probes])
        low, high = float(depths.min()), float(depths.max())
        return (low, high) if high > low else (low - 1, high + 1)

    @property
    def most_units(self) -> int:
        """Largest number of units in a depth bin."""
        edges = yield_edges(*self.limits_um)
        counts = [np.histogram(probe.unit_depth_um, edges)[0].max() for probe in self.probes]
        return max(1, *(int(count) for count in counts))

    @property
    def has_csd(self) -> bool:
        """Whether any probe has a current source density."""
        return any(probe.csd is not None for probe in self.probes)

    @property
    def csd_limit(self) -> float:
        """Limit of the colour scale, V/cm²: the 99th percentile of the absolute values of all probes."""
        values = [np.abs(probe.csd.values).ravel() for probe in self.probes if probe.csd is not None]
        finite = np.concatenate([*values, np.empty(0)])
        finite = finite[np.isfinite(finite)]
        return float(np.percentile(finite, CSD_PERCENTILE)) if finite.any() else 1.0


def plot_probes(data: SessionProbes, figure: Figure | None = None) -> Figure:
    """Draw probes by depth, side by side; the panels of a single probe are in one row.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one, wider for more probes.

    Returns
    -------
    The figure. ``figure.axes`` are, probe by probe: structures and invalid channels, unit yield, firing rates
    and, if any probe has it, current source density.
    """
    with drawing_style():
        panels = _make_panels(data, figure)
        edges = yield_edges(*data.limits_um)
        for row in panels:
            for axes in row:
                axes.set_ylim(edges[0], edges[-1])
        for probe, (strip, units, rates, *density) in zip(data.probes, panels, strict=True):
            draw_channels(strip, probe)
            draw_yield(units, probe, edges)
            units.set_xlim(0, 1.05 * data.most_units)
            draw_rates(rates, probe)
            for axes in density:
                draw_csd(axes, probe, data.csd_limit)
        return _finish(panels, data)


def draw_channels(axes: Axes, probe: ProbeDepths) -> None:
    """Draw the structures along the probe, and a cross at each invalid channel."""
    draw_bands(axes, probe.bands)
    invalid = probe.channel_depth_um[~probe.is_valid]
    x = np.full(len(invalid), STRIP_WIDTH / 2)
    if invalid.size:
        axes.plot(x, invalid, "x", color=BLACK, markersize=4, markeredgewidth=1.0, clip_on=False)
    axes.set_title(probe.name, loc="left", fontweight="bold")


def draw_yield(axes: Axes, probe: ProbeDepths, edges_um: Floats) -> None:
    """Draw the number of units, and of those that pass the filter, by depth."""
    _shade(axes, probe)
    for depths, colour, label in (
        (probe.unit_depth_um, ALL_GREY, "all"),
        (probe.unit_depth_um[probe.passes], BLUE, "passing"),
    ):
        counts, _ = np.histogram(depths, edges_um)
        style: dict[str, Any] = {"height": np.diff(edges_um), "color": colour, "label": label, "linewidth": 0}
        axes.barh(edges_um[:-1], counts, align="edge", **style)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.set_xlabel(f"Units in\n{edges_um[1] - edges_um[0]:.0f} µm")


def draw_rates(axes: Axes, probe: ProbeDepths) -> None:
    """Draw the firing rate of each unit by depth; filled if it passes the filter."""
    _shade(axes, probe)
    axes.set_xscale("log")
    axes.set_xlim(LOWEST_RATE_HZ * 0.7, 150)
    axes.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    axes.set_xlabel("Firing rate\n(Hz)")
    rates = np.maximum(probe.unit_rate_hz, LOWEST_RATE_HZ)
    if not np.isfinite(rates).any():
        axes.text(0.5, 0.5, "no units", transform=axes.transAxes, ha="center", color=QUIET_GREY)
        return
    for passes, face in ((False, "white"), (True, BLUE)):
        chosen = probe.passes == passes
        if not chosen.any():
            continue  # an empty line that is not clipped is laid out at the figure's corner
        edge = BLUE if passes else "#808080"
        style: dict[str, Any] = {
            "markersize": 3,
            "markerfacecolor": face,
            "markeredgecolor": edge,
            "markeredgewidth": 0.6,
        }
        axes.plot(rates[chosen], probe.unit_depth_um[chosen], "o", clip_on=False, **style)


def draw_csd(axes: Axes, probe: ProbeDepths, limit: float) -> AxesImage | None:
    """Draw the current source density around a flash, with colours up to a limit, or a note."""
    if probe.csd is None:
        axes.set_xticks([])
        say(axes, "no CSD")
        return None
    values, times, depths = probe.csd.values, probe.csd.time_s * 1000, probe.csd.depth_um
    half_x, half_y = np.ptp(times) / max(1, 2 * len(times) - 2), np.ptp(depths) / max(1, 2 * len(depths) - 2)
    image = axes.imshow(
        values.T,
        aspect="auto",
        origin="lower",
        cmap="PuOr",
        vmin=-limit,
        vmax=limit,
        extent=(times[0] - half_x, times[-1] + half_x, depths[0] - half_y, depths[-1] + half_y),
    )
    axes.axvline(0, color=BLACK, linestyle="--", linewidth=0.8)
    axes.set_xlabel("Time from\nflash (ms)")
    axes.xaxis.set_major_locator(MaxNLocator(3))
    return image


def yield_edges(low_um: float, high_um: float) -> Floats:
    """Return the edges of the depth bins, which include the lowest and the highest channel."""
    first = np.floor(low_um / YIELD_BIN_UM)
    last = max(np.ceil(high_um / YIELD_BIN_UM), first + 1)
    return np.arange(first, last + 1) * YIELD_BIN_UM


def _make_panels(data: SessionProbes, figure: Figure | None) -> list[list[Axes]]:
    """Return the panels of each probe: in one row for a single probe, in several rows otherwise."""
    n_probes, n_more = len(data.probes), 1 + data.has_csd
    if n_probes == 1:
        width = MARGIN_INCHES + PROBE_INCHES + n_more * PANEL_INCHES
        figure = figure or Figure(figsize=(width, HEIGHT_INCHES))
        row = figure.subplots(1, 2 + n_more, sharey=True, width_ratios=(0.9, 0.9, *[1.2] * n_more))
        return [list(row)]
    width = max(LEAST_WIDTH_INCHES, MARGIN_INCHES + n_probes * PROBE_INCHES)
    figure = figure or Figure(figsize=(width, ROW_INCHES * (1 + n_more * LOWER_ROW)))
    ratios = (1, *[LOWER_ROW] * n_more)
    grid = figure.add_gridspec(1 + n_more, 2 * n_probes, height_ratios=ratios)
    first = figure.add_subplot(grid[0, 0])
    panels = []
    for number in range(n_probes):
        left = 2 * number
        strip = first if number == 0 else figure.add_subplot(grid[0, left], sharey=first)
        units = figure.add_subplot(grid[0, left + 1], sharey=first)
        below = [figure.add_subplot(grid[1 + row, left : left + 2], sharey=first) for row in range(n_more)]
        panels.append([strip, units, *below])
    return panels


def _shade(axes: Axes, probe: ProbeDepths) -> None:
    for band in probe.bands:
        colour = lighter(band.colour, BACKGROUND_LIGHTNESS)
        axes.axhspan(band.low, band.high, color=colour, linewidth=0, zorder=0.4)


def _finish(panels: Sequence[Sequence[Axes]], data: SessionProbes) -> Figure:
    figure = panels[0][0].get_figure(root=True)
    assert figure is not None
    single = len(panels) == 1
    if images := [image for row in panels for image in row[-1].images]:
        bar = figure.colorbar(images[-1], cax=panels[-1][-1].inset_axes((1.05, 0, 0.06, 1)), extend="both")
        bar.set_label("CSD (V/cm²)")
        bar.outline.set_visible(False)
    for number, row in enumerate(panels):
        for panel, axes in enumerate(row):
            outermost = number == 0 and (panel == 0 if single else panel != 1)
            axes.tick_params(axis="y", left=outermost, labelleft=outermost)
            if outermost:
                axes.set_ylabel(DEPTH_LABEL if panel == 0 else "Height (µm)")
    n_units = sum(len(probe.unit_depth_um) for probe in data.probes)
    n_passing = sum(int(probe.passes.sum()) for probe in data.probes)
    n_invalid = sum(int((~probe.is_valid).sum()) for probe in data.probes)
    lines = [
        f"{counted(n_units, 'unit')}: {n_passing:,} pass '{data.unit_criteria}'",
        counted(n_invalid, "invalid channel") + ("" if data.has_csd else "; no LFP imported"),
    ]
    names = data.probes[0].name if single else f"{len(panels)} probes"
    set_titles(figure, f"Session {data.session_id}, {names}", lines)
    _add_legend(figure, data, has_invalid=n_invalid > 0)
    return figure


def _add_legend(figure: Figure, data: SessionProbes, *, has_invalid: bool) -> None:
    """Name every mark below the panels."""
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 3}
    handles: list[Artist] = [
        Patch(facecolor=ALL_GREY, label="all units"),
        Patch(facecolor=BLUE, label=f"units that pass {data.unit_criteria}"),
        Line2D([], [], markerfacecolor="white", markeredgecolor="#808080", label="rate of a unit", **dot),
        Line2D([], [], color=BLUE, label="of one that passes", **dot),
    ]
    if has_invalid:
        cross: dict[str, Any] = {"linestyle": "none", "marker": "x", "markersize": 4, "color": BLACK}
        handles.append(Line2D([], [], label="invalid channel", **cross))
    if data.has_csd:
        handles.append(Line2D([], [], color=BLACK, linestyle="--", linewidth=0.8, label="flash"))
    columns = max(int(figure.get_figwidth() / (LEGEND_INCHES * points(1))), 1)
    style: dict[str, Any] = {"frameon": False, "handlelength": 1.0, "columnspacing": 1.2}
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(columns, len(handles)),
        fontsize=points(8),
        **style,
    )
