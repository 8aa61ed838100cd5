"""``vbn sessions``."""

import click

from populate.commands.answer import LISTED, asked_of_list, print_table
from populate.commands.options import PROJECT, json_option, listed_option


@click.command("sessions")
@listed_option("--mouse", "mice", help="Only this mouse")
@PROJECT
@LISTED
@json_option()
def command(
    mice: tuple[str, ...],
    project: tuple[str, ...],
    rows_where: tuple[str, ...],
    columns: str | None,
    as_json: bool,
) -> None:
    """List the sessions: registered ones, and those only in the catalogue.

    \b
    Example:
      vbn sessions --mouse 544358
      vbn sessions --where "has_file AND imported <> 'all'" --columns session_id,imported
    """
    from collections import Counter

    import schemas
    from populate.output.as_json import print_json
    from populate.output.listing import SESSION_COLUMNS, list_sessions

    schemas.connect()
    rows = asked_of_list(list_sessions(list(mice), list(project)), SESSION_COLUMNS, rows_where, None)
    shown = asked_of_list(rows, SESSION_COLUMNS, (), columns)
    if as_json:
        print_json(shown)
        return
    print_table(shown)
    counts = Counter(row["project"] for row in rows)
    of = f" ({', '.join(f'{n} of {name}' for name, n in sorted(counts.items()))})" if len(counts) > 1 else ""
    click.echo(f"{len(rows)} sessions{of}, {sum(row['has_file'] for row in rows)} with a file.")
