"""``vbn catalogue``."""

from pathlib import Path

import click


@click.command("catalogue")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(folder: Path, as_json: bool) -> None:
    """Enter the release's CSV tables from FOLDER, and compare them with what is imported.

    Sessions that have no file yet are then listed by vbn sessions. Disagreements become import issues.

    \b
    Example:
      vbn catalogue /data/vbn/project_metadata
    """
    import json

    import schemas
    from populate.catalogue import Catalogue, check, load

    schemas.connect()
    added = load(folder)
    disagreeing = check(Catalogue.read(folder))
    if as_json:
        click.echo(json.dumps({"added": added, "disagreeing_sessions": disagreeing}))
        return
    click.echo(", ".join(f"{number} rows added to {table}" for table, number in added.items()) + ".")
    click.echo(f"{len(disagreeing)} registered sessions disagree with the tables (vbn issues).")
