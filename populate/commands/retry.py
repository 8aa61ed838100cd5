"""``vbn retry``."""

import click

from populate.commands.module_option import module_option
from populate.commands.options import TABLES, json_option, sessions_option


@click.command("retry")
@sessions_option()
@TABLES
@json_option()
@module_option
def command(sessions: tuple[int, ...], tables: tuple[str, ...], as_json: bool) -> None:
    """Let the next vbn populate try failed jobs again.

    \b
    Example:
      vbn retry --table Recording && vbn populate
    """
    import schemas
    from populate.output.as_json import print_json
    from populate.work.status import retry

    schemas.connect()
    forgotten = retry(list(tables), list(sessions))
    if as_json:
        print_json({"retried": forgotten})
    else:
        click.echo(f"{forgotten} failed jobs will be tried again by: vbn populate")
