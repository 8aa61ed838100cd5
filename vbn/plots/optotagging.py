"""Figure of the optotagging evidence: laser responses of units, and the share that pass, by mouse line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vbn.analysis.optotagging import wilson_interval
from vbn.counted import counted
from vbn.plots.panels import say, set_titles
from vbn.plots.source_data import name_rows
from vbn.plots.style import BLACK, BLUE, ORANGE, PURPLE, QUIET_GREY, SKY_BLUE, drawing_style, points

Floats = NDArray[np.float64]

FIGURE_SIZE_INCHES = (8.6, 7.9)
PASSING_HEIGHT = (0.18, 0.6)
"""Limits of the fraction of the height given to passing units."""
COLOUR_PERCENTILE, LEAST_SPIKES = 99.5, 3
KIND_COLOURS = {
    "tagged": ORANGE,
    "passing, not labelled": PURPLE,
    "untagged": BLUE,
    "unlabelled": "#AAAAAA",
}
LIGHT_COLOURS = {"light": SKY_BLUE, "artefact": ORANGE}
LINE_ORDER = ("Sst", "Vip", "other", "wild type")


@dataclass(frozen=True)
class PassingUnits:
    """Numbers of passing units in mice of one line.

    Attributes
    ----------
    line : ``Sst``, ``Vip``, ``other`` or ``wild type``.
    session_id : (n_sessions,) ids of the sessions.
    n_passing, n_units : (n_sessions,) number of units that pass, and of all units.
    """

    line: str
    session_id: Sequence[int]
    n_passing: NDArray[np.int64]
    n_units: NDArray[np.int64]


@dataclass(frozen=True)
class LongPulses:
    """Responses to the long pulses, raised cosines, at their highest level.

    Attributes
    ----------
    n_pulses : number of pulses.
    edges_s : (n_bins + 1,) bin edges, seconds from onset.
    rate_hz : (n_units, n_bins) mean rates.
    spans : (start, stop, name) in seconds from onset: the light, and possible artefacts.
    """

    n_pulses: int
    edges_s: Floats
    rate_hz: Floats
    spans: Sequence[tuple[float, float, str]]


@dataclass(frozen=True)
class LaserEvidence:
    """Data of `plot_optotagging`, at the highest level of the short pulses.

    Attributes
    ----------
    session_id, genotype : id of the session, and genotype of the mouse.
    method : name of the labelling method.
    n_pulses : number of pulses.
    edges_s : (n_bins + 1,) bin edges, seconds from pulse onset.
    rate_hz : (n_units, n_bins) mean rates.
    label : (n_units,) ``tagged``, ``untagged`` or ``unlabelled``.
    passes : (n_units,) whether the unit meets the method's rule, whatever the genotype.
    latency_s : (n_units,) median first spike latency; NaN without a response.
    reliability : (n_units,) fraction of pulses with a spike; NaN where not measured.
    spans : (start, stop, name) in seconds from onset: the light, and possible artefacts.
    lines : numbers of passing units in all sessions, of `projects`, by mouse line.
    unit_id : (n_units,) ids of the units, for the table of the drawn numbers; None if unknown.
    long_pulses : responses to the other waveform; None if the session has none.
    projects : data set of ``lines`` -> its number of sessions; none if it is not known.
    """

    session_id: int
    genotype: str
    method: str
    n_pulses: int
    edges_s: Floats
    rate_hz: Floats
    label: Sequence[str]
    passes: NDArray[np.bool_]
    latency_s: Floats
    reliability: Floats
    spans: Sequence[tuple[float, float, str]]
    lines: Sequence[PassingUnits]
    unit_id: Sequence[int] | None = None
    long_pulses: LongPulses | None = None
    projects: Mapping[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> list[str]:
        """(n_units,) kind of each unit, a key of `KIND_COLOURS`."""
        passing = "passing, not labelled"
        return [
            passing if passes and label != "tagged" else label
            for label, passes in zip(self.label, self.passes, strict=True)
        ]

    def order(self, passes: bool) -> NDArray[np.intp]:
        """Return the units that pass, or that do not, by kind, then latency; NaN last."""
        kinds, names = self.kind, list(KIND_COLOURS)
        chosen = np.flatnonzero(self.passes == passes)
        ranks = np.array([names.index(kinds[unit]) for unit in chosen], dtype=np.int64)
        return chosen[np.lexsort((self.latency_s[chosen], ranks))]


def plot_optotagging(data: LaserEvidence, figure: Figure | None = None) -> Figure:
    """Draw the laser responses of a session's units, and the share of passing units in all sessions.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one of 8.6 x 7.9 inches.

    Returns
    -------
    The figure. ``figure.axes`` are: rates of the passing units, rates of all others, reliability against
    latency, share of passing units by line; then the rates around long pulses of the passing units and of all
    others. The colour bars are children of the panels on the right.

    Notes
    -----
    Each row is a unit's mean rate. The colour scale ends at the 99.5th percentile of the rates outside
    possible artefacts (of the passing units, if any), but not below the rate of three spikes in a bin.
    Artefacts may occur anywhere within the censored time around the pulse edges.
    """
    with drawing_style():
        figure = figure or Figure(figsize=FIGURE_SIZE_INCHES)
        outer = figure.add_gridspec(2, 1, height_ratios=(1.6, 1))
        share = float(np.clip(data.passes.mean() if data.passes.size else 0, *PASSING_HEIGHT))
        maps = outer[0].subgridspec(2, 2, height_ratios=(share, 1 - share), width_ratios=(1.3, 1))
        passing = figure.add_subplot(maps[0, 0])
        others = figure.add_subplot(maps[1, 0], sharex=passing)
        below = outer[1].subgridspec(1, 2, width_ratios=(1.5, 1))
        _draw_maps(figure, (passing, others), data, _pulses(data), data.edges_s[-1] < 0.5)
        draw_latencies(figure.add_subplot(below[0]), data)
        draw_shares(figure.add_subplot(below[1]), data)
        long_passing = figure.add_subplot(maps[0, 1])
        long_others = figure.add_subplot(maps[1, 1], sharex=long_passing)
        _draw_long(figure, (long_passing, long_others), data)
        figure.align_ylabels([passing, others])
        of_lines = " and ".join(f"{number} of {name}" for name, number in data.projects.items())
        notes = [
            f"{data.genotype}; lines: sessions, {of_lines}" if of_lines else data.genotype,
            f"Labels by {data.method}; rows: units by label (bar on the left, colours as below) and latency",
        ]
        set_titles(figure, f"Optotagging, session {data.session_id}", notes)
        _add_legend(figure, data)
    return figure


def _pulses(data: LaserEvidence) -> LongPulses:
    """Return the responses to the short pulses in the form of those to the long ones."""
    return LongPulses(data.n_pulses, data.edges_s, data.rate_hz, data.spans)


def _draw_maps(
    figure: Figure, panels: tuple[Axes, Axes], data: LaserEvidence, pulses: LongPulses, is_short: bool
) -> None:
    """Draw the rates around one waveform: of the units that pass above those of the others."""
    images = [
        draw_rates(axes, data, pulses, passes) for axes, passes in zip(panels, (True, False), strict=True)
    ]
    panels[0].tick_params(labelbottom=False)
    panels[1].set_xlabel("Time from laser onset (ms)")
    waveform = "short" if is_short else "raised cosine"
    panels[0].set_title(
        f"{counted(pulses.n_pulses, waveform + ' pulse')}", loc="left", fontsize=points(9), pad=12
    )
    _mark_light(panels[0], pulses.spans)
    _add_bar(figure, panels[1] if images[1] else panels[0], images[1] or images[0])


def _draw_long(figure: Figure, panels: tuple[Axes, Axes], data: LaserEvidence) -> None:
    if data.long_pulses is not None:
        _draw_maps(figure, panels, data, data.long_pulses, False)
        for axes in panels:
            axes.set_ylabel("")
        return
    for axes in panels:
        axes.set_axis_off()
    panels[1].set_axis_on()
    panels[1].spines[:].set_visible(False)
    panels[1].set_xticks([])
    say(panels[1], "no raised cosine pulses")


def _add_legend(figure: Figure, data: LaserEvidence) -> None:
    """Name the marks of the light and of possible artefacts, in the colours in which they are drawn."""
    names = dict.fromkeys(name for _, _, name in data.spans)
    words = {"light": "light", "artefact": "possible artefact"}
    patches = [Patch(facecolor=LIGHT_COLOURS[name], label=words[name]) for name in names]
    style: dict[str, Any] = {"frameon": False, "handlelength": 1.2, "borderaxespad": 0.3}
    figure.legend(handles=patches, loc="upper right", ncols=len(patches), fontsize=points(8.5), **style)


def draw_rates(axes: Axes, data: LaserEvidence, pulses: LongPulses, passes: bool) -> AxesImage | None:
    """Draw the rates around pulses of the units that pass, or of those that do not, one row per unit."""
    order = data.order(passes)
    label = "passing" if passes else "not passing"
    axes.set_ylabel(f"{counted(len(order), 'unit')}\n{label}", labelpad=12)
    axes.set_yticks([])
    low, high = pulses.edges_s[[0, -1]] * 1000
    axes.set_xlim(low, high)
    if order.size == 0:
        say(axes, "no unit passes" if passes else "all units pass")
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(bottom=False)
        return None
    image = axes.imshow(
        pulses.rate_hz[order],
        aspect="auto",
        cmap="magma",
        vmin=0,
        vmax=_highest_rate(pulses, data.passes),
        extent=(low, high, len(order), 0),
        interpolation="antialiased",
    )
    if data.unit_id is not None:
        name_rows(image, [data.unit_id[unit] for unit in order])
    for start, stop, name in pulses.spans:
        if name == "artefact":
            axes.axvspan(start * 1000, stop * 1000, color=LIGHT_COLOURS[name], alpha=0.35, linewidth=0)
    _write_kinds(axes, [data.kind[unit] for unit in order])
    return image


def draw_latencies(axes: Axes, data: LaserEvidence) -> None:
    """Draw latency and reliability of each unit's response."""
    kinds = np.array(data.kind, dtype=object)
    known = np.isfinite(data.latency_s) & np.isfinite(data.reliability)
    for name, colour in reversed(KIND_COLOURS.items()):
        of_kind = kinds == name
        if not of_kind.any():
            continue  # but those without a latency have a bar beside their rows
        chosen = known & of_kind
        size = 5 if name in ("tagged", "passing, not labelled") else 3.5
        style: dict[str, Any] = {"color": colour, "markersize": size, "alpha": 0.8, "markeredgewidth": 0}
        x, label = data.latency_s[chosen] * 1000, f"{name} ({of_kind.sum()})"
        axes.plot(x, data.reliability[chosen], "o", label=label, **style)
    axes.set(xlabel="Latency of the first spike (ms)", ylabel="Reliability (share of pulses)")
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlim(0, 1000 * max((stop for _, stop, name in data.spans if name == "light"), default=0.01))
    place: dict[str, Any] = {"loc": "best", "handletextpad": 0.1, "borderpad": 0.0, "reverse": True}
    axes.legend(frameon=False, fontsize=points(8), **place)
    if not known.any():
        say(axes, "no unit responds to the light")
        return
    silent = f"{counted(int((~known).sum()), 'unit')} without a response to the light not shown"
    axes.set_title(silent, loc="left", fontsize=points(8))


