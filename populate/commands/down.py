"""``vbn down``."""

import click


@click.command("down")
def command() -> None:
    """Stop the embedded PostgreSQL server. Its data stays; the next command starts it again.

    \b
    Example:
      vbn down
    """
    from schemas.server.embedded import EmbeddedServer
    from vbn.home import home_folder

    server = EmbeddedServer(home_folder())
    was_running = server.stop()
    click.echo(f"The embedded server in {server.home} {'is stopped' if was_running else 'was not running'}.")
