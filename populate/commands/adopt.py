"""``vbn adopt``."""

from __future__ import annotations

from pathlib import Path

import click

from populate.commands.options import json_option, sessions_option


@click.command("adopt")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@sessions_option()
@click.option(
    "--dry-run", is_flag=True, help="Change nothing: check, compare, and say what would be adopted."
)
@json_option("Print one JSON object per session.")
def command(folder: Path, sessions: tuple[int, ...], dry_run: bool, as_json: bool) -> None:
    """Adopt the sessions of DIR, which vbn publish has written: what others have imported and computed.

    Rows keep what they were made with, so that vbn populate has nothing to do for these sessions, and
    sessions of your own can stand beside them. Each session is entered as a whole or not at all; the same
    command goes on after an interruption, and changes nothing where all is there. What is here is compared,
    and never replaced. Arrays that were not published are known as such. Accounts, lists and notes are not
    adopted.

    \b
    Examples:
      vbn adopt release-tables
      vbn adopt release-tables --session 1044385384
    """
    from collections import Counter

    from populate.adoption.adopt import adopt
    from populate.output.as_json import print_json
    from vbn.visible import visible

    counts: Counter[str] = Counter()
    n_rows = n_unpublished = 0
    for outcome in adopt(
        folder, sessions, dry_run=dry_run, tell=lambda line: click.echo(f"vbn: {visible(line)}", err=True)
    ):
        counts[outcome.status] += 1
        n_rows += outcome.n_rows
        n_unpublished += outcome.n_unpublished_arrays
        if as_json:
            print_json(outcome, indent=None)
        elif outcome.message:
            click.echo(f"vbn: {visible(outcome.message)}", err=True)
    if not as_json:
        named = [f"{counts[name]} {told}" for name, told in _STATUSES.items() if counts[name]]
        click.echo(f"{folder}: {', '.join(named) or 'no sessions'}; {n_rows:,} rows entered.")
        if n_unpublished:
            click.echo(f"{n_unpublished:,} of their arrays were not published, and cannot be read here.")
    if counts["failed"]:
        raise SystemExit(1)


_STATUSES = {
    "adopted": "sessions adopted", "new": "sessions would be adopted", "unchanged": "unchanged",
    "failed": "failed",
}  # fmt: skip
