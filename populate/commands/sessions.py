"""``vbn sessions``."""

import click


@click.command("sessions")
@click.option("--mouse", "mice", multiple=True, help="Only this mouse; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(mice: tuple[str, ...], as_json: bool) -> None:
    """List the sessions: registered ones, and those that only the catalogue knows.

    \b
    Example:
      vbn sessions --mouse 544358
    """
    import json

    import schemas
    from populate.listing import list_sessions

    schemas.connect()
    rows = list_sessions(list(mice))
    if as_json:
        click.echo(json.dumps(rows, indent=2, default=str))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    for name in ("session", "mouse", "date", "protocol", "kind", "file", "LFP files", "imported"):
        table.add_column(name, justify="right" if name == "LFP files" else "left")
    for row in rows:
        file = "yes" if row["has_file"] else "no"
        cells = (row["session_id"], row["mouse_id"], row["date"], row["session_type"], row["kind"], file)
        table.add_row(*(str(cell) for cell in (*cells, row["lfp_files"], row["imported"])))
    Console().print(table)
    click.echo(f"{len(rows)} sessions, {sum(row['has_file'] for row in rows)} with a file.")
