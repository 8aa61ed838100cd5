"""``vbn plot hierarchy``."""

import click

from populate.commands.answer import ALLOW_MIXED, printing_warnings
from populate.commands.options import LISTS_AND_LABELS, PROJECT, criteria_option, listed_option, of_people
from populate.commands.plot.options import Picture, picture_options


@click.command("hierarchy")
@picture_options
@click.option("--experience", help="Only sessions with Familiar or with Novel images.  [default: both]")
@criteria_option("bennett_2025")
@click.option(
    "--min-units",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Leave out structures with fewer responsive units.",
)
@listed_option("--layer", help="Only units of a cortical layer")
@click.option("--atlas", help="Atlas of the layers, if there are several (vbn atlas).")
@PROJECT
@LISTS_AND_LABELS
@ALLOW_MIXED
def command(
    picture: Picture,
    experience: str | None,
    criteria: str,
    min_units: int,
    layer: tuple[str, ...],
    atlas: str | None,
    allow_mixed: bool,
    **people: tuple[str, ...],
) -> None:
    """Latency and modulation of responses to image changes by structure, over all sessions.

    \b
    Example:
      vbn plot hierarchy --experience Novel --out hierarchy.pdf
    """
    import schemas
    from schemas.figures.hierarchy import change_hierarchy
    from vbn.counted import counted
    from vbn.plots.hierarchy import plot_hierarchy

    schemas.connect()
    with printing_warnings():
        data = change_hierarchy(
            experience_level=experience,
            criteria=criteria,
            min_units=min_units,
            cortical_layer=list(layer) or None,
            atlas=atlas,
            allow_mixed=allow_mixed,
            **of_people(people),
        )
    picture.write(plot_hierarchy, data)
    click.echo(
        f"{picture}: {counted(len(data.structures), 'structure')}, {counted(data.n_sessions, 'session')}."
    )
