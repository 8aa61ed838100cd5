"""``vbn plot strategy``."""

from __future__ import annotations

import click

from populate.commands.options import ONE_SESSION
from populate.commands.plot.options import Picture, picture_options


@click.command("strategy")
@ONE_SESSION
@picture_options
@click.option(
    "--params", "strategy_params", help="Set of parameters (vbn params list StrategyParams).  [default: ours]"
)
def command(session_id: int, picture: Picture, strategy_params: str | None) -> None:
    """Weights of what drives the licks of a session, over time, with licks, rewards and engagement.

    \b
    Example:
      vbn plot strategy --session 1064644573 --out strategy.pdf
    """
    import schemas
    from schemas.figures.strategy import session_strategy
    from vbn.plots.strategy import plot_strategy

    schemas.connect()
    data = session_strategy(session_id, strategy_params)
    picture.write(plot_strategy, data)
    click.echo(f"{picture}: {len(data.start_time_s)} flashes, strategy {data.label}.")
