"""``vbn relocate``."""

from pathlib import Path

import click


@click.command("relocate")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what would change.")
def command(paths: tuple[Path, ...], dry_run: bool) -> None:
    """Update the locations of registered files: PATHS are files, or folders to search.

    A file is accepted as the registered one if size and hash agree (only the size if no hash is known).

    \b
    Example:
      vbn relocate /new/place/vbn
    """
    import schemas
    from populate.registration.relocate import relocate
    from vbn.visible import visible

    schemas.connect()
    failed = moved = 0
    for change in relocate(paths, dry_run=dry_run):
        failed += change.error is not None
        moved += change.error is None
        click.echo(
            f"vbn: {change.error}" if change.error else visible(f"{change.old} -> {change.new}"),
            err=bool(change.error),
        )
    click.echo(f"{moved} {'would be ' if dry_run else ''}relocated, {failed} failed.")
    if failed:
        raise SystemExit(1)
