"""``vbn populate``."""

import click

from populate.commands.module_option import module_option


@click.command("populate")
@click.option("--session", "sessions", type=int, multiple=True, help="Only this session; may be repeated.")
@click.option("--table", "tables", multiple=True, help="Only this table; may be repeated.")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that share the work.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON summary instead of text.")
@module_option
def command(sessions: tuple[int, ...], tables: tuple[str, ...], processes: int, as_json: bool) -> None:
    """Import the registered files and compute everything that is missing.

    It can be interrupted and started again at any time, and run on several machines at once.
    A failed job is recorded (vbn errors) and stays until vbn retry; the others go on.

    \b
    Example:
      vbn populate --processes 2
    """
    import json

    import schemas
    from populate.work.progress import populate_with_progress

    schemas.connect()
    summary = populate_with_progress(list(sessions), list(tables), processes)
    if as_json:
        click.echo(json.dumps(summary.as_dict()))
    else:
        for failure in summary.failures:
            key = ", ".join(f"{name}={value}" for name, value in failure.key.items())
            click.echo(f"vbn: {failure.table} ({key}): {failure.error}", err=True)
        for lack in summary.lacks():
            click.echo(f"vbn: {lack}", err=True)
        click.echo(f"{summary.done} entries made, {len(summary.failures)} failed.")
    if summary.failures:
        click.echo("vbn: after fixing the cause: vbn retry && vbn populate", err=True)
    if summary.failures or summary.given_back:
        raise SystemExit(1)
