"""``vbn sessions``."""

import click


@click.command("sessions")
@click.option("--mouse", "mice", multiple=True, help="Only this mouse; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(mice: tuple[str, ...], as_json: bool) -> None:
    """List the sessions: registered ones, and those only in the catalogue.

    \b
    Example:
      vbn sessions --mouse 544358
    """
    import json

    import schemas
    from populate.output.listing import list_sessions

    schemas.connect()
    rows = list_sessions(list(mice))
    if as_json:
        click.echo(json.dumps(rows, indent=2, default=str))
        return
    import pandas as pd

    if rows:
        click.echo(pd.DataFrame(rows).replace({True: "yes", False: "no"}).to_string(index=False))
    click.echo(f"{len(rows)} sessions, {sum(row['has_file'] for row in rows)} with a file.")
