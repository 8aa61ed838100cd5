"""``vbn catalogue``."""

from pathlib import Path

import click

from populate.commands.options import json_option


@click.command("catalogue")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option()
def command(folder: Path, as_json: bool) -> None:
    """Enter the release's CSV tables from FOLDER, and compare them with what is imported.

    vbn sessions then lists sessions without a file too; registered sessions get what only the tables contain:
    experience level, prior exposures, abnormalities. Disagreements become import issues. Sessions with cells
    that cannot be read are left out; the others are entered.

    \b
    Example:
      vbn catalogue /data/vbn/project_metadata
    """
    import schemas
    from populate.output.as_json import print_json
    from populate.registration.catalogue import enter, summary_lines
    from populate.registration.catalogue_tables import ReleaseTables

    schemas.connect()
    done = enter(ReleaseTables.read(folder))
    for problem in done.problems:
        click.echo(f"vbn: {problem}", err=True)
    if as_json:
        print_json({"added": done.added, "disagreeing_sessions": done.disagreeing})
    else:
        click.echo("\n".join(summary_lines(done)))
    if done.problems:
        raise SystemExit(1)
