"""``vbn deletions``."""

import click


@click.command("deletions")
@click.option("--last", type=click.IntRange(1), help="Only this many, the latest.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(last: int | None, as_json: bool) -> None:
    """List what was deleted with vbn delete: when, by whom, why, and how many rows of every table.

    \b
    Example:
      vbn deletions --last 5
    """
    import json

    import schemas
    from populate.admin.deletion import history, table_labels

    schemas.connect()
    found = history(last)
    if as_json:
        click.echo(json.dumps(found, indent=2, default=str))
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
