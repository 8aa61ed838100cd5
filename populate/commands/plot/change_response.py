"""``vbn plot change-response``."""

from pathlib import Path

import click

from populate.commands.plot.options import OUT


@click.command("change-response")
@click.option("--session", "session_id", type=int, required=True, help="The session's id.")
@click.option("--structure", required=True, help="Acronym of the brain structure, such as VISp.")
@OUT
@click.option("--alignment", default="change_active", show_default=True, help="Alignment of the changes.")
@click.option(
    "--all-units", is_flag=True, help="All units, not just snr > 1, isi_violations < 1, rate > 0.1 Hz."
)
def command(session_id: int, structure: str, out: Path, alignment: str, all_units: bool) -> None:
    """Responses of a structure to image changes, with running, licks and pupil.

    \b
    Example:
      vbn plot change-response --session 1064644573 --structure VISp --out change.png
    """
    import schemas
    from schemas.figures import change_response
    from vbn.plots import plot_change_response, save_figure

    schemas.connect()
    data = change_response(session_id, structure, alignment=alignment, good_units=not all_units)
    save_figure(plot_change_response(data), out)
    click.echo(f"{out}: {len(data.depth_um)} units of {structure}, {data.n_events} changes.")
