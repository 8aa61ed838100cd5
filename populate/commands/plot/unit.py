"""``vbn plot unit``."""

import click

from populate.commands.plot.options import GROUP_BY, Picture, picture_options, rate_options


@click.command("unit")
@click.option("--unit", "unit_id", type=int, required=True, help="The unit's id.")
@picture_options
@click.option("--alignment", default="change_active", show_default=True, help="Alignment of the raster.")
@rate_options("what suits the spikes")
@GROUP_BY
def command(
    unit_id: int,
    picture: Picture,
    alignment: str,
    bin_s: float | None,
    smoothing_s: float | None,
    group_by: str | None,
) -> None:
    """One unit on one page: quality, class, responses, waveform, receptive field, rate along the session.

    \b
    Example:
      vbn plot unit --unit 1061854534 --out unit.pdf
      vbn plot unit --unit 1061854534 --group-by image --smooth 30 --out unit.png
    """
    import schemas
    from schemas.figures import unit_card
    from vbn.plots.unit import plot_unit

    schemas.connect()
    data = unit_card(unit_id, alignment=alignment, bin_s=bin_s, smoothing_s=smoothing_s, group_by=group_by)
    picture.write(plot_unit, data)
    events = ", ".join(f"{rate.n_events} {rate.name}" for rate in data.responses.rates)
    click.echo(f"{picture}: unit {unit_id}, {data.responses.event_name}s: {events}.")
