"""The views of the page. Each depends only on the requested address."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import panel as pn

from populate.page import content, figures, unit_facts
from populate.page.content import DEFAULT_CRITERIA, EVERY_UNIT, Query
from populate.page.database_thread import BrowserView, DatabaseThread
from populate.page.layout import FOLDER, NAVIGATION, SCRIPT, STYLE, masthead, rendered, said
from populate.page.session_plots import SessionPlots, SessionWindow, window_columns
from populate.page.unit_browser import IMAGE_COLUMNS
from populate.page.unit_pictures import field_picture, laser_panel, waveform_picture
from populate.page.unit_plots import ChosenView, interactive_unit
from schemas.figures.timeline import session_timeline
from schemas.figures.unit_events import UnitInSession, unit_in_session
from schemas.figures.waveforms import channel_waveforms
from vbn.errors import VbnError
from vbn.plots.field import Field, p_text

View = Callable[[BrowserView, dict[str, str]], Awaitable[list[Any]]]

WIDGET_STYLE = (FOLDER / "widget.css").read_text()
COUNTED = (("recording", "recordings"), ("mouse", "mice"), ("unit", "units"))
SELECT_STYLE: dict[str, Any] = {"width": 200, "margin": (0, 20, 0, 0), "stylesheets": [WIDGET_STYLE]}
"""Layout of the drop-down menus."""
CARD = {
    "background": "#fff",
    "border": "1px solid #e4e7eb",
    "border-radius": "8px",
    "padding": "16px 20px",
    "box-sizing": "border-box",
}


def applications(thread: DatabaseThread) -> dict[str, Callable[[], Any]]:
    """Return, by path, the functions that make each page for each browser."""
    return {f"/{path}": _application(thread, path, view) for path, view in PAGES.items()}


def _application(thread: DatabaseThread, path: str, view: View) -> Callable[[], Any]:
    def make() -> Any:
        page = pn.Template((FOLDER / "templates" / "page.html").read_text(), location=True)
        for variable, value in {
            "page_title": NAVIGATION.get(path, path.capitalize()),
            "masthead": masthead(path),
            "script": SCRIPT,
            "style": STYLE,
            "nonce": getattr(pn.state.curdoc.session_context.request, "nonce", ""),
        }.items():
            page.add_variable(variable, value)
        query = {key: values[-1].decode(errors="replace") for key, values in pn.state.session_args.items()}
        title = NAVIGATION.get(path, path.capitalize())
        page.add_panel("main", _with_placeholder(BrowserView(thread, pn.state.curdoc), view, query, title))
        return page

    return make


def _with_placeholder(browser: BrowserView, view: View, query: dict[str, str], title: str) -> Any:
    """Return a view, with a placeholder until it is ready."""

    async def parts() -> AsyncIterator[Any]:
        yield html("waiting.html", text="Querying the database ...")
        try:
            notice = await browser.run(content.notice)
            head = [html("message.html", text=notice)] if notice else []
            yield pn.Column(*head, *await view(browser, query), margin=0, sizing_mode="stretch_width")
        except Exception as error:  # noqa: BLE001 - logged, or an expected one
            yield html("way_back.html", text=said(error), title=title)

    return pn.panel(parts, defer_load=True, sizing_mode="stretch_width", margin=0)


def html(template: str, **values: Any) -> Any:
    """Return a pane with a template filled in."""
    return pn.pane.HTML(
        rendered(template, **values), stylesheets=[STYLE], sizing_mode="stretch_width", margin=0
    )


def figure(browser: BrowserView, name: str, query: Query, *, has_frame: bool = True) -> Any:
    """Return a figure with title and download links, which is drawn when its turn comes."""
    drawn = figures.FIGURES_OF_PAGE[name]
    selected = {word: query[word] for word in drawn.parameters if query.get(word)}

    def block(**values: Any) -> Any:
        return html(
            "figure.html",
            title=drawn.title,
            caption=drawn.caption,
            subject=", ".join(selected.values()),
            kinds=list(figures.KINDS),
            has_frame=has_frame,
            address=lambda kind: f"./figure/{name}.{kind}?{urlencode(selected)}",
            **{"picture": "", "problem": "", **values},
        )

    async def parts() -> AsyncIterator[Any]:
        yield block()
        try:
            picture = await browser.run_kept(figures.file_of, name, "png", selected)
        except Exception as error:  # noqa: BLE001 - logged, or an expected one
            yield block(problem=said(error))
        else:
            yield block(picture=base64.b64encode(picture).decode())

    return pn.panel(parts, defer_load=True, sizing_mode="stretch_width", margin=0)


async def status(browser: BrowserView, _query: Query) -> list[Any]:
    """Show the progress of the work."""
    found = await browser.run(content.status)
    n_sessions = found["n_recordings"] + found["n_behavior_only"]
    tiles = [
        (n_sessions, f"{'session' if n_sessions == 1 else 'sessions'}, {found['n_imported']} imported"),
        *((found[f"n_{many}"], one if found[f"n_{many}"] == 1 else many) for one, many in COUNTED),
    ]
    now = datetime.now().astimezone().strftime("%H:%M:%S")
    return [html("status.html", tiles=tiles, now=now, **found)]


async def session(browser: BrowserView, query: Query) -> list[Any]:
    """Show one session along time, its issues, its mouse's training, and its figures."""
    described = await browser.run(content.described_session, query)
    session_id, mouse_id = described["session_id"], described["mouse_id"]
    selected = {"session": str(session_id), "mouse": mouse_id}
    issues = await browser.run(content.issues_frame, session_id)
    head = html(
        "session.html",
        passing=DEFAULT_CRITERIA,
        codes=content.issue_codes(issues),
        days=await browser.run(content.training_days, mouse_id),
        notes=await browser.run(content.notes_on, None, session_id),
        **described,
    )
    left, right = [figure(browser, "behavior", selected)], [figure(browser, "training", selected)]
    if described["file_kind"] == "recording":
        left += [figure(browser, "brain", selected), figure(browser, "optotagging", selected)]
        right = [await _change_response(browser, selected, query), figure(browser, "probe", selected), *right]
    columns = (_column(*each) for each in (left, right))
    return [head, _timeline(browser, session_id, query), _side_by_side(*((each, 560) for each in columns))]


