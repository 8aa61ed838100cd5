"""``vbn plot unit``."""

from pathlib import Path

import click

from populate.commands.plot.options import OUT


@click.command("unit")
@click.option("--unit", "unit_id", type=int, required=True, help="The unit's id.")
@OUT
@click.option("--alignment", default="change_active", show_default=True, help="Alignment of the raster.")
def command(unit_id: int, out: Path, alignment: str) -> None:
    """One unit on one page: quality, class, responses, waveform, receptive field, rate along the session.

    \b
    Example:
      vbn plot unit --unit 1061854534 --out unit.pdf
    """
    import schemas
    from schemas.figures import unit_card
    from vbn.plots import save_figure
    from vbn.plots.unit import plot_unit

    schemas.connect()
    data = unit_card(unit_id, alignment=alignment)
    save_figure(plot_unit(data), out)
    events = ", ".join(f"{rate.n_events} {rate.name}" for rate in data.responses.rates)
    click.echo(f"{out}: unit {unit_id}, {data.responses.event_name}s: {events}.")
