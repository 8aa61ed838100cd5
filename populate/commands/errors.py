"""``vbn errors``."""

import click

from populate.commands.answer import LISTED, asked_of_list, places_that_meet, print_table
from populate.commands.module_option import module_option
from populate.commands.options import json_option


@click.command("errors")
@LISTED
@json_option()
@module_option
def command(rows_where: tuple[str, ...], columns: str | None, as_json: bool) -> None:
    """List the failed jobs with their reasons.

    \b
    Example:
      vbn errors
      vbn errors --where "message LIKE '%truncated%'" --columns table,session_id,host
    """
    import schemas
    from populate.output.as_json import print_json
    from populate.work.status import error_columns, error_rows, job_errors

    schemas.connect()
    errors = job_errors()
    rows, names = error_rows(errors), error_columns(errors)
    places = places_that_meet(rows, names, rows_where)
    if columns:
        rows = asked_of_list([rows[at] for at in places], names, (), columns)
        print_json(rows) if as_json else print_table(rows)
        return
    chosen = [errors[at] for at in places]
    if as_json:
        print_json(chosen)
        return
    for error in chosen:
        key = ", ".join(f"{name}={value}" for name, value in error.key.items())
        click.echo(f"{error.table} ({key}), {error.failed_at} on {error.host}:\n  {error.message}")
    click.echo(
        f"{len(chosen)} failed." + (" After fixing the cause: vbn retry && vbn populate" if chosen else "")
    )