def _column(*parts: Any) -> Any:
    return pn.Column(*parts, margin=0, sizing_mode="stretch_width")


def _timeline(browser: BrowserView, session_id: int, query: Query) -> Any:
    """Return the session along time, which zooms, when its turn comes."""
    drawn = figures.FIGURES_OF_PAGE["session"]
    named = {"title": drawn.title, "caption": drawn.caption, "has_frame": True, "picture": ""}

    async def parts() -> AsyncIterator[Any]:
        yield html("figure.html", problem="", **named)
        try:
            timeline = await browser.run(session_timeline, session_id)
            pictures = await browser.run(content.pictures_of_images)
            window = SessionWindow.of_address(query, timeline.limits_s)
            columns = await asyncio.to_thread(window_columns, timeline, window, pictures)
        except Exception as error:  # noqa: BLE001 - logged, or an expected one
            yield html("figure.html", problem=said(error), **named)
            return
        words = {
            "session_id": session_id,
            "blocks": timeline.blocks.to_dict("records"),
            "structures": timeline.units["structure_acronym"].dropna().value_counts().to_dict(),
            "outcomes": pd.Series(timeline.outcome, dtype=object).value_counts().to_dict(),
            "n_licks": len(timeline.lick_time_s),
            "n_rewards": len(timeline.reward_time_s),
            "images": sorted(set(timeline.flashes["image_name"].dropna().astype(str)) - {"omitted"}),
            "pictures": pictures,
        }
        yield pn.Column(
            html("timeline.html", kinds=list(figures.KINDS), **named, **words),
            SessionPlots(timeline, window, columns, browser.document, pictures).panel(),
            styles=CARD,
            margin=(0, 0, 20, 0),
            sizing_mode="stretch_width",
        )

    return pn.panel(parts, defer_load=True, sizing_mode="stretch_width", margin=0)


async def _change_response(browser: BrowserView, selected: Query, query: Query) -> Any:
    """Return the change response with menus for the structure and the units."""
    counts = await browser.run(content.structures, int(selected["session"]), EVERY_UNIT)
    wanted = query.get("structure") or next(iter(counts), "")
    options = {f"{name} ({count} units)": name for name, count in counts.items()}
    if wanted not in counts:  # the figure lists the valid ones
        options[wanted] = wanted
    structure = pn.widgets.Select(name="Structure", options=options, value=wanted, **SELECT_STYLE)
    which = {"pass the quick-start filter": "", "all": EVERY_UNIT}
    wanted = query.get("criteria") or query.get("units", "")  # units=all is an earlier spelling
    units = pn.widgets.Select(
        name="Units", options=which, value=wanted if wanted in which.values() else "", **SELECT_STYLE
    )

    def draw(structure: str, units: str) -> Any:
        chosen_query = {**selected, "structure": structure, "criteria": units}
        return figure(browser, "change-response", chosen_query, has_frame=False)

    def remember(_event: Any) -> None:
        chosen = {"session": selected["session"], "structure": structure.value, "criteria": units.value}
        pn.state.location.search = "?" + urlencode({name: value for name, value in chosen.items() if value})

    for widget in (structure, units):
        widget.param.watch(remember, "value")
    return pn.Column(
        pn.Row(structure, units, margin=(0, 0, 12, 0), styles={"flex-wrap": "wrap"}),
        pn.bind(draw, structure, units),
        styles=CARD,
        margin=(0, 0, 20, 0),
        sizing_mode="stretch_width",
    )


def _side_by_side(*parts: tuple[Any, int]) -> Any:
    """Return parts side by side, or below each other if their widths in pixels do not fit."""
    blocks = [
        pn.Column(part, margin=0, styles={"flex": f"{width} 1 {width}px", "min-width": "0"})
        for part, width in parts
    ]
    # Not a FlexBox, which compiles JavaScript in the browser: the page's policy forbids that.
    wrapping = {"flex-wrap": "wrap", "gap": "20px"}
    return pn.Row(*blocks, styles=wrapping, margin=0, sizing_mode="stretch_width")


