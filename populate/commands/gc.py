"""``vbn gc``."""

from datetime import timedelta

import click

from populate.commands.age import age
from populate.commands.options import json_option


@click.command("gc")
@click.option("--go", is_flag=True, help="Move or delete the files; otherwise only list them.")
@click.option(
    "--older-than",
    callback=age,
    metavar="AGE",
    help="Spare files younger than this: 30d, 12h, 10m.  [default: 1d; 30d with --empty-quarantine]",
)
@click.option(
    "--max-share",
    type=click.FloatRange(0, 100),
    default=10,
    show_default=True,
    help="Refuse if more than this percentage of the files would be moved.",
)
@click.option("--empty-quarantine", is_flag=True, help="Permanently delete files quarantined earlier.")
@json_option()
def command(
    go: bool, older_than: timedelta | None, max_share: float, empty_quarantine: bool, as_json: bool
) -> None:
    """Quarantine files in the store that no row refers to.

    Deleted rows and killed workers leave such files. They are moved into the folder _quarantine of the store,
    from where they can be moved back until --empty-quarantine deletes them. Files that a running job may have
    written, and those of other prefixes, are left alone.

    \b
    Example:
      vbn gc
      vbn gc --go
      vbn gc --empty-quarantine --older-than 30d --go
    """
    import schemas
    from populate.admin import garbage
    from populate.output.as_json import print_json

    schemas.connect()
    target = None
    if empty_quarantine:
        found = garbage.empty_quarantine(garbage.KEPT if older_than is None else older_than, dry_run=not go)
    else:
        found = garbage.find_garbage(garbage.YOUNG if older_than is None else older_than)
        if go:
            target = garbage.put_aside(found, max_share / 100)
    if as_json:
        what = {"files": found.files, "size_bytes": found.size_bytes, "stored": found.n_stored}
        more = {
            "spared": found.n_spared,
            "unpublished_arrays": found.n_unpublished,
            "empty_folders": len(found.folders),
            "done": go,
        }
        print_json({**what, **more, "quarantine": target})
        return
    for path in [] if go else found.files:
        click.echo(path)
    size = f"{len(found.files)} of {found.n_stored} files, {found.size_bytes / 1e6:.1f} MB"
    verb = "permanently deleted" if empty_quarantine else "quarantined"
    click.echo(
        f"{size}: {verb if go else f'would be {verb}; do it with --go'}{f', in {target}' if target else ''}."
    )
    if not (go or empty_quarantine) and found.share > max_share / 100:
        click.echo(f"vbn: that is more than {max_share:g} % (--max-share): --go would refuse.", err=True)
    if found.n_unpublished:
        click.echo(f"{found.n_unpublished:,} arrays of adopted sessions were never here (vbn adopt).")
    if found.n_spared and not empty_quarantine:
        click.echo(f"{found.n_spared} files without a row are spared: recent, or perhaps of a running job.")
