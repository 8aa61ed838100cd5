"""``vbn plot encoding``."""

from __future__ import annotations

from typing import Any

import click

from populate.commands.answer import ALLOW_MIXED, printing_warnings
from populate.commands.options import (
    AREA,
    LISTS_AND_LABELS,
    PROJECT,
    SESSION_ALIASES,
    WHERE,
    AliasedOption,
    criteria_option,
    listed_option,
    of_people,
)
from populate.commands.plot.options import Picture, picture_options


@click.command("encoding")
@click.option("--unit", "unit_id", type=int, help="The unit's id, for one unit instead of populations.")
@picture_options
@click.option("--params", "encoding_params", help="Set of parameters.  [default: ours]")
@click.option(
    "--by", default="structure_acronym", show_default=True, cls=AliasedOption, aliases=("--within",),
    help="Column that divides the units, such as cell_class.",
)  # fmt: skip
@listed_option("--session", of=int, help="Only of these sessions", aliases=SESSION_ALIASES)
@listed_option("--structure", help="Only of these structures", aliases=AREA)
@criteria_option(None)
@WHERE
@PROJECT
@LISTS_AND_LABELS
@ALLOW_MIXED
def command(
    unit_id: int | None,
    picture: Picture,
    encoding_params: str | None,
    by: str,
    session: tuple[int, ...],
    structure: tuple[str, ...],
    criteria: str | None,
    where: Any,
    allow_mixed: bool,
    **people: tuple[str, ...],
) -> None:
    """Variance explained by encoding models, and lost without some kernels, of structures or of one unit.

    \b
    Example:
      vbn plot encoding --structure VISp,VISl --out encoding.pdf
      vbn plot encoding --by cell_class --out classes.pdf
      vbn plot encoding --unit 1061854534 --out unit.pdf
    """
    import schemas
    from schemas.figures.encoding import encoding_population, encoding_unit
    from schemas.figures.unit import unit_key
    from schemas.queries import units
    from vbn.counted import counted
    from vbn.plots.encoding import plot_encoding, plot_encoding_unit

    schemas.connect()
    if unit_id is not None:
        of_unit = encoding_unit(unit_key(unit_id), encoding_params)
        picture.write(plot_encoding_unit, of_unit)
        click.echo(f"{picture}: unit {unit_id}, variance explained {of_unit.variance_explained:.4f}.")
        return
    named: dict[str, Any] = of_people(people)
    with printing_warnings():
        chosen = units(
            session_id=list(session) or None,
            structure=list(structure) or None,
            criteria=criteria,
            where=where,
            **named,
        )
        data = encoding_population(
            chosen, encoding_params, by=by, project=named.get("project"), allow_mixed=allow_mixed
        )
    picture.write(plot_encoding, data)
    click.echo(f"{picture}: {counted(len(data.groups), 'unit')}, {data.is_explained.sum()} explained.")
