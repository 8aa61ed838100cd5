"""``vbn plot fields``."""

import click

from populate.commands.completion import completing, known_structures
from populate.commands.options import AREA, ONE_SESSION, AliasedOption, criteria_option
from populate.commands.plot.options import Picture, picture_options


@click.command("fields")
@ONE_SESSION
@click.option(
    "--structure",
    cls=AliasedOption,
    aliases=AREA,
    required=True,
    help="Acronym of the brain structure, such as VISp.",
    shell_complete=completing(known_structures),
)
@picture_options
@criteria_option("all")
@click.option(
    "--at-most",
    type=click.IntRange(min=1, max=1000),
    default=60,
    show_default=True,
    help="Show this many units, those with the smallest p.",
)
def command(session_id: int, structure: str, picture: Picture, criteria: str, at_most: int) -> None:
    """Receptive fields of a structure's units, side by side.

    \b
    Example:
      vbn plot fields --session 1064644573 --structure VISp --out fields.pdf
    """
    import schemas
    from schemas.figures.fields import structure_fields
    from vbn.plots.field import plot_fields

    schemas.connect()
    data = structure_fields(session_id, structure, criteria=criteria, at_most=at_most)
    picture.write(plot_fields, data)
    shown = f"{len(data.fields)} of {data.n_units} units of {structure}"
    click.echo(f"{picture}: {shown}, {data.n_significant} with a significant field.")
