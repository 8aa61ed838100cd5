"""``vbn stale``."""

import click

from populate.commands.module_option import module_option


@click.command("stale")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@module_option
def command(as_json: bool) -> None:
    """List computed rows whose method, parameters or file have changed since they were made.

    \b
    Example:
      vbn stale && vbn recompute
    """
    import json
    from dataclasses import asdict

    import schemas
    from populate.work.staleness import stale_rows

    schemas.connect()
    rows = stale_rows()
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2, default=str))
        return
    for row in rows:
        key = ", ".join(f"{name}={value}" for name, value in row.key.items())
        click.echo(f"{row.table} ({key}): {row.reason}")
    click.echo(f"{len(rows)} stale rows.")
