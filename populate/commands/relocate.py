"""``vbn relocate``."""

from pathlib import Path

import click

from populate.commands.options import json_option


@click.command("relocate")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what would change.")
@json_option("Print one JSON object per file.")
def command(paths: tuple[Path, ...], dry_run: bool, as_json: bool) -> None:
    """Update the locations of registered files: PATHS are files, or folders to search.

    A file is accepted as the registered one if size and hash agree (only the size if no hash is known).

    \b
    Example:
      vbn relocate /new/place/vbn
    """
    import schemas
    from populate.output.as_json import print_json
    from populate.registration.relocate import relocate
    from vbn.visible import visible

    schemas.connect()
    failed = moved = 0
    for change in relocate(paths, dry_run=dry_run):
        failed += change.error is not None
        moved += change.error is None
        if as_json:
            print_json(change, indent=None)
        elif change.error:
            click.echo(f"vbn: {change.error}", err=True)
        else:
            click.echo(visible(f"{change.old} -> {change.new}"))
    if not as_json:
        click.echo(f"{moved} {'would be ' if dry_run else ''}relocated, {failed} failed.")
    if failed:
        raise SystemExit(1)
