"""``vbn stale``."""

import click

from populate.commands.module_option import module_option
from populate.commands.options import json_option


@click.command("stale")
@json_option()
@module_option
def command(as_json: bool) -> None:
    """List computed rows whose method, parameters or file have changed since they were made.

    \b
    Example:
      vbn stale && vbn recompute
    """
    import schemas
    from populate.output.as_json import print_json
    from populate.work.staleness import stale_rows

    schemas.connect()
    rows = stale_rows()
    if as_json:
        print_json(rows)
        return
    for row in rows:
        key = ", ".join(f"{name}={value}" for name, value in row.key.items())
        click.echo(f"{row.table} ({key}): {row.reason}")
    click.echo(f"{len(rows)} stale rows.")
