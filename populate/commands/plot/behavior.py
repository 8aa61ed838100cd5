"""``vbn plot behavior``."""

import click

from populate.commands.options import ONE_SESSION
from populate.commands.plot.options import Picture, picture_options


@click.command("behavior")
@ONE_SESSION
@picture_options
@click.option("--engagement", help="Name of a definition of engagement.  [default: allensdk]")
def command(session_id: int, picture: Picture, engagement: str | None) -> None:
    """Behavior in a session: sensitivity, rewards, engagement, running, pupil, licks.

    \b
    Example:
      vbn plot behavior --session 1064644573 --out behavior.pdf
    """
    import schemas
    from schemas.figures.behavior import session_behavior
    from vbn.plots.behavior import plot_behavior

    schemas.connect()
    data = session_behavior(session_id, engagement=engagement)
    picture.write(plot_behavior, data)
    click.echo(
        f"{picture}: {len(data.trial_time_s)} trials, {len(data.change_time_s)} of them with a change."
    )
