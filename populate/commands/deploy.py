"""``vbn deploy``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from populate.commands.module_option import module_option
from populate.commands.options import json_option

if TYPE_CHECKING:
    from schemas.deploy.differences import Layout


@click.command("deploy")
@click.option("--check", is_flag=True, help="Change nothing; list what there is to do, with exit code 1.")
@click.option(
    "--claim-store",
    is_flag=True,
    help="Say that the configured array store, which has all arrays, is from now on the database's.",
)
@json_option("Print what --check finds as JSON.")
@module_option
def command(check: bool, claim_store: bool, as_json: bool) -> None:
    """Create missing tables and default parameter sets, and upgrade those of an earlier version.

    Run again at any time: what is up to date is not changed. Upgrades change tables in place: back up
    first (vbn backup). On the embedded server every command does this by itself.

    A new database gets its array store, under an id that all machines compare before they work. After the
    arrays were moved or copied to another folder or bucket: --claim-store.

    \b
    Example:
      vbn deploy --check
      vbn deploy
    """
    if as_json and not check:
        raise click.UsageError("--json is for --check.")
    import schemas
    from populate.admin.moved_store import claim
    from schemas.bases.registry import tables
    from schemas.deploy.differences import inspect
    from schemas.files.store_identity import require_own_store

    if not check:
        database = schemas.connect(create=True, report=click.echo)
        if claim_store:
            claim(database)
        place = f"{len(tables())} tables under '{database.prefix}...' are there. Arrays: {database.store}"
        click.echo(f"{database}: {place}")
        _refresh_roles(database)
        require_own_store(database)
        return
    layout = inspect()
    _report(layout, as_json=as_json)
    if not layout.is_up_to_date:
        raise SystemExit(1)


def _report(layout: Layout, *, as_json: bool) -> None:
    """Print what there is to do."""
    from populate.output.as_json import print_json

    if as_json:
        changes = [{"number": change.number, "name": change.name} for change in layout.changes]
        print_json({"missing": layout.absent, "changes": changes, "differences": layout.differences})
        return
    for name in layout.absent:
        click.echo(f"missing: {name}")
    for change in layout.changes:
        click.echo(f"due: change {change.number} of the layout: {change.name}")
    for difference in layout.differences:
        click.echo(f"differs: {difference}")
    if layout.is_up_to_date:
        click.echo(f"{layout.database}: the tables under '{layout.database.prefix}...' are up to date.")


def _refresh_roles(database: Any) -> None:
    """Grant readers and workers the existing tables; warn if this account may not."""
    from populate.admin.accounts import refresh
    from schemas.server.access import RefusedError

    try:
        if names := refresh(database):
            click.echo(f"Roles of accounts (vbn admin create-user): {', '.join(names)}")
    except RefusedError as error:
        click.echo(f"vbn: the roles of accounts are unchanged. {error}", err=True)
