"""Values of options that the shell completes; see docs/install.md. Nothing heavy is imported for them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import click

import vbn

Complete = Callable[[click.Context, click.Parameter, str], list[str]]

CELL_CLASSES = ("Sst", "Vip", "RS", "FS", "unlabelled")
LAYERS = ("1", "2/3", "4", "5", "6a", "6b", "6", "none")
EXPERIENCE = ("Familiar", "Novel")
IMAGE_SETS = ("G", "H")
TRAJECTORIES = ("GGH", "HHG", "GHG")


def completing(values: Sequence[str] | Callable[[], Sequence[str]]) -> Complete:
    """Return a function that completes a value, or the last of several, to those that begin alike."""

    def complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
        known = values() if callable(values) else values
        before, comma, last = begun.rpartition(",")  # of several values the last is completed
        return [before + comma + value for value in known if value.lower().startswith(last.lower())]

    return complete


def known_structures() -> list[str]:
    """Return the acronyms of the ontology."""
    with (Path(vbn.__file__).parent / "anatomy" / "structures.csv").open(newline="") as file:
        return [row["acronym"] for row in csv.DictReader(file)]
