"""``vbn plot novelty``."""

from typing import Any

import click

from populate.commands.answer import ALLOW_MIXED, printing_warnings
from populate.commands.options import LISTS_AND_LABELS, PROJECT, criteria_option, listed_option, of_people
from populate.commands.plot.options import Picture, picture_options


@click.command("novelty")
@picture_options
@criteria_option("bennett_2025")
@listed_option("--trajectory", help="Only mice of a trajectory: GGH, HHG, GHG")
@click.option("--atlas", help="Atlas of the layers, if there are several (vbn atlas).")
@click.option(
    "--min-units",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="Leave out mice with fewer units of a group in either session.",
)
@PROJECT
@LISTS_AND_LABELS
@ALLOW_MIXED
def command(
    picture: Picture,
    criteria: str,
    trajectory: tuple[str, ...],
    atlas: str | None,
    min_units: int,
    allow_mixed: bool,
    **people: tuple[str, ...],
) -> None:
    """Responses in novel less familiar sessions by structure, layer and cell class, over mice.

    \b
    Example:
      vbn plot novelty --out novelty.pdf
      vbn plot novelty --trajectory GGH --min-units 3 --out ggh.pdf
    """
    import schemas
    from schemas.figures.novelty import novelty_contrasts
    from vbn.counted import counted
    from vbn.plots.novelty import plot_novelty

    schemas.connect()
    named: dict[str, Any] = of_people(people)
    with printing_warnings():
        data = novelty_contrasts(
            criteria=criteria, trajectory=list(trajectory) or None, atlas=atlas, min_units=min_units,
            allow_mixed=allow_mixed, **named,
        )  # fmt: skip
    picture.write(plot_novelty, data)
    mice = "1 mouse" if data.n_mice == 1 else f"{data.n_mice} mice"
    click.echo(f"{picture}: {counted(len(data.structures), 'structure')}, {mice}.")
