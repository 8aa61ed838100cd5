"""``vbn populate``."""

import click

from populate.commands.module_option import module_option
from populate.commands.options import TABLES, json_option, lists_option, sessions_option


@click.command("populate")
@sessions_option()
@lists_option("Only the sessions of this named list")
@TABLES
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that share the work.",
)
@json_option("Print a JSON summary instead of text.")
@module_option
def command(
    sessions: tuple[int, ...], lists: tuple[str, ...], tables: tuple[str, ...], processes: int, as_json: bool
) -> None:
    """Import the registered files and compute everything that is missing.

    It can be interrupted and started again at any time, and run on several machines at once.
    A failed job is recorded (vbn errors) and stays until vbn retry; the others go on.

    \b
    Example:
      vbn populate --processes 2
    """
    import schemas
    from populate.output.as_json import print_json
    from populate.work.progress import populate_with_progress

    schemas.connect()
    if lists:
        from schemas.queries.named_lists import sessions_in_lists

        sessions = tuple({*sessions, *sessions_in_lists(lists)})
    summary = populate_with_progress(list(sessions), list(tables), processes)
    if as_json:
        print_json(summary.as_dict())
    else:
        for failure in summary.failures:
            key = ", ".join(f"{name}={value}" for name, value in failure.key.items())
            click.echo(f"vbn: {failure.table} ({key}): {failure.error}", err=True)
        for lack in summary.lacks():
            click.echo(f"vbn: {lack}", err=True)
        click.echo(f"{summary.done} entries made, {len(summary.failures)} failed.")
        if summary.traffic.requests:
            moved = f"{summary.traffic.bytes / 1e6:,.1f} MB in {summary.traffic.requests:,} requests"
            click.echo(f"Read from the web: {moved}. No file was kept.")
    if summary.failures:
        click.echo("vbn: after fixing the cause: vbn retry && vbn populate", err=True)
    if summary.failures or summary.given_back:
        raise SystemExit(1)
