"""``vbn explain``."""

import click

from populate.commands.module_option import module_option
from populate.commands.options import json_option


@click.command("explain")
@click.argument("table")
@click.argument("key", nargs=-1)
@json_option()
@module_option
def command(table: str, key: tuple[str, ...], as_json: bool) -> None:
    """Trace one row of TABLE back to the file that it came from.

    KEY is one or more attribute=value that select a single row.

    \b
    Example:
      vbn explain Psth.Unit unit_id=1061854534 alignment=change_active
    """
    import schemas
    from populate.output.as_json import print_json
    from populate.output.explain import as_lines, explain_row

    schemas.connect()
    steps = explain_row(table, key)
    if as_json:
        print_json(steps)
    else:
        click.echo("\n".join(as_lines(steps)))
