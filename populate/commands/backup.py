"""``vbn backup``."""

from pathlib import Path

import click


@click.command("backup")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--mysqldump", metavar="PATH", help="MySQL's program, if it is not on PATH (VBN_MYSQLDUMP).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(folder: Path, mysqldump: str | None, as_json: bool) -> None:
    """Back up the database and the arrays in the store into a folder, as of one moment.

    Workers may go on meanwhile. Run again with the same folder, it copies only new arrays; after an
    interruption it continues where it stopped. Neither accounts nor the NWB files are saved.

    \b
    Example:
      vbn backup /backup/vbn
    """
    import json
    from dataclasses import asdict

    from populate.admin.backup import back_up
    from populate.admin.checksums import total_of
    from schemas.server.connection import open_database

    database = open_database()
    manifest = back_up(database, folder, mysqldump=mysqldump)
    total = total_of(manifest.checksums)
    if as_json:
        counts = {"files": len(manifest.files), "size_bytes": manifest.size_bytes, "total": total}
        click.echo(json.dumps({**asdict(manifest), **counts}, indent=2))
        return
    click.echo(
        f"{database}: saved {len(manifest.checksums)} tables under '{manifest.prefix}...' and "
        f"{len(manifest.files)} arrays, {manifest.size_bytes / 1e6:.1f} MB, in {folder}. Checksum: {total}"
    )
    if not manifest.has_arrays:
        click.echo(
            f"vbn: the arrays in {manifest.store} are not saved: only stores in folders are. Use the tools "
            "of that storage, after this backup.",
            err=True,
        )
