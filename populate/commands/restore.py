"""``vbn restore``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from populate.commands.options import json_option

if TYPE_CHECKING:
    from populate.admin.backup.restore import Restored


@click.command("restore")
@click.argument(
    "folder", type=click.Path(file_okay=False, exists=True, path_type=Path), metavar="DIR", required=False
)
@click.option("--prefix", metavar="NAME_", help="Restore under this prefix, beside what is there.")
@click.option("--check", is_flag=True, help="Only check that the backup is complete and unchanged.")
@click.option("--undo", is_flag=True, help="Remove what an interrupted restore has made.")
@click.option("--mysql", metavar="PATH", help="MySQL's program, if it is not on PATH (VBN_MYSQL).")
@json_option("Print what --check finds as JSON.")
def command(
    folder: Path | None, prefix: str | None, check: bool, undo: bool, mysql: str | None, as_json: bool
) -> None:
    """Restore a backup into an empty database and the store, and compare checksums.

    The server must be of the same kind. Tables that hold only default parameter sets are replaced; with any
    other row the restore is refused. After a kill, the same command begins again. With --prefix, nothing
    under the backup's own prefix is touched: arrays get places of their own, too.

    \b
    Examples:
      vbn restore /backup/vbn --check
      vbn restore /backup/vbn
      vbn restore /backup/vbn --prefix drill_
    """
    if folder is None and not undo:
        raise click.UsageError("Name the folder of a backup.")
    if as_json and not check:
        raise click.UsageError("--json is for --check.")
    from populate.admin import backup
    from populate.admin.backup.manifest import read_manifest
    from schemas.server.connection import open_database

    if check and folder:
        damage, has_arrays = backup.check(folder), read_manifest(folder).has_arrays
        _report_check(folder, damage, has_arrays=has_arrays, as_json=as_json)
        raise SystemExit(1 if damage or not has_arrays else 0)
    database = open_database(prefix, to_restore=True)
    if undo or folder is None:
        removed = backup.undo(database)
        click.echo(f"{database}: removed the {len(removed)} schemas of an interrupted restore.")
        return
    done = backup.restore(database, folder, mysql_client=mysql, rename=prefix is not None)
    _report(done, str(database), str(database.store))
    if done.different or done.missing != 0:
        raise SystemExit(1)


def _report_check(folder: Path, damage: list[str], *, has_arrays: bool, as_json: bool) -> None:
    from populate.output.as_json import print_json

    if as_json:
        print_json({"folder": folder, "damage": damage, "has_arrays": has_arrays})
        return
    for line in damage:
        click.echo(f"vbn: {line}", err=True)
    lacks = "" if has_arrays else ", but has no arrays"
    found = f"{len(damage)} files are damaged" if damage else f"the backup is complete{lacks}"
    click.echo(f"{folder}: {found}.")


def _report(done: Restored, database: str, store: str) -> None:
    from populate.admin.checksums import total_of

    for table in done.different:
        click.echo(f"vbn: {table} has a different checksum than when it was saved.", err=True)
    manifest = done.manifest
    arrays = f"{len(manifest.files)} arrays into {store}" if manifest.has_arrays else "no arrays"
    click.echo(
        f"{database}: restored {len(done.checksums)} tables of {manifest.made_at} and {arrays}. "
        f"Checksum: {total_of(done.checksums)}" + ("" if done.different else ", as when it was saved.")
    )
    click.echo(
        "Accounts and their privileges are not part of a backup: vbn deploy grants the privileges again."
    )
    if manifest.n_unpublished:
        click.echo(f"{manifest.n_unpublished:,} arrays of adopted sessions were never there (vbn adopt).")
    if not manifest.has_arrays:
        number = "all" if done.missing is None else done.missing
        click.echo(
            f"vbn: the backup has no arrays; they were in {manifest.store}. Of those that rows refer to, "
            f"{number} are not in the store of this machine ({store}).",
            err=True,
        )
