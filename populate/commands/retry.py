"""``vbn retry``."""

import click

from populate.commands.module_option import module_option


@click.command("retry")
@click.option("--session", "sessions", type=int, multiple=True, help="Only this session; may be repeated.")
@click.option("--table", "tables", multiple=True, help="Only this table; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@module_option
def command(sessions: tuple[int, ...], tables: tuple[str, ...], as_json: bool) -> None:
    """Let the next vbn populate try failed jobs again.

    \b
    Example:
      vbn retry --table Recording && vbn populate
    """
    import json

    import schemas
    from populate.work.status import retry

    schemas.connect()
    forgotten = retry(list(tables), list(sessions))
    click.echo(
        json.dumps({"retried": forgotten})
        if as_json
        else f"{forgotten} failed jobs will be tried again by: vbn populate"
    )