def draw_shares(axes: Axes, data: LaserEvidence) -> None:
    """Draw the share of passing units, per session and per line with its 95 % Wilson interval."""
    lines = sorted(data.lines, key=lambda line: LINE_ORDER.index(line.line))
    for x, line in enumerate(lines):
        shares = 100 * line.n_passing / np.maximum(line.n_units, 1)
        label = "session"
        style: dict[str, Any] = {"color": QUIET_GREY, "markersize": 3, "alpha": 0.5, "label": label}
        axes.plot(np.full(len(shares), x - 0.18), shares, "o", **style)
        here = np.array([number == data.session_id for number in line.session_id], dtype=np.bool_)
        style = {"color": ORANGE, "markersize": 4, "label": "this session" if here.any() else "_other"}
        axes.plot(np.full(here.sum(), x - 0.18), shares[here], "o", **style)
        passing, total = line.n_passing.sum(), line.n_units.sum()
        share = 100 * passing / max(total, 1)
        low, high = (100 * float(limit[0]) for limit in wilson_interval([passing], [total]))
        lengths = [[max(share - low, 0)], [max(high - share, 0)]]
        axes.errorbar([x + 0.12], [share], yerr=lengths, fmt="s", color=BLACK, markersize=4, linewidth=1.3,
                      label="line, 95 % interval")  # fmt: skip
    names = [f"{line.line}\nn = {len(line.session_id)}" for line in lines]
    axes.set_xticks(range(len(lines)), names, fontsize=points(8))
    axes.set_xlim(-0.6, max(len(lines), 1) - 0.4)
    top = 1.05 * axes.get_ylim()[1]
    axes.set_ylim(-0.02 * top, top)
    axes.set_ylabel("Units passing (%)")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    handles, labels = axes.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))  # each once, though lines repeat them
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 0.98), "borderaxespad": 0.0}
    place |= {"handletextpad": 0.1, "columnspacing": 0.7, "frameon": False, "fontsize": points(8)}
    axes.legend([*named.values()], [*named], ncols=3, **place)


