"""``vbn issues``."""

import click

from populate.commands.answer import LISTED, asked_of_list, print_table
from populate.commands.options import json_option, sessions_option


@click.command("issues")
@sessions_option()
@click.option(
    "--severity",
    type=click.Choice(["info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Lowest severity to list.",
)
@LISTED
@json_option()
def command(
    sessions: tuple[int, ...],
    severity: str,
    rows_where: tuple[str, ...],
    columns: str | None,
    as_json: bool,
) -> None:
    """List irregularities in the imported files. docs/issues.md explains the codes.

    \b
    Example:
      vbn issues --severity warning
      vbn issues --where "issue_table = 'units'" --columns session_id,issue_code,issue_detail
    """
    import schemas
    from populate.output.as_json import print_json
    from populate.output.listing import list_issues
    from schemas import session

    schemas.connect()
    names = session.ImportIssue.heading.names
    rows = asked_of_list(list_issues(list(sessions), severity), names, rows_where, columns)
    if as_json:
        print_json(rows)
        return
    if columns:
        print_table(rows)
    for row in () if columns else rows:
        click.echo(
            f"{row['severity']:<7} {row['session_id']}  {row['issue_table']}: {row['issue_code']}: "
            f"{row['issue_detail']}"
        )
    click.echo(f"{len(rows)} issues.")
