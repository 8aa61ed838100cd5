"""``vbn plot session``."""

import click

from populate.commands.options import ONE_SESSION
from populate.commands.plot.options import Picture, picture_options


@click.command("session")
@ONE_SESSION
@picture_options
@click.option(
    "--bin",
    "bin_s",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Length of the bins in seconds.",
)
def command(session_id: int, picture: Picture, bin_s: float) -> None:
    """Overview of a session along time: stimuli and laser, activity of all units, running, pupil, licks.

    \b
    Example:
      vbn plot session --session 1064644573 --out session.pdf
    """
    import schemas
    from schemas.figures.overview import session_overview
    from vbn.plots.session import plot_session

    schemas.connect()
    data = session_overview(session_id, bin_s=bin_s)
    picture.write(plot_session, data)
    minutes = (data.edges_s[-1] - data.edges_s[0]) / 60
    click.echo(f"{picture}: {len(data.rate_hz)} units, {len(data.block_name)} blocks, {minutes:.0f} minutes.")
