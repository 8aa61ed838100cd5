"""``vbn issues``."""

import click


@click.command("issues")
@click.option("--session", "sessions", type=int, multiple=True, help="Only this session; may be repeated.")
@click.option(
    "--severity",
    type=click.Choice(["info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Lowest severity to list.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(sessions: tuple[int, ...], severity: str, as_json: bool) -> None:
    """List irregularities in the imported files. docs/issues.md explains the codes.

    \b
    Example:
      vbn issues --severity warning
    """
    import json

    import schemas
    from populate.output.listing import list_issues

    schemas.connect()
    rows = list_issues(list(sessions), severity)
    if as_json:
        click.echo(json.dumps(rows, indent=2, default=str))
        return
    for row in rows:
        click.echo(
            f"{row['severity']:<7} {row['session_id']}  {row['issue_table']}: {row['issue_code']}: "
            f"{row['issue_detail']}"
        )
    click.echo(f"{len(rows)} issues.")
