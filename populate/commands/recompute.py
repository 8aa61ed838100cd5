"""``vbn recompute``."""

import click


@click.command("recompute")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(yes: bool) -> None:
    """Replace the stale rows that vbn stale lists, in dependency order.

    Interrupted, it is finished by vbn recompute or vbn populate.

    \b
    Example:
      vbn recompute --yes
    """
    import sys
    from collections import Counter

    from tqdm import tqdm

    import schemas
    from populate.work.staleness import recompute, stale_rows

    schemas.connect()
    rows = stale_rows()
    if not rows:
        click.echo("Nothing is stale.")
        return
    for table, number in Counter(row.table for row in rows).items():
        click.echo(f"{table}: {number} rows")
    if not yes:
        click.confirm("Delete these rows and make them anew?", abort=True)
    with tqdm(total=len(rows), unit="entry", disable=not sys.stderr.isatty()) as bar:
        summary = recompute(rows, lambda _: bar.update())
    for failure in summary.failures:
        click.echo(f"vbn: {failure.table} {failure.key}: {failure.error}", err=True)
    click.echo(f"{summary.done} entries made anew, {len(summary.failures)} failed.")
    if summary.failures:
        raise SystemExit(1)