async def unit(browser: BrowserView, query: Query) -> list[Any]:
    """Show a unit around events, its waveform, field, laser and place, its results, and its card."""
    unit_id = content.needed_number(query, "unit")
    described = await browser.run(content.described_unit, unit_id)
    chosen = ChosenView.of_address(query)
    around = await browser.run(unit_in_session, unit_id)
    results = await browser.run(unit_facts.results_of, unit_id)
    pictures = await browser.run(content.pictures_of_images)
    left = pn.Column(
        _card(interactive_unit(around, chosen, SELECT_STYLE, pictures)),
        _side_by_side((_waveform(browser, unit_id), 320), (_field(browser, unit_id), 320)),
        _card(html("unit_part.html", title="Laser", problem="", text=" "), _laser(around, query)),
        figure(browser, "brain", {"unit": str(unit_id)}),
        figure(browser, "unit", {"unit": str(unit_id)}),
        margin=0,
        sizing_mode="stretch_width",
    )
    layer = {column.name: value for column, value in results.get("ChannelLayer", [])}.get(
        "cortical_layer", ""
    )
    notes = await browser.run(content.notes_on, unit_id)
    head = html("unit.html", layer=layer, notes=notes, **described)
    facts = html("unit_results.html", tables=results, pictures=pictures, of_images=IMAGE_COLUMNS)
    return [head, _side_by_side((left, 760), (facts, 400))]


def _card(*parts: Any) -> Any:
    return pn.Column(*parts, styles=CARD, margin=(0, 0, 20, 0), sizing_mode="stretch_width")


def _when_ready(title: str, make: Callable[[], Awaitable[list[Any]]]) -> Any:
    """Return a card with a title whose parts are made when its turn comes, or words why there are none."""

    async def parts() -> AsyncIterator[Any]:
        yield _card(html("unit_part.html", title=title, problem="", text=""))
        try:
            made = await make()
        except Exception as error:  # noqa: BLE001 - logged, or an expected one
            yield _card(html("unit_part.html", title=title, problem=said(error), text=""))
        else:
            yield _card(*made)

    return pn.panel(parts, defer_load=True, sizing_mode="stretch_width", margin=0)


def _waveform(browser: BrowserView, unit_id: int) -> Any:
    """Return the waveform over the channels around the peak."""
    title = "Waveform over channels"

    async def make() -> list[Any]:
        found = await browser.run_kept(channel_waveforms, unit_id)
        text = f"The peak channel only: {found.lacking}" if found.lacking else (
            f"Mean on {len(found.channel)} channels, each at its place; black: the peak channel."
        )  # fmt: skip
        picture = pn.pane.Bokeh(waveform_picture(found), sizing_mode="stretch_width", margin=0)
        return [html("unit_part.html", title=title, problem="", text=text), picture]

    return _when_ready(title, make)


def _field(browser: BrowserView, unit_id: int) -> Any:
    """Return the receptive field, or why there is none."""
    title = "Receptive field"

    async def make() -> list[Any]:
        found = await browser.run(content.field_of, unit_id)
        text = found if isinstance(found, str) else _field_in_words(found)
        head = html("unit_part.html", title=title, problem="", text=text)
        if isinstance(found, str):
            return [head]
        return [head, pn.pane.Bokeh(field_picture(found), sizing_mode="stretch_width", margin=0)]

    return _when_ready(title, make)


def _field_in_words(field: Field) -> str:
    fit = "; white: the fitted Gaussian at 1 SD" if field.fit is not None else ""
    significant = "significant" if field.is_significant else "not significant"
    return f"Colour: spikes per Gabor; {significant}, {p_text(field)}{fit}."


def _laser(unit: UnitInSession, query: Query) -> Any:
    """Return the unit around laser pulses, or why there are none."""
    try:
        return laser_panel(unit, query.get("laser", ""), SELECT_STYLE)
    except VbnError as error:
        return html("message.html", text=said(error))


async def across(browser: BrowserView, query: Query) -> list[Any]:
    """Compare all sessions."""
    known = await browser.run(content.across_choices, query)
    chosen: Query = known["chosen"]
    shares = await browser.run(content.optotagging_control, chosen.get("project"))
    left = _column(figure(browser, "hierarchy", chosen), figure(browser, "novelty", chosen))
    right = _column(_units_behind(browser, chosen), html("control.html", shares=shares))
    return [html("across.html", **known), _side_by_side((left, 720), (right, 420))]


def _units_behind(browser: BrowserView, chosen: Query) -> Any:
    """Return the units behind the points of the hierarchy, which links lead to."""

    async def make() -> list[Any]:
        rows = await browser.run_kept(content.hierarchy_units, chosen)
        return [html("units_behind.html", rows=rows)]

    return _when_ready("Units behind the points", make)


PAGES: dict[str, View] = {
    "": status,
    "session": session,
    "unit": unit,
    "across": across,
}
"""Path of each page that Panel shows -> its view."""