def _highest_rate(pulses: LongPulses, passes: NDArray[np.bool_]) -> float:
    """Return the end of the colour scale, so that neither artefacts nor single spikes set it."""
    centres = (pulses.edges_s[:-1] + pulses.edges_s[1:]) / 2
    clean = np.ones(centres.size, dtype=np.bool_)
    for start, stop, name in pulses.spans:
        clean &= (name != "artefact") | (centres < start) | (centres >= stop)
    rates = pulses.rate_hz[:, clean]
    tagged = rates[passes] if passes.any() else rates
    one_spike = 1 / (max(pulses.n_pulses, 1) * (pulses.edges_s[1] - pulses.edges_s[0]))
    return float(max(np.nanpercentile(tagged, COLOUR_PERCENTILE), LEAST_SPIKES * one_spike))


def _mark_light(axes: Axes, spans: Sequence[tuple[float, float, str]]) -> None:
    """Draw bars above a panel for the light and for possible artefacts."""
    for start, stop, name in sorted(spans, key=lambda span: span[2] == "artefact"):
        colour = LIGHT_COLOURS[name]
        axes.axvspan(start * 1000, stop * 1000, 1.03, 1.09, color=colour, linewidth=0, clip_on=False)


def _write_kinds(axes: Axes, kinds: Sequence[str]) -> None:
    """Mark the kinds of the rows at the left edge."""
    for name, colour in KIND_COLOURS.items():
        rows = [row for row, kind in enumerate(kinds) if kind == name]
        if rows:
            axes.axhspan(rows[0], rows[-1] + 1, -0.02, -0.005, color=colour, linewidth=0, clip_on=False)


def _add_bar(figure: Figure, axes: Axes, image: AxesImage | None) -> None:
    if image is None:
        return
    bar = figure.colorbar(image, cax=axes.inset_axes((1.02, 0.0, 0.025, 1.0)), extend="max")
    bar.set_label("Firing rate (Hz)")
    bar.outline.set_visible(False)
