"""Raster and mean rates of a unit in the browser: they zoom, tell values, and are grouped anew by menus."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import BoxAnnotation, ColumnDataSource, HoverTool

from populate.page.layout import STYLE, rendered
from populate.page.location import keep_in_address
from populate.page.named_picture import named_picture
from populate.page.session_plots import few_ticks
from populate.page.unit_question import whole_number
from schemas.figures.aligned import EVENT_NAMES
from schemas.figures.unit_events import (
    EVENTS,
    GROUPINGS,
    EventGroup,
    UnitInSession,
    events_of_unit,
    flash_spans,
    groupings,
)
from schemas.queries.checks import require_choice
from vbn.analysis.spikes.psth import TimeAxis
from vbn.analysis.spikes.smoothing import REACH_SD, smoothed_rate
from vbn.plots.aligned import EventSpikes, kind_colours

WINDOW_S = (-0.5, 1.0)
BIN_MS = (1, 50, 10)
SMOOTHING_MS = (0, 50, 10)
"""Least, greatest and first value of the sliders."""
MARGIN_S = REACH_SD * SMOOTHING_MS[1] / 1000
EVENTS_SHOWN = 150
"""Rows of a group in the raster: more are thinned out evenly, so that browsers remain quick."""
BEHAVIOR_AXIS = TimeAxis(*WINDOW_S, 0.05)
BEHAVIOR_PX = 140
"""Height of a picture of behavior with its axis of time: its label has room."""
BEHAVIOR_LABELS = {"running": "Running (cm/s)", "licks": "Licks (1/s)", "pupil": "Pupil (px²)"}
SPAN_COLOURS = {"flash": "#d9dee4", "light": "#9ccbe8", "artefact": "#f3c9b0"}
TOOLS = "pan,box_zoom,xwheel_zoom,reset,save"


@dataclass(frozen=True)
class TimeView:
    """The axis of time around events.

    Attributes
    ----------
    label : what the times are from, in words.
    window_s : start and stop of what is shown, in seconds.
    spans : start, stop (s) and key of `SPAN_COLOURS` of what is shaded.
    rows : what a row of the raster is.
    """

    label: str
    window_s: tuple[float, float] = WINDOW_S
    spans: Sequence[tuple[float, float, str]] = ()
    rows: str = "Events"

    @classmethod
    def around(cls, event: str) -> TimeView:
        """Return the axis around a kind of event on the screen."""
        return cls(EVENT_NAMES[event], spans=[(*span, "flash") for span in flash_spans(event)])


def raster_rows(
    group: EventSpikes, first: int, window_s: tuple[float, float] = WINDOW_S
) -> tuple[dict[str, Any], int]:
    """Return the spikes of a group as rows of a raster, and how many rows it takes.

    Parameters
    ----------
    group : the spikes around the events of a group.
    first : the row of its first event.
    window_s : start and stop of the raster, in seconds.
    """
    n_rows = min(group.n_events, EVENTS_SHOWN)
    chosen = np.linspace(0, group.n_events - 1, n_rows).round().astype(int)
    row = np.full(group.n_events, -1)
    row[chosen] = first + np.arange(n_rows)
    within = (group.time_s >= window_s[0]) & (group.time_s < window_s[1]) & (row[group.event] >= 0)
    event = group.event[within]
    spikes = {"time": group.time_s[within], "row": row[event], "end": row[event] + 0.9, "event": event + 1}
    return spikes | {"group": [group.name] * len(event)}, n_rows


def raster_and_rates(
    groups: Sequence[EventSpikes], view: TimeView, bin_ms: float, smoothing_ms: float
) -> tuple[Any, Any]:
    """Return the two pictures, with one axis of time."""
    shared: dict[str, Any] = {"tools": TOOLS, "output_backend": "canvas"}
    around = f"around {view.label}"
    raster = named_picture(
        f"Raster of spikes {around}", height=300, x_range=view.window_s, y_axis_label=view.rows, **shared
    )
    rates = named_picture(
        f"Mean rates {around}",
        height=270 + 13 * len(groups),
        x_range=raster.x_range,
        y_axis_label="Rate (Hz)",
        **shared,
    )
    rates.xaxis.axis_label = f"Time from {view.label} (s)"
    first, colours = 0, kind_colours(groups)
    for group in groups:
        colour = colours[group.name]
        label = f"{group.name} ({group.n_events:,})"
        spikes, n_rows = raster_rows(group, first, view.window_s)
        ticks = raster.segment("time", "row", "time", "end", source=ColumnDataSource(spikes), color=colour)
        centers, rate = smoothed_rate(
            group.time_s, group.n_events, view.window_s, bin_ms / 1000, smoothing_ms / 1000
        )
        curve = ColumnDataSource({"time": centers, "rate": rate, "group": [group.name] * len(rate)})
        rates.line("time", "rate", source=curve, color=colour, line_width=1.8, legend_label=label)
        raster.add_tools(
            HoverTool(visible=False, renderers=[ticks], tooltips=[("group", "@group"), ("event", "@event")])
        )
        first += n_rows
    rates.add_tools(
        HoverTool(
            visible=False,
            tooltips=[("group", "@group"), ("time", "@time{0.0000} s"), ("rate", "@rate{0.00} Hz")],
        )
    )
    rates.legend.click_policy = "hide"
    rates.legend.ncols = 2
    rates.add_layout(rates.legend[0], "above")
    raster.y_range.start, raster.y_range.end = max(first, 1), 0
    rates.y_range.start = 0
    for picture in (raster, rates):
        _shade(picture, view.spans)
    return raster, rates


@dataclass(frozen=True)
class ChosenView:
    """What a visitor has chosen.

    Attributes
    ----------
    event, by : keys of `EVENTS` and `GROUPINGS`.
    bin_ms, smoothing_ms : width of the bins, and standard deviation of the smoothing, 0 for none.
    """

    event: str = "change"
    by: str = "block"
    bin_ms: int = BIN_MS[2]
    smoothing_ms: int = SMOOTHING_MS[2]

    @classmethod
    def of_address(cls, query: Mapping[str, str]) -> ChosenView:
        """Return what an address chooses; raise SettingError for what there is not."""
        event = query.get("event") or cls.event
        require_choice("kind of event", event, list(EVENTS))
        by = query.get("by") or cls.by
        require_choice("grouping", by, groupings(event))
        return cls(event, by, _within(query, "bin", BIN_MS), _within(query, "smooth", SMOOTHING_MS))


def _within(query: Mapping[str, str], name: str, limits: tuple[int, int, int]) -> int:
    """Return a number of the address, at most and at least what the slider allows."""
    text = query.get(name) or str(limits[2])
    return min(max(whole_number(name, text), limits[0]), limits[1])


def behavior_pictures(groups: Sequence[EventGroup], event: str, x_range: Any) -> list[Any]:
    """Return running, licks and pupil around the events, as far as they were recorded, on an axis of time."""
    drawn, colours = [], kind_colours([group.spikes for group in groups])
    for name in [name for name in BEHAVIOR_LABELS if name in groups[0].behavior]:
        picture = named_picture(
            f"{BEHAVIOR_LABELS[name]} around {EVENT_NAMES[event]}",
            height=BEHAVIOR_PX,
            x_range=x_range,
            y_axis_label=BEHAVIOR_LABELS[name],
            tools=TOOLS,
            toolbar_location=None,
        )
        for group in groups:
            mean, colour = group.behavior[name], colours[group.spikes.name]
            curve = {"time": BEHAVIOR_AXIS.centers_s, "mean": mean, "group": [group.spikes.name] * len(mean)}
            picture.line("time", "mean", source=ColumnDataSource(curve), color=colour, line_width=1.8)
        words = [("group", "@group"), ("time", "@time{0.000} s"), (BEHAVIOR_LABELS[name], "@mean{0.00}")]
        picture.add_tools(HoverTool(visible=False, tooltips=words))
        few_ticks(picture)
        _shade(picture, TimeView.around(event).spans)
        drawn.append(picture)
    return drawn


def _shade(picture: Any, spans: Sequence[tuple[float, float, str]]) -> None:
    for start, stop, name in spans:
        shade: dict[str, Any] = {"fill_color": SPAN_COLOURS[name], "fill_alpha": 0.5, "level": "underlay"}
        picture.add_layout(BoxAnnotation(left=start, right=stop, **shade))


async def pictures(unit: UnitInSession, chosen: ChosenView, of_images: Set[str] = frozenset()) -> Any:
    """Return the pictures of a unit with a line of words, which also says where there is nothing to draw."""
    window = (WINDOW_S[0] - MARGIN_S, WINDOW_S[1] + MARGIN_S)
    groups = await asyncio.to_thread(events_of_unit, unit, chosen.event, chosen.by, window, BEHAVIOR_AXIS)
    if not groups:
        text = f"There are no {EVENTS[chosen.event]} to group by {GROUPINGS[chosen.by]} in this session."
        return pn.pane.HTML(rendered("message.html", text=text), margin=0, stylesheets=[STYLE])
    spikes = [group.spikes for group in groups]
    drawn = raster_and_rates(spikes, TimeView.around(chosen.event), chosen.bin_ms, chosen.smoothing_ms)
    behavior = behavior_pictures(groups, chosen.event, drawn[0].x_range)
    words = rendered(
        "unit_groups.html",
        event=EVENTS[chosen.event],
        by=GROUPINGS[chosen.by],
        colours=kind_colours(spikes),
        names=[each.name for each in spikes] if chosen.by == "image" else [],
        pictures=of_images,
        n_spikes=sum(len(each.time_s) for each in spikes),
        groups=[(each.name, each.n_events, *rates_of(each)) for each in spikes],
        shown=EVENTS_SHOWN,
    )
    panes = [pn.pane.Bokeh(each, sizing_mode="stretch_width", margin=0) for each in (*drawn, *behavior)]
    table = pn.pane.HTML(words, margin=0, stylesheets=[STYLE], sizing_mode="stretch_width")
    return pn.Column(*panes, table, margin=0, sizing_mode="stretch_width")


def rates_of(group: EventSpikes) -> tuple[float, float]:
    """Return the mean rates (Hz) in the 250 ms before and after the events of a group."""
    before, after = (
        np.count_nonzero((group.time_s >= start) & (group.time_s < start + 0.25)) for start in (-0.25, 0.0)
    )
    return before / group.n_events / 0.25, after / group.n_events / 0.25


def interactive_unit(
    unit: UnitInSession, chosen: ChosenView, style: Mapping[str, Any], of_images: Set[str] = frozenset()
) -> Any:
    """Return the pictures with menus and sliders; the address follows what is chosen.

    Parameters
    ----------
    unit : the unit.
    chosen : what to show first.
    style : layout of the menus.
    of_images : names of the images of which there are pictures.
    """
    event = pn.widgets.Select(name="Around", options=_named(EVENTS, EVENTS), value=chosen.event, **style)
    by = pn.widgets.Select(
        name="Grouped by", options=_named(GROUPINGS, groupings(chosen.event)), value=chosen.by, **style
    )
    bins, smoothing = (
        pn.widgets.IntSlider(name=name, start=limits[0], end=limits[1], value=value, **style)
        for name, limits, value in (
            ("Bins (ms)", BIN_MS, chosen.bin_ms),
            ("Smoothing (ms)", SMOOTHING_MS, chosen.smoothing_ms),
        )
    )
    widgets = {"event": event, "by": by, "bin": bins, "smooth": smoothing}

    def regroup(_event: Any) -> None:
        known = groupings(event.value)
        by.param.update(
            options=_named(GROUPINGS, known), value=by.value if by.value in known else ChosenView.by
        )

    def remember(_event: Any) -> None:
        keep_in_address(**{name: widget.value for name, widget in widgets.items()})

    event.param.watch(regroup, "value")
    for widget in (event, by):
        widget.param.watch(remember, "value")
    for widget in (bins, smoothing):
        widget.param.watch(remember, "value_throttled")
    menus = pn.Row(*widgets.values(), styles={"flex-wrap": "wrap", "gap": "8px 0"}, margin=(0, 0, 8, 0))

    async def draw(*values: Any) -> Any:
        return await pictures(unit, ChosenView(*values), of_images)

    drawn = pn.bind(
        draw,
        event, by, bins.param.value_throttled, smoothing.param.value_throttled,
    )  # fmt: skip
    return pn.Column(menus, drawn, margin=0, sizing_mode="stretch_width")


def _named(names: Mapping[str, str], chosen: Iterable[str]) -> dict[str, str]:
    """Return the options of a menu: what is read -> what is meant."""
    return {names[each]: each for each in chosen}
