"""``vbn plot connectivity``."""

from __future__ import annotations

from typing import Any

import click

from populate.commands.answer import printing_warnings
from populate.commands.options import (
    AREA,
    PROJECT,
    SESSION_ALIASES,
    criteria_option,
    listed_option,
    of_people,
)
from populate.commands.plot.options import Picture, picture_options


@click.command("connectivity")
@picture_options
@click.option(
    "--params", "connectivity_params", default="jitter_25", show_default=True, help="Set of parameters."
)
@listed_option("--session", of=int, help="Only of these sessions", aliases=SESSION_ALIASES)
@listed_option("--structure", help="Only of these structures", aliases=AREA)
@criteria_option("bennett_2025")
@PROJECT
def command(
    picture: Picture,
    connectivity_params: str,
    session: tuple[int, ...],
    structure: tuple[str, ...],
    criteria: str,
    **people: tuple[str, ...],
) -> None:
    """Share of pairs of units that fire within milliseconds, by structures, which of them leads, an example.

    \b
    Example:
      vbn plot connectivity --structure VISp,VISl --out connectivity.pdf
    """
    import schemas
    from schemas.figures.connectivity import connectivity_figure
    from schemas.queries import sessions
    from vbn.counted import counted
    from vbn.plots.connectivity import plot_connectivity

    schemas.connect()
    named: dict[str, Any] = of_people(people)
    with printing_warnings():
        chosen = sessions(session_id=list(session)) if session else True
        data = connectivity_figure(
            list(structure) or None,
            criteria,
            sessions=chosen,
            connectivity_params=connectivity_params,
            project=named.get("project"),
        )
    picture.write(plot_connectivity, data)
    pairs = counted(data.n_tested, "pair")
    click.echo(f"{picture}: {counted(len(data.structures), 'structure')}, {pairs} of units tested.")
