"""``vbn backup``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from populate.commands.age import age
from populate.commands.options import json_option

if TYPE_CHECKING:
    from datetime import timedelta

    from populate.admin.backup import BackupManifest


@click.command("backup")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option(
    "--keep", type=click.IntRange(min=1), metavar="N",
    help="Make a backup of its own below DIR, and keep the last N of them.",
)  # fmt: skip
@click.option(
    "--keep-within", callback=age, metavar="AGE",
    help="Likewise, and keep those that are not older than this: 30d, 12h; and three without --keep.",
)  # fmt: skip
@click.option("--without-arrays", is_flag=True, help="Save the database only.")
@click.option("--check", "checks", is_flag=True, help="Back up nothing: rehearse a restore of DIR.")
@click.option("--mysqldump", metavar="PATH", help="MySQL's program, if it is not on PATH (VBN_MYSQLDUMP).")
@click.option("--mysql", metavar="PATH", help="The one that --check needs, likewise (VBN_MYSQL).")
@json_option()
def command(
    folder: Path,
    keep: int | None,
    keep_within: timedelta | None,
    without_arrays: bool,
    checks: bool,
    mysqldump: str | None,
    mysql: str | None,
    as_json: bool,
) -> None:
    """Back up the database and the arrays in the store into a folder, as of one moment.

    Workers may go on meanwhile. Run again with the same folder, it copies only new arrays; after an
    interruption it continues where it stopped. Neither accounts nor the NWB files are saved.

    With --check, each file is compared with its hash, and the database is restored under a prefix of its own
    on the configured server, compared, and dropped. A backup without arrays fails, unless --without-arrays
    says that it is meant.

    \b
    Examples:
      vbn backup /backup/vbn
      vbn backup /backup/daily --keep 7
      vbn backup /backup/hourly --keep 24 --keep-within 30d
      vbn backup --check /backup/daily
    """
    is_single = keep is None and keep_within is None
    if checks and not is_single:
        raise click.UsageError(
            "--check backs up nothing, so that it does not go with --keep or --keep-within."
        )
    if checks:
        _check(folder, mysql, without_arrays=without_arrays, as_json=as_json)
        return
    from populate.admin.backup import back_up, back_up_and_rotate
    from schemas.server.connection import open_database

    database = open_database()
    if is_single:
        manifest = back_up(database, folder, mysqldump=mysqldump, with_arrays=not without_arrays)
    else:
        done = back_up_and_rotate(
            *(database, folder, keep or 0),
            within=keep_within, mysqldump=mysqldump, with_arrays=not without_arrays,
        )  # fmt: skip
        manifest, folder = done.manifest, done.folder
        for path in done.removed:
            click.echo(f"vbn: removed the backup {path}.", err=True)
        for path, reason in done.spared.items():
            click.echo(f"vbn: {path} is not counted, and stays: {reason}", err=True)
    _report(manifest, str(database), folder, as_json=as_json)


def _report(manifest: BackupManifest, database: str, folder: Path, *, as_json: bool) -> None:
    from dataclasses import asdict

    from populate.admin.checksums import total_of
    from populate.output.as_json import print_json

    total = total_of(manifest.checksums)
    if as_json:
        counts = {"files": len(manifest.files), "size_bytes": manifest.size_bytes, "total": total}
        print_json({**asdict(manifest), "folder": folder, **counts})
    else:
        arrays = f"{len(manifest.files)} arrays" if manifest.has_arrays else "no arrays"
        click.echo(
            f"{database}: saved {len(manifest.checksums)} tables under '{manifest.prefix}...' and "
            f"{arrays}, {manifest.size_bytes / 1e6:.1f} MB, in {folder}. Checksum: {total}"
        )
    _say_what_it_lacks(manifest)


def _say_what_it_lacks(manifest: BackupManifest) -> None:
    if manifest.n_unpublished:
        click.echo(
            f"vbn: {manifest.n_unpublished:,} arrays of adopted sessions were never here (vbn adopt): this "
            "backup has their shapes and types.",
            err=True,
        )
    if not manifest.has_arrays:
        click.echo(
            f"vbn: this backup lacks the arrays, which are in {manifest.store}: once it is restored, spike "
            "times, running and all other arrays can be read only if they are still there.",
            err=True,
        )


def _check(folder: Path, mysql: str | None, *, without_arrays: bool, as_json: bool) -> None:
    from populate.admin.backup import rehearse
    from populate.output.as_json import print_json
    from schemas.server.connection import open_database

    done = rehearse(open_database(to_restore=True), folder, mysql_client=mysql)
    manifest, is_good = done.manifest, done.is_good and (done.manifest.has_arrays or without_arrays)
    if as_json:
        found = {
            "folder": done.folder, "is_good": is_good, "made_at": manifest.made_at,
            "has_arrays": manifest.has_arrays, "files": len(manifest.files), "tables": done.n_tables,
            "damage": done.damage, "different": done.different,
        }  # fmt: skip
        print_json(found)
    for line in done.damage:
        click.echo(f"vbn: {line}", err=True)
    for table in done.different:
        click.echo(f"vbn: {table}, restored, has a different checksum than when it was saved.", err=True)
    _say_what_it_lacks(manifest)
    if not as_json:
        click.echo(
            f"{done.folder}: the backup of {manifest.made_at} "
            + (
                f"was restored and compared: {done.n_tables} tables and {len(manifest.files)} arrays are as "
                "they were saved."
                if done.is_good
                else f"is not good: {len(done.damage)} damaged files, {len(done.different)} tables differ."
            )
        )
    raise SystemExit(0 if is_good else 1)
