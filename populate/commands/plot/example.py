"""``vbn plot example``."""

import click

from populate.commands.completion import completing, known_structures
from populate.commands.options import AREA, ONE_SESSION, criteria_option, listed_option
from populate.commands.plot.options import Picture, picture_options


@click.command("example")
@ONE_SESSION
@picture_options
@click.option(
    "--start",
    "start_s",
    type=float,
    help="Seconds on the session clock.  [default: 5 s before the first change]",
)
@click.option("--duration", "duration_s", type=float, default=30.0, show_default=True, help="Seconds.")
@listed_option(
    "--structure",
    aliases=AREA,
    help="Only units of a structure",
    shell_complete=completing(known_structures),
)
@criteria_option("quickstart")
def command(
    session_id: int,
    picture: Picture,
    start_s: float | None,
    duration_s: float,
    structure: tuple[str, ...],
    criteria: str,
) -> None:
    """Half a minute of a session: flashes, licks, rewards, running, pupil, and the spikes of all units.

    \b
    Example:
      vbn plot example --session 1064644573 --start 600 --duration 30 --out example.pdf
    """
    import schemas
    from schemas.figures.example import session_example
    from vbn.plots.example import plot_example

    schemas.connect()
    data = session_example(
        session_id, start_s=start_s, duration_s=duration_s, structure=structure, criteria=criteria
    )
    picture.write(plot_example, data)
    n_spikes = sum(len(times) for times in data.spike_time_s)
    shown = f"{data.start_s:.1f} to {data.stop_s:.1f} s, {len(data.shown)} presentations"
    click.echo(f"{picture}: {shown}, {len(data.unit_id)} units, {n_spikes} spikes.")
