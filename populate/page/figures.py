"""The figures of the page, by their names in ``vbn plot``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from populate.page.content import Query, hierarchy_of, needed_number
from schemas.figures import change_response
from schemas.figures.behavior import session_behavior
from schemas.figures.brain import session_in_brain, unit_in_brain
from schemas.figures.example import DURATION_S, session_example
from schemas.figures.novelty import novelty_contrasts
from schemas.figures.optotagging import laser_evidence
from schemas.figures.overview import session_overview
from schemas.figures.probes import session_probes
from schemas.figures.training import training_history
from schemas.figures.unit import unit_card
from schemas.queries.checks import require_choice
from vbn.plots import plot_change_response, save_figure
from vbn.plots.behavior import plot_behavior
from vbn.plots.brain import plot_brain
from vbn.plots.example import plot_example
from vbn.plots.hierarchy import plot_hierarchy
from vbn.plots.novelty import plot_novelty
from vbn.plots.optotagging import plot_optotagging
from vbn.plots.probe import plot_probes
from vbn.plots.session import plot_session
from vbn.plots.training import plot_training
from vbn.plots.unit import plot_unit

KINDS = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}


@dataclass(frozen=True)
class PageFigure:
    """One figure of the page.

    Attributes
    ----------
    title, caption : text above the figure.
    parameters : names in the address that select the data.
    draw : draws the figure from the address.
    """

    title: str
    caption: str
    parameters: tuple[str, ...]
    draw: Callable[[Query], Figure]


def file_of(name: str, kind: str, query: Query) -> bytes:
    """Return a figure as the content of a file.

    Parameters
    ----------
    name : name in `FIGURES_OF_PAGE`.
    kind : file type in `KINDS`.
    query : the address, which selects the data.

    Raises
    ------
    VbnError
        If the figure does not exist, or its data are missing.
    """
    require_choice("figure", name, list(FIGURES_OF_PAGE))
    require_choice("kind of file", kind, list(KINDS))
    figure = FIGURES_OF_PAGE[name].draw(query)
    with tempfile.TemporaryDirectory() as folder:
        return save_figure(figure, Path(folder) / f"figure.{kind}").read_bytes()


def file_name(name: str, kind: str, query: Query) -> str:
    """Return the name of a saved file, such as ``change-response_1064644573_VISp.pdf``."""
    words = [name, *(query[word] for word in FIGURES_OF_PAGE[name].parameters if query.get(word))]
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in "_".join(words)) + f".{kind}"


def _session(query: Query) -> Figure:
    return plot_session(session_overview(needed_number(query, "session")))


def _behavior(query: Query) -> Figure:
    return plot_behavior(session_behavior(needed_number(query, "session")))


def _example(query: Query) -> Figure:
    start_s = needed_number(query, "start") if query.get("start") else None
    duration_s = needed_number(query, "duration") if query.get("duration") else DURATION_S
    session_id = needed_number(query, "session")
    return plot_example(session_example(session_id, start_s=start_s, duration_s=duration_s))


def _probe(query: Query) -> Figure:
    return plot_probes(session_probes(needed_number(query, "session")))


def _training(query: Query) -> Figure:
    return plot_training(training_history(query.get("mouse", "")))


def _change_response(query: Query) -> Figure:
    session_id, structure = needed_number(query, "session"), query.get("structure", "")
    criteria = query.get("criteria") or query.get("units") or "quickstart"  # units=all is an earlier spelling
    return plot_change_response(change_response(session_id, structure, criteria=criteria))


def _optotagging(query: Query) -> Figure:
    return plot_optotagging(laser_evidence(needed_number(query, "session")))


def _unit(query: Query) -> Figure:
    return plot_unit(unit_card(needed_number(query, "unit")))


def _brain(query: Query) -> Figure:
    if query.get("unit"):
        return plot_brain(unit_in_brain(needed_number(query, "unit")))
    return plot_brain(session_in_brain(needed_number(query, "session")))


def _hierarchy(query: Query) -> Figure:
    return plot_hierarchy(hierarchy_of(query))


def _novelty(query: Query) -> Figure:
    return plot_novelty(novelty_contrasts(project=query.get("project")))


FIGURES_OF_PAGE = {
    "session": PageFigure(
        "Overview", "Stimuli, neural activity and behavior along the session.", ("session",), _session
    ),
    "change-response": PageFigure(
        "Change response",
        "Responses to image changes, and the behavior around them.",
        ("session", "structure", "criteria", "units"),
        _change_response,
    ),
    "behavior": PageFigure(
        "Behavior", "Sensitivity, engagement, running, pupil and licks.", ("session",), _behavior
    ),
    "example": PageFigure(
        "Example",
        "Half a minute of stimuli, behavior and spikes.",
        ("session", "start", "duration"),
        _example,
    ),
    "probe": PageFigure("Probes", "Structures, units and firing rates along depth.", ("session",), _probe),
    "brain": PageFigure(
        "Place in the brain", "Channels by structure in the Allen CCF.", ("session", "unit"), _brain
    ),
    "training": PageFigure(
        "Training", "Training from the first day to the recordings.", ("mouse",), _training
    ),
    "optotagging": PageFigure(
        "Optotagging",
        "Responses to the laser, and how many units pass in wild types.",
        ("session",),
        _optotagging,
    ),
    "unit": PageFigure("Unit", "Quality, responses and waveform of one unit.", ("unit",), _unit),
    "hierarchy": PageFigure(
        "Visual hierarchy",
        "Latency and modulation of change responses by structure.",
        ("experience", "layer", "project"),
        _hierarchy,
    ),
    "novelty": PageFigure(
        "Novelty",
        "Responses in novel less familiar sessions of a mouse, by structure, layer and cell class.",
        ("project",),
        _novelty,
    ),
}
