"""``vbn sessions``."""

import click

from populate.commands.options import PROJECT, json_option, listed_option


@click.command("sessions")
@listed_option("--mouse", "mice", help="Only this mouse")
@PROJECT
@json_option()
def command(mice: tuple[str, ...], project: tuple[str, ...], as_json: bool) -> None:
    """List the sessions: registered ones, and those only in the catalogue.

    \b
    Example:
      vbn sessions --mouse 544358
    """
    from collections import Counter

    import schemas
    from populate.output.as_json import print_json
    from populate.output.listing import list_sessions

    schemas.connect()
    rows = list_sessions(list(mice), list(project))
    if as_json:
        print_json(rows)
        return
    import pandas as pd

    from populate.output.rendering import aligned_lines

    for line in aligned_lines(pd.DataFrame(rows).replace({True: "yes", False: "no"})):
        click.echo(line)
    counts = Counter(row["project"] for row in rows)
    of = f" ({', '.join(f'{n} of {name}' for name, n in sorted(counts.items()))})" if len(counts) > 1 else ""
    click.echo(f"{len(rows)} sessions{of}, {sum(row['has_file'] for row in rows)} with a file.")
