"""``vbn status``."""

import click


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Show per table how many entries are done, reserved and failed.

    The total is registered sessions times parameter sets.

    \b
    Example:
      vbn status --json
    """
    import json

    import schemas
    from populate.status import as_dicts, table_status

    database = schemas.connect()
    states = table_status()
    if as_json:
        click.echo(json.dumps(as_dicts(states), indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=str(database), title_justify="left")
    table.add_column("table")
    for name in ("done", "total", "reserved", "errors"):
        table.add_column(name, justify="right")
    for state in states:
        style = "red" if state.errors else ("green" if state.total and state.done == state.total else None)
        table.add_row(
            state.table,
            *(str(n) for n in (state.done, state.total, state.reserved, state.errors)),
            style=style,
        )
    Console().print(table)
    if any(state.errors for state in states):
        click.echo("What failed: vbn errors")
