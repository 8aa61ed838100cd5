"""``vbn deletions``."""

import click

from populate.commands.options import json_option


@click.command("deletions")
@click.option("--last", type=click.IntRange(1), help="Only this many, the latest.")
@json_option()
def command(last: int | None, as_json: bool) -> None:
    """List what was deleted with vbn delete: when, by whom, why, and how many rows of every table.

    \b
    Example:
      vbn deletions --last 5
    """
    import schemas
    from populate.admin.deletion import history, table_labels
    from populate.output.as_json import print_json

    schemas.connect()
    found = history(last)
    if as_json:
        print_json(found)
        return
    labels = table_labels()
    for row in found:
        who = f"{row['deleted_by']} ({row['deleted_from']})"
        click.echo(f"{row['deleted_at']:%Y-%m-%d %H:%M:%S} UTC  {who}: {row['deletion_reason']}")
        what = f"{row['deleted_table']} with {row['deletion_restriction']}"
        number = row["n_deleted_sessions"]
        affected = f"{number} session{'s' * (number != 1)}"
        click.echo(f"    {what}: {sum(row['rows'].values()):,} rows of {affected}")
        for name, number in row["rows"].items():
            click.echo(f"    {number:>10,}  {labels.get(name, name)}")
    if not found:
        click.echo("Nothing was deleted with vbn delete.")
