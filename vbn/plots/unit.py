"""Figure of one unit: responses, waveform, receptive field, autocorrelogram, rate over the session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vbn.plots.aligned import AlignedUnit, draw_raster, draw_rates, write_kinds
from vbn.plots.bands import size_inches, spread
from vbn.plots.panels import SECONDS_PER_MINUTE, say, set_titles, time_limits_min
from vbn.plots.session import BLOCK_COLOURS
from vbn.plots.structure_colours import lighter
from vbn.plots.style import BLACK, QUIET_GREY, STYLE

Floats = NDArray[np.float64]

FIGURE_SIZE_INCHES = (7.2, 9.6)
WAVEFORM_RATE_HZ = 30_000.0
REFRACTORY_S = 0.0015
"""Shorter intervals count as violations in the release (isi_violations)."""
BLOCK_POINTS, BLOCK_LETTER = 7.5, 0.62
POINTS_PER_INCH = 72


@dataclass(frozen=True)
class Field:
    """Receptive field map of a unit, measured with Gabors.

    Attributes
    ----------
    spikes_per_gabor : (n_y, n_x) mean number of spikes, y and x ascending.
    x_deg, y_deg : (n_x,), (n_y,) positions relative to the screen's centre, y upwards.
    is_significant : whether the field is significant.
    p_value : p-value of the field; NaN with too few spikes.
    p_is_upper_bound : whether the p-value is an upper bound, because no shuffle was as great.
    fit : centre x and y, and standard deviations along x and y, of the Gaussian, in degrees; None without a
        fit.
    """

    spikes_per_gabor: Floats
    x_deg: Floats
    y_deg: Floats
    is_significant: bool
    p_value: float
    p_is_upper_bound: bool
    fit: tuple[float, float, float, float] | None


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


def plot_unit(data: UnitCard, figure: Figure | None = None) -> Figure:
    """Draw the card of a unit.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one of 7.2 x 9.6 inches.

    Returns
    -------
    The figure. ``figure.axes`` are: on the left raster, rates, and rates around omissions; on the right
    waveform, receptive field, autocorrelogram, raster and rates around laser pulses; at the bottom the rate
    over the session. The colour bar is a child of the receptive field's panel.
    """
    with mpl.rc_context(STYLE):
        figure = figure or Figure(figsize=FIGURE_SIZE_INCHES)
        outer = figure.add_gridspec(2, 1, height_ratios=(6.6, 1))
        columns = outer[0].subgridspec(1, 2, width_ratios=(1.55, 1))
        left = columns[0].subgridspec(3, 1, height_ratios=(3.0, 1.7, 1.5))
        right = columns[1].subgridspec(5, 1, height_ratios=(1.2, 1.9, 1.1, 0.9, 1.0))
        raster = figure.add_subplot(left[0])
        rates = figure.add_subplot(left[1], sharex=raster)
        omissions = figure.add_subplot(left[2])
        others = [figure.add_subplot(right[row]) for row in range(5)]
        along = figure.add_subplot(outer[1])
        set_titles(figure, f"Unit {data.unit_id}", data.description)
        _draw_responses(raster, rates, data.responses)
        _draw_omissions(omissions, data.omissions)
        draw_waveform(others[0], data.waveform_uv)
        draw_field(others[1], data.field)
        draw_autocorrelogram(others[2], data.autocorrelogram_hz, data.autocorrelogram_bin_s)
        _draw_laser(others[3], others[4], data.laser)
        draw_session_rate(along, data.along_session)
        figure.align_ylabels([raster, rates, omissions, along])
    return figure


def draw_waveform(axes: Axes, waveform_uv: Floats | str) -> None:
    """Draw the mean waveform, with time relative to its largest deflection."""
    axes.set_title("Waveform, peak channel", loc="left")
    axes.set_ylabel("µV")
    if isinstance(waveform_uv, str):
        say(axes, waveform_uv)
        axes.set_xticks([])
        return
    peak = int(np.argmax(np.abs(waveform_uv)))
    time_ms = (np.arange(waveform_uv.size) - peak) / WAVEFORM_RATE_HZ * 1000
    axes.axhline(0, color=QUIET_GREY, linewidth=0.6, zorder=0.6)
    axes.plot(time_ms, waveform_uv, color=BLACK, linewidth=1.2)
    axes.set_xlim(time_ms[0], time_ms[-1])
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.set_xlabel("Time from the peak (ms)")


def draw_field(axes: Axes, field: Field | str) -> None:
    """Draw a receptive field as on the screen, and the fitted Gaussian at one standard deviation."""
    axes.set_title("Receptive field", loc="left")
    if isinstance(field, str):
        say(axes, field)
        axes.set_xticks([])
        return
    half_x, half_y = (np.diff(positions[:2])[0] / 2 for positions in (field.x_deg, field.y_deg))
    extent = (
        field.x_deg[0] - half_x,
        field.x_deg[-1] + half_x,
        field.y_deg[0] - half_y,
        field.y_deg[-1] + half_y,
    )
    image = axes.imshow(field.spikes_per_gabor, origin="lower", extent=extent, cmap="viridis", vmin=0)
    figure = axes.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(image, cax=axes.inset_axes((1.06, 0.0, 0.07, 1.0)))
    bar.set_label("Spikes per Gabor")
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(4)
    bar.update_ticks()
    if field.fit is not None:
        _draw_fit(axes, field.fit)
    axes.set(xlim=extent[:2], ylim=extent[2:], xlabel="x on screen (°)", ylabel="y on screen (°)")
    axes.set_xticks([-40, 0, 40])
    axes.set_yticks([-40, 0, 40])
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_anchor("W")
    axes.set_title(f"Receptive field, {_p_text(field)}", loc="left")


def _draw_fit(axes: Axes, fit: tuple[float, float, float, float]) -> None:
    x, y, width, height = fit
    outline = [Stroke(linewidth=2.6, foreground="black"), Normal()]  # visible on dark and bright colours
    ellipse = Ellipse((x, y), 2 * width, 2 * height, fill=False, edgecolor="white", linewidth=1.3)
    ellipse.set_path_effects(outline)
    axes.add_patch(ellipse)
    axes.plot(x, y, "+", color="white", markersize=7, markeredgewidth=1.3, path_effects=outline)


def _p_text(field: Field) -> str:
    if not np.isfinite(field.p_value):
        return "few spikes"
    return f"p {'<' if field.p_is_upper_bound else '='} {field.p_value:.2g}"


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
    letter = BLOCK_POINTS / POINTS_PER_INCH * BLOCK_LETTER * (high - low) / size_inches(axes)[0]
    sizes = [(len(names[block]) + 1) * letter for block in order]
    style: dict[str, Any] = {"fontsize": BLOCK_POINTS, "ha": "center", "va": "bottom", "color": QUIET_GREY}
    for block, x in zip(order, spread(centres[order], sizes, low, high), strict=True):
        axes.text(x, 1.04, names[block], transform=axes.get_xaxis_transform(), **style)


def _draw_responses(raster: Axes, rates: Axes, data: AlignedUnit) -> None:
    draw_raster(raster, data)
    write_kinds(raster, data.rows)
    draw_rates(rates, data)
    raster.tick_params(labelbottom=False)


def _draw_omissions(axes: Axes, data: AlignedUnit | str) -> None:
    axes.set_title("Omitted flashes", loc="left")
    if isinstance(data, str):
        axes.set_ylabel("Rate (Hz)")
        axes.set_xticks([])
        say(axes, data)
        return
    draw_rates(axes, data)
    write_kinds(axes, data.rates)


def _draw_laser(raster: Axes, rates: Axes, data: AlignedUnit | str) -> None:
    raster.set_title("Laser" if isinstance(data, str) else "Laser (blue), artefacts (red)", loc="left")
    raster.tick_params(labelbottom=False)
    if isinstance(data, str):
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
