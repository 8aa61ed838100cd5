"""Waveform, receptive field and laser of a unit in the browser: they zoom and tell values."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    HoverTool,
    Label,
    LinearColorMapper,
    SingleIntervalTicker,
)
from bokeh.palettes import Viridis256

from populate.page.layout import STYLE, rendered
from populate.page.location import keep_in_address
from populate.page.named_picture import named_picture
from populate.page.unit_plots import TimeView, raster_and_rates
from schemas.figures.unit_events import UnitInSession, laser_waveforms, pulses_of_unit
from schemas.figures.waveforms import NO_NUMBER, ChannelWaveforms
from vbn.errors import SettingError, shortened
from vbn.plots.field import Field
from vbn.plots.style import BLACK, BLUE, ORANGE, QUIET_GREY

WAVEFORM_MS = (-0.6, 1.4)
TRACE_UM, TALLEST_UM = 24.0, 46.0
"""Width of a trace, and height of the greatest, in the picture of the probe."""
ROUND_UV = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
LASER_NAMES = {"pulse": "short pulses", "raised_cosine": "raised cosine, 1 s"}
LASER_VIEWS = {"raised_cosine": ((-0.5, 1.5), 10.0, 20.0)}
"""Waveform -> window (s), bins and smoothing (ms)."""
SHORT_VIEW = ((-0.05, 0.1), 1.0, 0.0)
LASER_PX = (215, 325)
BOTH_ZOOM = "pan,box_zoom,wheel_zoom,reset,save"


def waveform_picture(waveforms: ChannelWaveforms) -> Any:
    """Return the waveform on each channel, where the channel lies on the probe; the peak channel in black."""
    time = waveforms.time_ms
    shown = (time >= WAVEFORM_MS[0]) & (time <= WAVEFORM_MS[1])
    um_per_ms = TRACE_UM / (WAVEFORM_MS[1] - WAVEFORM_MS[0])
    x_um, y_um = np.nan_to_num(waveforms.x_um), np.nan_to_num(waveforms.y_um)  # no place is drawn at the tip
    greatest = float(np.nan_to_num(waveforms.peak_to_peak_uv).max()) or 1.0
    um_per_uv = TALLEST_UM / greatest
    count = len(waveforms.channel)
    columns = {
        "xs": [x + time[shown] * um_per_ms for x in x_um],
        "ys": [y + uv[shown] * um_per_uv for y, uv in zip(y_um, waveforms.waveform_uv, strict=True)],
        "place": [
            "unknown place" if number == NO_NUMBER or np.isnan(y) else f"{number}, {y:g} µm"
            for number, y in zip(waveforms.channel, waveforms.y_um, strict=True)
        ],
        "structure": [name or "no structure" for name in waveforms.structure],
        "size": waveforms.peak_to_peak_uv,
        "colour": [BLACK if at == waveforms.peak else BLUE for at in range(count)],
        "width": [2.2 if at == waveforms.peak else 1.2 for at in range(count)],
    }
    picture = named_picture(
        "Waveform on each channel",
        height=470,
        x_axis_label="Across the shank (µm)",
        y_axis_label="Height above the tip (µm)",
        tools=BOTH_ZOOM,
        output_backend="canvas",
    )
    lines = picture.multi_line(
        "xs", "ys", source=ColumnDataSource(columns), line_color="colour", line_width="width"
    )
    facts = [
        ("channel", "@place, @structure"),
        ("peak to peak", "@size{0.0} µV"),
    ]
    picture.add_tools(HoverTool(visible=False, renderers=[lines], tooltips=facts))
    picture.xgrid.visible = False
    if not waveforms.lacking:
        picture.yaxis.ticker = SingleIntervalTicker(interval=20)
    _draw_scale(picture, (float(x_um.min()), float(y_um.min())), greatest, um_per_uv, um_per_ms)
    return picture


def _draw_scale(
    picture: Any, lowest_um: tuple[float, float], greatest: float, um_per_uv: float, um_per_ms: float
) -> None:
    """Draw bars of a round number of microvolts and of half a millisecond below the lowest channel."""
    bar_uv = max((uv for uv in ROUND_UV if uv <= greatest / 2), default=1)
    left = lowest_um[0] + WAVEFORM_MS[0] * um_per_ms
    bottom = lowest_um[1] - TALLEST_UM - 8
    style: dict[str, Any] = {"color": QUIET_GREY, "line_width": 2}
    picture.segment(left, bottom, left, bottom + bar_uv * um_per_uv, **style)
    picture.segment(left, bottom, left + 0.5 * um_per_ms, bottom, **style)
    text = f"{bar_uv:g} µV, 0.5 ms"
    label: dict[str, Any] = {"text_font_size": "11px", "text_color": QUIET_GREY, "x_offset": 6}
    picture.add_layout(Label(x=left + 0.5 * um_per_ms, y=bottom, text=text, **label))


def field_picture(field: Field) -> Any:
    """Return the receptive field as on the screen, with the fitted Gaussian at one standard deviation."""
    x, y = np.meshgrid(field.x_deg, field.y_deg)
    step_x, step_y = field.steps_deg
    mapper = LinearColorMapper(Viridis256, low=0, high=field.greatest)
    picture = named_picture(
        "Receptive field",
        height=330,
        x_axis_label="x on screen (°)",
        y_axis_label="y on screen (°)",
        tools=BOTH_ZOOM,
        match_aspect=True,
        output_backend="canvas",
    )
    columns = {"x": x.ravel(), "y": y.ravel(), "spikes": field.spikes_per_gabor.ravel()}
    squares = picture.rect(
        "x", "y", step_x, step_y,
        source=ColumnDataSource(columns),
        fill_color={"field": "spikes", "transform": mapper},
        line_color=None,
    )  # fmt: skip
    tips = [("place", "@x°, @y°"), ("spikes per Gabor", "@spikes{0.000}")]
    picture.add_tools(HoverTool(visible=False, renderers=[squares], tooltips=tips))
    if field.fit is not None:
        fit_x, fit_y, width, height = field.fit
        for colour, line_width in ((BLACK, 4.0), ("white", 2.0)):
            picture.ellipse(
                fit_x, fit_y, 2 * width, 2 * height, fill_alpha=0, line_color=colour, line_width=line_width
            )
        picture.scatter(fit_x, fit_y, marker="cross", size=12, color=ORANGE, line_width=2)
    bar = ColorBar(color_mapper=mapper, width=10, padding=4, bar_line_color=None)
    picture.add_layout(bar, "right")
    picture.grid.visible = False
    return picture


def laser_panel(unit: UnitInSession, wanted: str, style: Mapping[str, Any]) -> Any:
    """Return a unit around laser pulses, by level, with a menu of the waveforms.

    Parameters
    ----------
    unit : the unit.
    wanted : the waveform to show first; empty for the shortest.
    style : layout of the menu.

    Raises
    ------
    SettingError
        If there is no laser, or not this waveform.
    """
    known = laser_waveforms(unit)
    if not known:
        raise SettingError("There is no laser table in the file of this session.")
    if wanted and wanted not in known:
        raise SettingError(
            f"There are no laser pulses '{shortened(wanted)}' in this session, but: {', '.join(known)}."
        )
    options = {LASER_NAMES.get(name, name): name for name in known}
    waveform = pn.widgets.Select(name="Laser", options=options, value=wanted or known[0], **style)
    waveform.param.watch(lambda _event: keep_in_address(laser=waveform.value), "value")

    async def draw(name: str) -> Any:
        window, bin_ms, smoothing_ms = LASER_VIEWS.get(name, SHORT_VIEW)
        groups, spans = await asyncio.to_thread(pulses_of_unit, unit, name, window)
        view = TimeView("the onset of the light", window, spans, "Pulses")
        shown = raster_and_rates(groups, view, bin_ms, smoothing_ms)
        for picture, height in zip(shown, LASER_PX, strict=True):
            picture.height = height
        words = rendered(
            "unit_laser.html", bin_ms=bin_ms, smoothing_ms=smoothing_ms, levels=[each.name for each in groups]
        )
        panes = [pn.pane.Bokeh(each, sizing_mode="stretch_width", margin=0) for each in shown]
        note = pn.pane.HTML(words, margin=0, stylesheets=[STYLE], sizing_mode="stretch_width")
        return pn.Column(*panes, note, margin=0, sizing_mode="stretch_width")

    return pn.Column(waveform, pn.bind(draw, waveform), margin=0, sizing_mode="stretch_width")
