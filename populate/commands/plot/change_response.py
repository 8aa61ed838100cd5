"""``vbn plot change-response``."""

from pathlib import Path

import click

from populate.commands.options import AREA, ONE_SESSION, AliasedOption, criteria_option
from populate.commands.plot.options import OUT


@click.command("change-response")
@ONE_SESSION
@click.option(
    "--structure",
    cls=AliasedOption,
    aliases=AREA,
    required=True,
    help="Acronym of the brain structure, such as VISp.",
)
@OUT
@click.option("--alignment", default="change_active", show_default=True, help="Alignment of the changes.")
@criteria_option("quickstart")
@click.option("--all-units", is_flag=True, hidden=True, help="An earlier spelling of --criteria all.")
def command(
    session_id: int, structure: str, out: Path, alignment: str, criteria: str, all_units: bool
) -> None:
    """Responses of a structure to image changes, with running, licks and pupil.

    \b
    Example:
      vbn plot change-response --session 1064644573 --structure VISp --out change.png
    """
    import schemas
    from schemas.figures import change_response
    from vbn.plots import plot_change_response, save_figure

    schemas.connect()
    criteria = "all" if all_units else criteria
    data = change_response(session_id, structure, alignment=alignment, criteria=criteria)
    save_figure(plot_change_response(data), out)
    click.echo(f"{out}: {len(data.depth_um)} units of {structure}, {data.n_events} changes.")
