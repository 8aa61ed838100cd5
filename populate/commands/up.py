"""``vbn up``."""

import click


@click.command("up")
@click.option(
    "--take-over",
    is_flag=True,
    help="Although another machine is recorded as the one that runs it. First make sure that none does.",
)
def command(take_over: bool) -> None:
    """Start the embedded PostgreSQL server. Other commands do so by themselves.

    It runs on one machine at a time: on another one with the same home folder, commands refuse to work until
    it is stopped (vbn down).

    \b
    Example:
      vbn up
    """
    from schemas.server.embedded import EmbeddedServer
    from vbn.home import home_folder

    server = EmbeddedServer(home_folder())
    was_running = server.process_id() is not None
    server.start(take_over=take_over)
    click.echo(f"The embedded server in {server.home} {'was running' if was_running else 'is started'}.")
