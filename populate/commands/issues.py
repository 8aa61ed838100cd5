"""``vbn issues``."""

import click

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
@json_option()
def command(sessions: tuple[int, ...], severity: str, as_json: bool) -> None:
    """List irregularities in the imported files. docs/issues.md explains the codes.

    \b
    Example:
      vbn issues --severity warning
    """
    import schemas
    from populate.output.as_json import print_json
    from populate.output.listing import list_issues

    schemas.connect()
    rows = list_issues(list(sessions), severity)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(
            f"{row['severity']:<7} {row['session_id']}  {row['issue_table']}: {row['issue_code']}: "
            f"{row['issue_detail']}"
        )
    click.echo(f"{len(rows)} issues.")
