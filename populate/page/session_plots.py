"""A session along time in the browser: whatever part is looked at is binned anew, and units can be opened."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

import matplotlib as mpl
import numpy as np
import pandas as pd
import panel as pn
from bokeh.events import RangesUpdate
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    OpenURL,
    PlainText,
    Range1d,
    Span,
    TapTool,
)
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from populate.page.layout import STYLE, image_address, rendered
from populate.page.named_picture import named_picture
from schemas.figures.behavior import OUTCOME_NAMES, Samples
from schemas.figures.timeline import SessionTimeline
from vbn.analysis.spikes.binning import equal_bins, event_rates_in_bins, mean_in_bins, rates_in_bins, z_scores
from vbn.errors import SettingError
from vbn.plots.bands import structure_bands
from vbn.plots.session import BLOCK_COLOURS, LARGEST_Z
from vbn.plots.style import AMBER, BLACK, BLUE, GREEN, ORANGE, PURPLE, QUIET_GREY, SKY_BLUE

Floats = NDArray[np.float64]
Columns = dict[str, Any]

N_BINS = 600
SHORTEST_BIN_S = 0.01
SHORTEST_WINDOW_S = 1.0
FLASHES_WITHIN_S = 300.0
"""Flashes are drawn where no more than this is shown: in a whole session they are a grey wall."""
TOOLS = "xbox_zoom,xpan,xwheel_zoom,reset,save"
POPULATION_TOOLS = "box_zoom,pan,xwheel_zoom,ywheel_zoom,reset,save"
TRACE_PX, AXIS_PX = 110, 45
"""Height of a curve, in which its label has room, and of the axis of time below the last one."""
LEFT_PX, RIGHT_PX = 84, 34
"""Room for labels and tools, the same beside all pictures."""
LEAST_BAND = 0.03
"""Share of the rows that a structure needs for its name to have room."""
HEAT_COLOURS = [to_hex(mpl.colormaps["RdBu_r"](level)) for level in range(256)]
OUTCOME_COLOURS = dict(zip(OUTCOME_NAMES, (GREEN, QUIET_GREY, ORANGE, SKY_BLUE, PURPLE), strict=True))
NO_PICTURE = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
"""A picture of nothing."""
FLASH_TIP = """<div style="font-size: 12px"><img src="@picture" width="96" alt=""><div>@kind: @image</div>
<div>from @start{0.000} s</div></div>"""
FLASH_COLOURS = {"flash": "#B8C1CB", "change": BLUE, "omission": AMBER}


@dataclass(frozen=True)
class SessionWindow:
    """The part of a session that is shown.

    Attributes
    ----------
    start_s, stop_s : seconds on the session clock.
    """

    start_s: float
    stop_s: float

    @classmethod
    def of_address(cls, query: Mapping[str, str], limits_s: tuple[float, float]) -> SessionWindow:
        """Return what an address asks for, by default all, and as much of it as there is.

        Raises
        ------
        SettingError
            If ``from`` or ``to`` is no number, or nothing lies between them.
        """
        start, stop = _seconds(query, "from", limits_s[0]), _seconds(query, "to", limits_s[1])
        if not start < stop:
            raise SettingError(f"In the address, 'from' ({start:g}) must be less than 'to' ({stop:g}).")
        return cls(start, stop).within(limits_s)

    def within(self, limits_s: tuple[float, float]) -> SessionWindow:
        """Return as much of it as there is, at least a second or the whole session."""
        first, last = limits_s
        start = min(max(self.start_s, first), max(last - SHORTEST_WINDOW_S, first))
        stop = max(min(self.stop_s, last), min(start + SHORTEST_WINDOW_S, last))
        return SessionWindow(start, stop)

    @property
    def edges_s(self) -> Floats:
        """(n_bins + 1,) edges of the bins in which it is shown."""
        return equal_bins(
            self.start_s, self.stop_s, max((self.stop_s - self.start_s) / N_BINS, SHORTEST_BIN_S)
        )

    def address(self, session_id: int) -> str:
        """Return the query part of the address that shows it."""
        return urlencode({"session": session_id, "from": f"{self.start_s:.2f}", "to": f"{self.stop_s:.2f}"})


def _seconds(query: Mapping[str, str], name: str, default: float) -> float:
    text = query.get(name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise SettingError(f"In the address, '{name}' must be a number of seconds, not '{text[:60]}'.")
    return value


def window_columns(
    timeline: SessionTimeline, window: SessionWindow, pictures: Set[str] = frozenset()
) -> dict[str, Columns]:
    """Return the columns of all that depends on the part that is shown, by picture.

    Parameters
    ----------
    timeline, window : the session, and the part of it.
    pictures : names of the images of which there are pictures.
    """
    edges = window.edges_s
    flashes = timeline.flashes
    shown = (flashes["start_time"] < window.stop_s) & (flashes["start_time"] > window.start_s - 1)
    few = flashes[shown] if window.stop_s - window.start_s <= FLASHES_WITHIN_S else flashes[:0]
    licks = timeline.lick_time_s
    return {
        "population": heat_map(timeline, edges),
        "flashes": {
            "start": few["start_time"].to_numpy(float),
            "stop": few["end_time"].fillna(few["start_time"]).to_numpy(float),
            "image": few["image_name"].astype(str).tolist(),
            "picture": [
                image_address(name) if name in pictures else NO_PICTURE
                for name in few["image_name"].astype(str)
            ],
            "kind": few["kind"].tolist(),
            "colour": [FLASH_COLOURS[kind] for kind in few["kind"]],
        },
        "running": trace(timeline.running, edges),
        "pupil": trace(timeline.pupil, edges),
        "lick rate": {"time": _centres(edges), "value": event_rates_in_bins(licks, edges)},
        "licks": {"time": licks[(licks >= window.start_s) & (licks <= window.stop_s)]},
    }


def heat_map(timeline: SessionTimeline, edges_s: Floats) -> Columns:
    """Return the activity of the units as an image: z-scores over the bins, from blue to red in 256 steps."""
    units = timeline.units
    rates = rates_in_bins(timeline.spike_times, units["spike_offset"], units["n_spikes"], edges_s)
    levels = np.clip((z_scores(rates) + LARGEST_Z) / (2 * LARGEST_Z), 0, 1) * (len(HEAT_COLOURS) - 1)
    width = edges_s[-1] - edges_s[0]
    image = np.round(levels).astype(np.uint8)
    return {"image": [image], "x": [edges_s[0]], "y": [0], "dw": [width], "dh": [max(len(units), 1)]}


def trace(samples: Samples | None, edges_s: Floats) -> Columns:
    """Return the means of a signal in bins; nothing if it was not recorded."""
    if samples is None:
        return {"time": [], "value": []}
    times, values = samples
    near = slice(*np.searchsorted(times, edges_s[[0, -1]] + (-1, 1))) if _ascends(times) else slice(None)
    return {"time": _centres(edges_s), "value": mean_in_bins(times[near], values[near], edges_s)}


def _ascends(times: Floats) -> bool:
    return bool(np.all(times[1:] >= times[:-1]))


def _centres(edges_s: Floats) -> Floats:
    centres: Floats = (edges_s[:-1] + edges_s[1:]) / 2
    return centres


class SessionPlots:
    """The pictures of a session with one axis of time.

    Parameters
    ----------
    timeline : what happened in the session.
    window : the part to show first.
    columns : what `window_columns` gives for it.
    document : the document of the browser that shows the pictures.
    pictures : names of the images of which there are pictures.
    """

    def __init__(
        self,
        timeline: SessionTimeline,
        window: SessionWindow,
        columns: Mapping[str, Columns],
        document: Any,
        pictures: Set[str] = frozenset(),
    ) -> None:
        self._timeline, self._document, self._image_pictures = timeline, document, pictures
        self._window = self._shown = window
        self._task: asyncio.Task[None] | None = None
        self._sources = {name: ColumnDataSource(each) for name, each in columns.items()}
        first, last = timeline.limits_s
        self._range = Range1d(
            window.start_s,
            window.stop_s,
            bounds=(first, last),
            min_interval=min(SHORTEST_WINDOW_S, last - first),
            reset_start=first,
            reset_end=last,
        )
        self._note = pn.pane.HTML(self._said(), margin=0, stylesheets=[STYLE], sizing_mode="stretch_width")
        population = [self._population()] if len(timeline.units) else []
        self._pictures = [self._stimuli(), *population, *self._behavior()]
        for picture in self._pictures:
            picture.on_event(RangesUpdate, self._zoomed)

    def panel(self) -> Any:
        """Return the pictures, with a line of words that says what is shown."""
        last = self._pictures[-1]
        last.xaxis.visible = True
        last.xaxis.axis_label = "Time on the session clock (s)"
        last.height += AXIS_PX  # beside the curve, which stays as high as the others
        panes = [pn.pane.Bokeh(each, sizing_mode="stretch_width", margin=0) for each in self._pictures]
        return pn.Column(self._note, *panes, margin=0, sizing_mode="stretch_width")

    def _said(self) -> str:
        window = self._shown
        bin_s = float(window.edges_s[1] - window.edges_s[0])
        return rendered(
            "session_window.html",
            start=window.start_s,
            stop=window.stop_s,
            bin_s=bin_s,
            has_flashes=window.stop_s - window.start_s <= FLASHES_WITHIN_S,
            flashes_within=FLASHES_WITHIN_S,
            address=window.address(self._timeline.session_id),
            n_units=len(self._timeline.units),
        )

    def _zoomed(self, event: RangesUpdate) -> None:
        """Bin anew what is shown now; what was asked while this is done follows once."""
        self._window = SessionWindow(event.x0, event.x1).within(self._timeline.limits_s)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._redraw())

    async def _redraw(self) -> None:
        while self._window != self._shown:
            window = self._window
            columns = await asyncio.to_thread(window_columns, self._timeline, window, self._image_pictures)
            self._shown = window
            self._document.add_next_tick_callback(partial(self._show, columns))

    def _show(self, columns: Mapping[str, Columns]) -> None:
        for name, each in columns.items():
            self._sources[name].data = each
        self._note.object = self._said()

    def _figure(self, height: int, name: str, label: str, tools: str = TOOLS, **more: Any) -> Any:
        picture = named_picture(
            f"{name} along the session",
            height=height,
            x_range=self._range,
            y_axis_label=label,
            tools=tools,
            active_drag="xbox_zoom" if tools is TOOLS else "box_zoom",
            output_backend="canvas",
            min_border_left=LEFT_PX,
            min_border_right=RIGHT_PX,
            toolbar_location=None if tools is TOOLS else "right",
            **more,
        )
        picture.xaxis.visible = False
        picture.xgrid.visible = False
        few_ticks(picture)
        return picture

    def _stimuli(self) -> Any:
        """Return the blocks, flashes where there are few, and changes with their outcome."""
        timeline, blocks = self._timeline, self._timeline.blocks
        picture = self._figure(110, "Blocks, flashes and changes", "", y_range=Range1d(0, 3))
        picture.yaxis.ticker = FixedTicker(ticks=[0.5, 1.5, 2.5])
        picture.yaxis.major_label_overrides = {0.5: "changes", 1.5: "flashes", 2.5: "blocks"}
        bars = ColumnDataSource(
            {
                "start": blocks["start"],
                "stop": blocks["stop"],
                "name": blocks["name"],
                "colour": [BLOCK_COLOURS[name] for name in blocks["name"]],
            }
        )
        drawn = picture.quad("start", "stop", 2.95, 2.1, source=bars, color="colour", line_width=0)
        picture.add_tools(HoverTool(visible=False, renderers=[drawn], tooltips=[("block", "@name"), *_SPAN]))
        flashes = picture.quad(
            "start", "stop", 1.9, 1.1, source=self._sources["flashes"], color="colour", line_color="colour"
        )
        picture.add_tools(HoverTool(visible=False, renderers=[flashes], tooltips=FLASH_TIP))
        changes = ColumnDataSource(
            {
                "time": timeline.change_time_s,
                "outcome": timeline.outcome,
                "colour": [OUTCOME_COLOURS[name] for name in timeline.outcome],
            }
        )
        ticks = picture.segment("time", 0.1, "time", 0.9, source=changes, color="colour", line_width=2)
        picture.add_tools(
            HoverTool(visible=False, renderers=[ticks], tooltips=[("@outcome", "change at @time{0.000} s")])
        )
        return picture

    def _population(self) -> Any:
        """Return the heat map, each row of which leads to its unit."""
        units, n_units = self._timeline.units, len(self._timeline.units)
        rows = Range1d(n_units, 0, bounds=(0, n_units), min_interval=min(5, n_units))
        height = int(np.clip(n_units, 240, 560))
        picture = self._figure(height, "Rates of all units", "", POPULATION_TOOLS, y_range=rows)
        mapper = LinearColorMapper(HEAT_COLOURS, low=0, high=len(HEAT_COLOURS) - 1)
        picture.image("image", "x", "y", "dw", "dh", source=self._sources["population"], color_mapper=mapper)
        first, last = self._timeline.limits_s
        bars = ColumnDataSource(
            {
                "row": np.arange(n_units) + 0.5,
                "unit": units["unit_id"].astype(str),
                "structure": units["structure_acronym"].fillna("no structure"),
                "probe": units["probe_name"],
                "height": units["probe_vertical_position"],
            }
        )
        bar = picture.hbar("row", 1.0, last, first, source=bars, alpha=0, nonselection_alpha=0)
        facts = [("unit", "@unit"), ("structure", "@structure"), ("probe", "@probe, @height µm from the tip")]
        picture.add_tools(
            HoverTool(visible=False, renderers=[bar], tooltips=[*facts, ("time", "$x{0.0} s")]),
            TapTool(renderers=[bar], callback=OpenURL(url="./unit?unit=@unit", same_tab=True)),
        )
        _name_structures(picture, units)
        return picture

    def _behavior(self) -> list[Any]:
        """Return running, pupil and licks with rewards, as far as they were recorded."""
        pictures = []
        for name, label, colour in (
            ("running", "Running (cm/s)", GREEN),
            ("pupil", "Pupil (px²)", PURPLE),
        ):
            if len(self._sources[name].data["time"]):
                pictures.append(self._line(name, label, colour))
        licks = self._line("lick rate", "Licks (1/s)", BLUE)
        licks.y_range.start = 0
        licks.scatter(
            "time", 0, source=self._sources["licks"], marker="dash", angle=np.pi / 2, size=9, color=BLUE
        )
        rewards = ColumnDataSource({"time": self._timeline.reward_time_s})
        drawn = licks.scatter("time", 0, source=rewards, marker="triangle", size=7, color=BLACK)
        licks.add_tools(HoverTool(visible=False, renderers=[drawn], tooltips=[("reward", "@time{0.000} s")]))
        return [*pictures, licks]

    def _line(self, name: str, label: str, colour: str) -> Any:
        picture = self._figure(TRACE_PX, label, label)
        line = picture.line("time", "value", source=self._sources[name], color=colour)
        picture.add_tools(
            HoverTool(
                visible=False, renderers=[line], tooltips=[("time", "@time{0.0} s"), (label, "@value{0.00}")]
            )
        )
        return picture


def few_ticks(picture: Any) -> None:
    """Let a low picture have few ticks, and a label that fits beside it."""
    picture.yaxis.ticker = BasicTicker(desired_num_ticks=3, num_minor_ticks=0)
    picture.yaxis.axis_label_text_font_size = "12px"


_SPAN = [("from", "@start{0.0} s"), ("to", "@stop{0.0} s")]


def _name_structures(picture: Any, units: pd.DataFrame) -> None:
    """Put the names of structures beside their rows, as far as there is room, and lines between them."""
    bands = structure_bands(
        np.arange(len(units) + 1), units["structure_acronym"].tolist(), units["structure_group"].tolist()
    )
    named: Sequence[Any] = [band for band in bands if band.high - band.low >= LEAST_BAND * len(units)]
    picture.yaxis.ticker = FixedTicker(ticks=[band.centre for band in named])
    # Not as mathematics, which Bokeh would make of a name with dollars.
    picture.yaxis.major_label_overrides = {band.centre: PlainText(text=band.label) for band in named}
    picture.ygrid.visible = False
    for band in bands[1:]:
        picture.add_layout(Span(location=band.low, dimension="width", line_color=BLACK, line_width=0.5))
