"""``vbn restore``."""

from pathlib import Path

import click


@click.command("restore")
@click.argument("folder", type=click.Path(file_okay=False, exists=True, path_type=Path), metavar="DIR")
@click.option("--check", is_flag=True, help="Only check that the backup is complete and unchanged.")
@click.option("--mysql", metavar="PATH", help="MySQL's program, if it is not on PATH (VBN_MYSQL).")
def command(folder: Path, check: bool, mysql: str | None) -> None:
    """Restore a backup into an empty database and the store, and compare checksums.

    The server must be of the same kind. Tables that hold only default parameter sets are replaced; with any
    other row the restore is refused.

    \b
    Example:
      vbn restore /backup/vbn --check
      vbn restore /backup/vbn
    """
    from populate.admin.backup import check as find_damage
    from populate.admin.backup import restore
    from populate.admin.checksums import total_of
    from schemas.server.connection import open_database

    if check:
        damage = find_damage(folder)
        for line in damage:
            click.echo(f"vbn: {line}", err=True)
        click.echo(f"{folder}: {f'{len(damage)} files are damaged' if damage else 'the backup is complete'}.")
        raise SystemExit(1 if damage else 0)
    database = open_database()
    done = restore(database, folder, mysql_client=mysql)
    manifest = done.manifest
    for table in done.different:
        click.echo(f"vbn: {table} has a different checksum than when it was saved.", err=True)
    click.echo(
        f"{database}: restored {len(done.checksums)} tables of {manifest.made_at} and {len(manifest.files)} "
        f"arrays into {database.store}. Checksum: {total_of(done.checksums)}"
        + ("" if done.different else ", as when it was saved.")
    )
    click.echo(
        "Accounts and their privileges are not part of a backup: vbn deploy grants the privileges again."
    )
    if not manifest.has_arrays:
        click.echo(f"vbn: the backup has no arrays; they were in {manifest.store}.", err=True)
    if done.different:
        raise SystemExit(1)
