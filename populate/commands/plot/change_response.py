"""``vbn plot change-response``."""

import click

from populate.commands.options import AREA, ONE_SESSION, AliasedOption, criteria_option
from populate.commands.plot.options import GROUP_BY, Picture, picture_options, rate_options


@click.command("change-response")
@ONE_SESSION
@click.option(
    "--structure",
    cls=AliasedOption,
    aliases=AREA,
    required=True,
    help="Acronym of the brain structure, such as VISp.",
)
@picture_options
@click.option("--alignment", default="change_active", show_default=True, help="Alignment of the changes.")
@criteria_option("quickstart")
@click.option("--all-units", is_flag=True, hidden=True, help="An earlier spelling of --criteria all.")
@rate_options("not")
@GROUP_BY
def command(
    session_id: int,
    structure: str,
    picture: Picture,
    alignment: str,
    criteria: str,
    all_units: bool,
    bin_s: float | None,
    smoothing_s: float | None,
    group_by: str | None,
) -> None:
    """Responses of a structure to image changes, with running, licks and pupil.

    \b
    Example:
      vbn plot change-response --session 1064644573 --structure VISp --out change.png
      vbn plot change-response --session 1064644573 --structure VISp --bin 25 --out rates.pdf
    """
    import schemas
    from schemas.figures import change_response, grouped_change_response
    from schemas.figures.aligned import RateView
    from vbn.counted import counted
    from vbn.plots import plot_change_groups, plot_change_response

    schemas.connect()
    view, criteria = RateView(bin_s, smoothing_s, group_by), "all" if all_units else criteria
    if view == RateView():
        data = change_response(session_id, structure, alignment=alignment, criteria=criteria)
        picture.write(plot_change_response, data)
        click.echo(
            f"{picture}: {counted(len(data.depth_um), 'unit')} of {structure}, {data.n_events} changes."
        )
        return
    groups = grouped_change_response(session_id, structure, view, alignment=alignment, criteria=criteria)
    n_units = len(next(iter(groups.values())).depth_um)
    if group_by is None:
        picture.write(plot_change_response, *groups.values())
    else:
        picture.write(plot_change_groups, groups)
    counts = ", ".join(f"{data.n_events} {name}" for name, data in groups.items())
    click.echo(f"{picture}: {counted(n_units, 'unit')} of {structure}, {counts}.")
