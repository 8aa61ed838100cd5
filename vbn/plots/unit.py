"""Figure of one unit: responses, waveform, receptive field, autocorrelogram, rate over the session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vbn.plots.aligned import AlignedUnit, draw_aligned, draw_raster, draw_rates, name_spans, write_kinds
from vbn.plots.bands import GUIDE, POINTS_PER_INCH, channel_bands, draw_bands, size_inches, spread
from vbn.plots.encoding import EncodingUnit, draw_dropouts, draw_predicted
from vbn.plots.field import Field, draw_field
from vbn.plots.panels import SECONDS_PER_MINUTE, say, set_titles, time_limits_min
from vbn.plots.session import BLOCK_COLOURS
from vbn.plots.structure_colours import lighter
from vbn.plots.style import BLACK, ORANGE, QUIET_GREY, drawing_style, points

Floats = NDArray[np.float64]

FIGURE_SIZE_INCHES = (8.0, 11.6)
WAVEFORM_RATE_HZ = 30_000.0
REFRACTORY_S = 0.0015
"""Shorter intervals count as violations in the release (isi_violations)."""
BLOCK_POINTS, BLOCK_LETTER = 7.5, 0.62


@dataclass(frozen=True)
class SessionRate:
    """The rate of a unit over the session.

    Attributes
    ----------
    edges_s : (n_bins + 1,) bin edges, seconds on the session clock.
    rate_hz : (n_bins,) mean rates.
    block_name : (n_blocks,) keys of `vbn.plots.session.BLOCK_COLOURS`.
    block_start_s, block_stop_s : (n_blocks,) start and stop of the blocks in seconds.
    """

    edges_s: Floats
    rate_hz: Floats
    block_name: Sequence[str]
    block_start_s: Floats
    block_stop_s: Floats


@dataclass(frozen=True)
class ImageRates:
    """The rates of a unit in the flashes of each image.

    Attributes
    ----------
    name : (n_images,) names of the images.
    rate_hz : (n_images,) mean rates.
    baseline_hz : mean rate before the flashes; NaN if unknown.
    sparseness : lifetime sparseness, 0 for all images alike, 1 for one only; NaN where the unit does not
        respond.
    is_selective : whether the rates differ between images; None where it was not tested.
    """

    name: Sequence[str]
    rate_hz: Floats
    baseline_hz: float
    sparseness: float
    is_selective: bool | None


@dataclass(frozen=True)
class Place:
    """Where a unit lies.

    Attributes
    ----------
    probe : name of the probe.
    height_um : height above the probe's tip in micrometres.
    channel_height_um : (n_channels,) heights of the probe's channels.
    structure, structure_group : (n_channels,) structure and group of each channel; None for no structure.
    ccf_um : position in the Allen CCF in micrometres: anterior to posterior, dorsal to ventral, left to
        right; None if unknown.
    """

    probe: str
    height_um: float
    channel_height_um: Floats
    structure: Sequence[str | None]
    structure_group: Sequence[str | None]
    ccf_um: tuple[float, float, float] | None


@dataclass(frozen=True)
class UnitCard:
    """Data of `plot_unit`. A text instead of a panel's data says why there is none.

    Attributes
    ----------
    unit_id : id of the unit.
    description : lines below the title.
    responses : responses to the chosen events, with a raster.
    omissions : responses to omitted flashes.
    laser : responses to laser pulses at the highest level, with a raster.
    waveform_uv : (n_samples,) mean waveform on the peak channel in microvolts, at 30 kHz.
    field : the receptive field.
    autocorrelogram_hz : (n_bins,) rates at positive lags, see `vbn.analysis.spikes.autocorrelogram`.
    autocorrelogram_bin_s : its bin width in seconds.
    along_session : rate over the session.
    images : rates by image.
    place : where the unit lies.
    encoding : its encoding model.
    """

    unit_id: int
    description: Sequence[str]
    responses: AlignedUnit
    omissions: AlignedUnit | str
    laser: AlignedUnit | str
    waveform_uv: Floats | str
    field: Field | str
    autocorrelogram_hz: Floats | str
    autocorrelogram_bin_s: float
    along_session: SessionRate
    images: ImageRates | str
    place: Place
    encoding: EncodingUnit | str = "not computed"


def plot_unit(data: UnitCard, figure: Figure | None = None) -> Figure:
    """Draw the card of a unit.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one of 8 x 11.6 inches.

    Returns
    -------
    The figure. ``figure.axes`` are: on the left raster, rates, rates around omissions, rates by image; on the
    right waveform, receptive field, autocorrelogram, raster and rates around laser pulses; at the bottom the
    rate over the session; on the far right the place along the probe; above the rate over the session what
    drives the unit: dropouts, and predicted rates of up to two conditions. The colour bar is a child of the
    receptive field's panel.
    """
    with drawing_style():
        figure = figure or Figure(figsize=FIGURE_SIZE_INCHES)
        outer = figure.add_gridspec(3, 1, height_ratios=(7.2, 1.25, 1))
        columns = outer[0].subgridspec(1, 3, width_ratios=(1.6, 1, 0.3))
        left = columns[0].subgridspec(4, 1, height_ratios=(2.7, 1.6, 1.4, 1.0))
        right = columns[1].subgridspec(5, 1, height_ratios=(1.2, 1.9, 1.1, 0.9, 1.0))
        raster = figure.add_subplot(left[0])
        rates = figure.add_subplot(left[1], sharex=raster)
        omissions, images = figure.add_subplot(left[2]), figure.add_subplot(left[3])
        others = [figure.add_subplot(right[row]) for row in range(5)]
        along, place = figure.add_subplot(outer[2]), figure.add_subplot(columns[2])
        of_model = outer[1].subgridspec(1, 3, width_ratios=(1.3, 1, 1))
        drives = [figure.add_subplot(of_model[column]) for column in range(3)]
        set_titles(figure, f"Unit {data.unit_id}", data.description)
        draw_aligned((raster, rates), data.responses)
        _draw_omissions(omissions, data.omissions)
        draw_images(images, data.images)
        draw_waveform(others[0], data.waveform_uv)
        draw_field(others[1], data.field)
        draw_autocorrelogram(others[2], data.autocorrelogram_hz, data.autocorrelogram_bin_s)
        _draw_laser(others[3], others[4], data.laser)
        draw_session_rate(along, data.along_session)
        draw_place(place, data.place)
        _draw_encoding(drives, data.encoding)
        figure.align_ylabels([raster, rates, omissions, images, along])
    return figure


def draw_images(axes: Axes, images: ImageRates | str) -> None:
    """Draw the rate in the flashes of each image, the greatest first, and the rate before them."""
    axes.set_title("Images", loc="left", fontsize=points(9))
    axes.set_ylabel("Rate (Hz)")
    if isinstance(images, str):
        say(axes, images)
        axes.set_xticks([])
        return
    order = np.argsort(-images.rate_hz, kind="stable")
    axes.vlines(range(order.size), 0, images.rate_hz[order], color=QUIET_GREY, linewidth=1.0, gid=GUIDE)
    axes.plot(range(order.size), images.rate_hz[order], "o", color=BLACK, markersize=4.5)
    axes.axhline(images.baseline_hz, color=ORANGE, linewidth=0.9, linestyle="--")
    names = [images.name[at].removeprefix("im").removesuffix("_r") for at in order]
    axes.set_xticks(range(order.size), names, fontsize=points(8))
    axes.set_xlim(-0.6, order.size - 0.4)
    axes.set_ylim(0, None if np.nanmax(images.rate_hz, initial=0) > 0 else 1)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    selective = {True: "selective", False: "not selective", None: "not tested"}[images.is_selective]
    sparse = f", sparseness {images.sparseness:.2f}" if np.isfinite(images.sparseness) else ""
    axes.set_title(f"Images (dashed: before): {selective}{sparse}", loc="left", fontsize=points(8))


def draw_place(axes: Axes, place: Place) -> None:
    """Draw the structures along the probe, and an arrow at the unit."""
    axes.set_title(place.probe, loc="left", fontsize=points(9))
    if not len(place.channel_height_um):
        axes.set_axis_off()
        return
    bands = channel_bands(place.channel_height_um, place.structure, place.structure_group)
    axes.set_ylim(bands[0].low, max(bands[-1].high, bands[0].low + 1))
    draw_bands(axes, bands, font_size=7)
    axes.tick_params(left=False, labelleft=False)
    if np.isfinite(place.height_um):
        style: dict[str, Any] = {"color": BLACK, "markersize": 7, "clip_on": False, "zorder": 5}
        axes.plot([-0.08], [place.height_um], ">", label="unit", **style)
    if place.ccf_um is not None:
        names = ("AP", "DV", "LR")
        text = "CCF (µm)\n" + "\n".join(f"{n} {um:.0f}" for n, um in zip(names, place.ccf_um, strict=True))
        axes.set_xlabel(text, fontsize=points(7.5), loc="left")


def draw_waveform(axes: Axes, waveform_uv: Floats | str) -> None:
    """Draw the mean waveform, with time relative to its trough."""
    axes.set_title("Waveform, peak channel", loc="left")
    axes.set_ylabel("µV")
    if isinstance(waveform_uv, str):
        say(axes, waveform_uv)
        axes.set_xticks([])
        return
    trough = int(np.argmin(waveform_uv))
    time_ms = (np.arange(waveform_uv.size) - trough) / WAVEFORM_RATE_HZ * 1000
    axes.axhline(0, color=QUIET_GREY, linewidth=0.6, zorder=0.6)
    axes.plot(time_ms, waveform_uv, color=BLACK, linewidth=1.2)
    axes.set_xlim(time_ms[0], time_ms[-1])
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.set_xlabel("Time from trough (ms)")


def draw_autocorrelogram(axes: Axes, rate_hz: Floats | str, bin_s: float) -> None:
    """Draw the autocorrelogram, with the refractory period marked."""
    axes.set_title("Autocorrelogram", loc="left")
    axes.set_ylabel("Rate (Hz)")
    if isinstance(rate_hz, str):
        say(axes, rate_hz)
        axes.set_xticks([])
        return
    edges_ms = np.arange(-rate_hz.size, rate_hz.size + 1) * bin_s * 1000
    axes.stairs(np.concatenate((rate_hz[::-1], rate_hz)), edges_ms, fill=True, color=QUIET_GREY)
    for side in (-1, 1):
        axes.axvline(side * REFRACTORY_S * 1000, color="#D55E00", linewidth=0.8)
    axes.set_xlim(edges_ms[0], edges_ms[-1])
    axes.set_ylim(0, None if rate_hz.any() else 1)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.set_xlabel("Lag (ms); lines: ±1.5 ms")


def draw_session_rate(axes: Axes, data: SessionRate) -> None:
    """Draw the rate over the session, with stimulus blocks shaded and named above."""
    minutes = data.edges_s / SECONDS_PER_MINUTE
    axes.stairs(data.rate_hz, minutes, color=BLACK, linewidth=0.9, baseline=None)
    axes.set_ylim(0, None if data.rate_hz.any() else 1)
    axes.set_ylabel("Rate (Hz)")
    axes.yaxis.set_major_locator(MaxNLocator(3))
    time_limits_min([axes], data.edges_s[0], data.edges_s[-1])
    starts, stops = data.block_start_s / SECONDS_PER_MINUTE, data.block_stop_s / SECONDS_PER_MINUTE
    for name, start, stop in zip(data.block_name, starts, stops, strict=True):
        axes.axvspan(start, stop, color=lighter(BLOCK_COLOURS[name], 0.7), linewidth=0, zorder=0.5)
    _name_blocks(axes, data.block_name, (starts + stops) / 2)


def _name_blocks(axes: Axes, names: Sequence[str], centres: Floats) -> None:
    order = np.argsort(centres, kind="stable")
    low, high = axes.get_xlim()
    letter = points(BLOCK_POINTS) / POINTS_PER_INCH * BLOCK_LETTER * (high - low) / size_inches(axes)[0]
    sizes = [(len(names[block]) + 1) * letter for block in order]
    style: dict[str, Any] = {
        "fontsize": points(BLOCK_POINTS),
        "ha": "center",
        "va": "bottom",
        "color": QUIET_GREY,
    }
    for block, x in zip(order, spread(centres[order], sizes, low, high), strict=True):
        axes.text(x, 1.04, names[block], transform=axes.get_xaxis_transform(), **style)


def _draw_encoding(panels: Sequence[Axes], data: EncodingUnit | str) -> None:
    """Draw what is lost without the kernels that add most, and predicted over measured rates."""
    if isinstance(data, str):
        panels[0].set_title("What drives the unit", loc="left", fontsize=points(9))
        say(panels[0], data)
        panels[0].set_xticks([])
        for axes in panels[1:]:
            axes.set_axis_off()
        return
    draw_dropouts(panels[0], data, most=5)
    below = "" if data.is_explained else ", below threshold"
    panels[0].set_title(
        f"What drives it: {data.variance_explained:.3f} explained{below}", loc="left", fontsize=points(9)
    )
    shown = [name for name in ("repeats", "hits", "omissions", "misses") if name in data.measured_hz][:2]
    for axes, name in zip(panels[1:], shown, strict=False):
        draw_predicted(axes, data, name, is_first=name == shown[0])
    for axes in panels[1 + len(shown) :]:
        axes.set_axis_off()


def _draw_omissions(axes: Axes, data: AlignedUnit | str) -> None:
    axes.set_title("Omitted flashes", loc="left", fontsize=points(9))
    if isinstance(data, str):
        axes.set_ylabel("Rate (Hz)")
        axes.set_xticks([])
        say(axes, data)
        return
    draw_rates(axes, data)
    write_kinds(axes, data.rates)


def _draw_laser(raster: Axes, rates: Axes, data: AlignedUnit | str) -> None:
    raster.tick_params(labelbottom=False)
    if isinstance(data, str):
        raster.set_title("Laser", loc="left")
        for axes in (raster, rates):
            axes.set_xticks([])
            axes.set_yticks([])
        say(raster, data)
        rates.set_axis_off()
        return
    rates.sharex(raster)
    draw_raster(raster, data)
    raster.set_ylabel("Pulses")
    draw_rates(rates, data)
    name_spans(raster, data.spans)
