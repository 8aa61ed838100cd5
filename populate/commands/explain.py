"""``vbn explain``."""

import click

from populate.commands.module_option import module_option


@click.command("explain")
@click.argument("table")
@click.argument("key", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@module_option
def command(table: str, key: tuple[str, ...], as_json: bool) -> None:
    """Trace one row of TABLE back to the file that it came from.

    KEY is one or more attribute=value that select a single row.

    \b
    Example:
      vbn explain Psth.Unit unit_id=1061854534 alignment=change_active
    """
    import json

    import schemas
    from populate.output.explain import as_lines, explain_row

    schemas.connect()
    steps = explain_row(table, key)
    if as_json:
        click.echo(json.dumps(steps, indent=2, default=str))
    else:
        click.echo("\n".join(as_lines(steps)))
