"""``vbn catalogue``."""

from pathlib import Path

import click


@click.command("catalogue")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(folder: Path, as_json: bool) -> None:
    """Enter the release's CSV tables from FOLDER, and compare them with what is imported.

    Sessions that have no file yet are then listed by vbn sessions; those that are registered get what only
    the tables know: experience level, prior exposures, abnormalities. Disagreements become import issues.
    A session with a cell that cannot be read is left out, and the others are entered.

    \b
    Example:
      vbn catalogue /data/vbn/project_metadata
    """
    import json

    import schemas
    from populate.registration.catalogue import enter, told
    from populate.registration.catalogue_tables import ReleaseTables

    schemas.connect()
    done = enter(ReleaseTables.read(folder))
    for problem in done.problems:
        click.echo(f"vbn: {problem}", err=True)
    if as_json:
        click.echo(json.dumps({"added": done.added, "disagreeing_sessions": done.disagreeing}))
    else:
        click.echo("\n".join(told(done)))
    if done.problems:
        raise SystemExit(1)
