"""``vbn recompute``."""

import click

from populate.commands.module_option import module_option
from populate.commands.options import json_option


@click.command("recompute")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option("Print a JSON summary instead of text.")
@module_option
def command(yes: bool, as_json: bool) -> None:
    """Recompute the stale rows that vbn stale lists, in dependency order.

    After an interruption, vbn recompute or vbn populate finishes the work.

    \b
    Example:
      vbn recompute --yes
    """
    import sys
    from collections import Counter

    from tqdm import tqdm

    import schemas
    from populate.output.as_json import print_json
    from populate.work.staleness import recompute, stale_rows

    schemas.connect()
    rows = stale_rows()
    if not rows and not as_json:
        click.echo("Nothing is stale.")
        return
    for table, number in Counter(row.table for row in rows).items():
        click.echo(f"{table}: {number} rows", err=as_json)
    if rows and not yes:
        click.confirm("Delete these rows and recompute them?", abort=True, err=as_json)
    with tqdm(total=len(rows), unit="entry", disable=not sys.stderr.isatty()) as bar:
        summary = recompute(rows, lambda _: bar.update())
    if as_json:
        print_json(summary.as_dict())
    else:
        for failure in summary.failures:
            click.echo(f"vbn: {failure.table} {failure.key}: {failure.error}", err=True)
        for lack in summary.lacks():
            click.echo(f"vbn: {lack}", err=True)
        click.echo(f"{summary.done} entries recomputed, {len(summary.failures)} failed.")
    if summary.failures or summary.given_back:
        raise SystemExit(1)
