"""The views of the page. Each depends only on the requested address."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
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
from populate.page.unit_plots import ChosenView, interactive_unit
from schemas.figures.timeline import session_timeline
from schemas.figures.unit_events import unit_in_session

View = Callable[[BrowserView, dict[str, str]], Awaitable[list[Any]]]

TABLE_STYLE = (FOLDER / "table.css").read_text()
WIDGET_STYLE = (FOLDER / "widget.css").read_text()
COUNTED = (("recording", "recordings"), ("mouse", "mice"), ("unit", "units"))
ROWS_PER_PAGE = 20
SELECT_STYLE: dict[str, Any] = {"width": 200, "margin": (0, 20, 0, 0), "stylesheets": [WIDGET_STYLE]}
"""Layout of the drop-down menus."""
CARD = {
    "background": "#fff",
    "border": "1px solid #e4e7eb",
    "border-radius": "8px",
    "padding": "16px 20px",
    "box-sizing": "border-box",
}


@dataclass(frozen=True)
class PageColumn:
    """How a column of a table is shown.

    Attributes
    ----------
    title : heading.
    width : in pixels; None to share the remaining width.
    decimals : decimal places of numbers.
    link : beginning of the address that the values link to.
    wraps : whether long text is wrapped.
    chooses : whether its filter is a list of its values.
    """

    title: str
    width: int | None = None
    decimals: int = 0
    link: str = ""
    wraps: bool = False
    chooses: bool = False

    def header_filter(self, is_number: bool) -> dict[str, Any]:
        """Return the filter of Tabulator: at least a number, one of the values, or a part of a text."""
        named = {"elementAttributes": {"aria-label": f"filter by {self.title}"}}
        if is_number:
            return {"type": "number", "func": ">=", "placeholder": "≥", **named}
        if self.chooses:
            return {"type": "list", "func": "=", "valuesLookup": True, "clearable": True, **named}
        return {"type": "input", "func": "like", "placeholder": "filter", **named}

    def formatter(self, is_number: bool) -> dict[str, Any]:
        """Return the formatter of Tabulator."""
        if self.link:
            return {"type": "link", "urlPrefix": self.link, "target": "_self"}
        if is_number:
            return {"type": "money", "precision": self.decimals}
        return {"type": "textarea" if self.wraps else "plaintext"}


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
        page.add_panel("main", _with_placeholder(BrowserView(thread, pn.state.curdoc), view, query))
        return page

    return make


def _with_placeholder(browser: BrowserView, view: View, query: dict[str, str]) -> Any:
    """Return a view, with a placeholder until it is ready."""

    async def parts() -> AsyncIterator[Any]:
        yield html("waiting.html", text="Querying the database ...")
        try:
            notice = await browser.run(content.notice)
            head = [html("message.html", text=notice)] if notice else []
            yield pn.Column(*head, *await view(browser, query), margin=0, sizing_mode="stretch_width")
        except Exception as error:  # noqa: BLE001 - logged, or an expected one
            yield html("message.html", text=said(error))

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


def table(frame: pd.DataFrame, columns: Mapping[str, PageColumn]) -> Any:
    """Return a table that can be sorted and filtered.

    Parameters
    ----------
    frame : the rows to show.
    columns : the columns to show.
    """
    shown = frame[list(columns)].astype(object)
    is_number = {name: frame[name].dtype.kind in "iuf" and not columns[name].link for name in columns}
    return pn.widgets.Tabulator(
        shown.where(shown.notna(), None),
        titles={name: column.title for name, column in columns.items()},
        formatters={name: column.formatter(is_number[name]) for name, column in columns.items()},
        widths={name: column.width for name, column in columns.items() if column.width},
        text_align={name: "right" for name in columns if is_number[name]},
        header_align={name: "right" for name in columns if is_number[name]},
        header_filters={name: column.header_filter(is_number[name]) for name, column in columns.items()},
        show_index=False,
        disabled=True,
        selectable=False,
        pagination="local" if len(frame) > ROWS_PER_PAGE else None,
        page_size=ROWS_PER_PAGE,
        layout="fit_columns",
        theme="simple",
        stylesheets=[TABLE_STYLE],
        sizing_mode="stretch_width",
        margin=0,
    )


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
        left.append(figure(browser, "optotagging", selected))
        right = [await _change_response(browser, selected, query), figure(browser, "probe", selected), *right]
    columns = (pn.Column(*each, margin=0, sizing_mode="stretch_width") for each in (left, right))
    return [head, _timeline(browser, session_id, query), _side_by_side(*((each, 560) for each in columns))]


def _timeline(browser: BrowserView, session_id: int, query: Query) -> Any:
    """Return the session along time, which zooms, when its turn comes."""
    drawn = figures.FIGURES_OF_PAGE["session"]
    named = {"title": drawn.title, "caption": drawn.caption, "has_frame": True, "picture": ""}

    async def parts() -> AsyncIterator[Any]:
        yield html("figure.html", problem="", **named)
        try:
            timeline = await browser.run(session_timeline, session_id)
            window = SessionWindow.of_address(query, timeline.limits_s)
            columns = await asyncio.to_thread(window_columns, timeline, window)
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
        }
        yield pn.Column(
            html("timeline.html", kinds=list(figures.KINDS), **named, **words),
            SessionPlots(timeline, window, columns, browser.document).panel(),
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
    """Show a unit around events, its results, and its card."""
    unit_id = content.needed_number(query, "unit")
    described = await browser.run(content.described_unit, unit_id)
    chosen = ChosenView.of_address(query)
    around = await browser.run(unit_in_session, unit_id)
    results = await browser.run(unit_facts.results_of, unit_id)
    pictures = pn.Column(
        interactive_unit(around, chosen, SELECT_STYLE),
        styles=CARD, margin=(0, 0, 20, 0), sizing_mode="stretch_width",
    )  # fmt: skip
    left = pn.Column(
        pictures, figure(browser, "unit", {"unit": str(unit_id)}), margin=0, sizing_mode="stretch_width"
    )
    layer = {column.name: value for column, value in results.get("ChannelLayer", [])}.get(
        "cortical_layer", ""
    )
    notes = await browser.run(content.notes_on, unit_id)
    head = html("unit.html", layer=layer, notes=notes, **described)
    return [head, _side_by_side((left, 760), (html("unit_results.html", tables=results), 400))]


async def across(browser: BrowserView, query: Query) -> list[Any]:
    """Compare all sessions."""
    shares = await browser.run(content.optotagging_control)
    levels = await browser.run(content.experience_levels)
    control = html("control.html", shares=shares)
    head = html("across.html", levels=levels, experience=query.get("experience", ""))
    return [head, _side_by_side((figure(browser, "hierarchy", query), 720), (control, 480))]


async def issues(browser: BrowserView, query: Query) -> list[Any]:
    """List the import issues, and explain their codes."""
    session_id = content.number_in(query, "session")
    frame = await browser.run(content.issues_frame, session_id)
    columns = {
        "severity": PageColumn("Severity", 100, chooses=True),
        "session_id": PageColumn("Session", 110, link="./session?session="),
        "issue_code": PageColumn("Code", 220),
        "issue_table": PageColumn("Table of the file", 190),
        "issue_detail": PageColumn("Detail", wraps=True),
    }
    head = html("issues.html", codes=content.issue_codes(frame), n_issues=len(frame), session_id=session_id)
    return [head, table(frame, columns)] if len(frame) else [head]


PAGES: dict[str, View] = {
    "": status,
    "session": session,
    "unit": unit,
    "across": across,
    "issues": issues,
}
"""Path of each page that Panel shows -> its view."""
