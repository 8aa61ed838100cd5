"""``vbn delete``."""

from typing import Any

import click

from populate.commands.module_option import module_option
from populate.commands.options import json_option, sessions_option

SESSIONS_SHOWN = 5


@click.command("delete")
@click.argument("table", default="Session")
@sessions_option("Entries of this session")
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="ATTRIBUTE=VALUE",
    help="Entries with this value; may be repeated, all must hold.",
)
@click.option("--reason", default="", help="Reason, for the record. Required unless --dry-run.")
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@click.option(
    "--yes", is_flag=True, help="Do not ask for confirmation. Many sessions require --confirm-sessions too."
)
@click.option("--confirm-sessions", type=int, help="Number of sessions that lose rows, to confirm many.")
@click.option(
    "--threshold",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Number of sessions above which their number must be typed.",
)
@json_option()
@module_option
def command(
    table: str,
    sessions: tuple[int, ...],
    conditions: tuple[str, ...],
    reason: str,
    dry_run: bool,
    yes: bool,
    confirm_sessions: int | None,
    threshold: int,
    as_json: bool,
) -> None:
    """Delete entries of TABLE (default: Session) with all that was made from them.

    Shows the rows that every table would lose, asks for confirmation, and records who deleted what, when and
    why (vbn deletions). All is deleted or nothing. The next vbn populate remakes imported and computed
    entries whose session stays. Array files stay in the store until vbn gc.

    \b
    Examples:
      vbn delete --session 1053941483 --reason "wrong mouse"
      vbn delete Psth --where alignment=omission_active --session 1053941483 --dry-run
    """
    import schemas
    from populate.admin import deletion
    from populate.output.as_json import print_json
    from vbn.errors import ConflictError

    schemas.connect()
    if not dry_run:
        reason = deletion.checked_reason(reason)
    planned = deletion.plan(table, conditions, sessions)
    found = {
        "table": planned.table,
        "restriction": planned.restriction,
        "sessions": planned.sessions,
        "rows": planned.rows,
    }
    if not as_json:
        _show(planned)
    if dry_run:
        if as_json:
            print_json({**found, "deletion_id": None})
        else:
            click.echo(" ".join(filter(None, ("Nothing was deleted.", planned.foreign))))
        return
    if planned.foreign:
        raise ConflictError(planned.foreign)
    _confirm(planned, yes=yes, stated=confirm_sessions, threshold=threshold)
    deletion_id = deletion.delete(planned, reason)
    if as_json:
        print_json({**found, "deletion_id": deletion_id})
    else:
        click.echo(f"{planned.n_rows} rows deleted. Their array files stay in the store until: vbn gc")


def _show(planned: Any) -> None:
    from populate.admin.deletion import table_labels
    from populate.output.terminal import on_terminal

    labels = table_labels()
    for name, number in planned.rows.items():
        click.echo(f"{number:>10,}  {labels.get(name, name)}")
    number = len(planned.sessions)
    shown = min(number, SESSIONS_SHOWN) if on_terminal() else number
    few = ", ".join(map(str, planned.sessions[:shown])) + (", ..." if number > shown else "")
    affected = f"{number} session{'s' * (number != 1)} ({few})" if number else "no session"
    click.echo(f"{planned.table} with {planned.restriction}: {planned.n_rows:,} rows of {affected}.")


def _confirm(planned: Any, *, yes: bool, stated: int | None, threshold: int) -> None:
    """Raise unless the deletion is confirmed."""
    from vbn.errors import SettingError

    number = len(planned.sessions)
    if stated is not None and stated != number:
        raise SettingError(f"{number} sessions would lose rows, not {stated}. Nothing was deleted.")
    if yes and (number <= threshold or stated is not None):
        return
    if yes:
        raise SettingError(
            f"{number} sessions would lose rows. Nothing was deleted: add --confirm-sessions {number}."
        )
    try:
        if number <= threshold or stated is not None:
            is_confirmed = click.confirm("Delete these rows?", err=True)
        else:
            typed = click.prompt("Type the number of sessions that lose rows", type=int, err=True)
            is_confirmed = typed == number
    except click.Abort:
        is_confirmed = False
    if not is_confirmed:
        raise SettingError("Nothing was deleted.")
