"""``vbn params``."""

from typing import IO

import click

from populate.commands.options import json_option
from populate.commands.whole_sentences import WholeSentences


@click.group("params", cls=WholeSentences)
def command() -> None:
    """List, show and add parameter sets.

    A set has a name and is never changed. After one is added, the next vbn populate computes the tables that
    use it; existing results stay.
    """


@command.command("list")
@click.argument("table", required=False)
@json_option()
def list_sets(table: str | None, as_json: bool) -> None:
    """List the parameter sets of TABLE, or of all tables.

    \b
    Example:
      vbn params list Alignment
    """
    import schemas
    from populate.admin.parameter_sets import list_parameter_sets
    from populate.output.as_json import print_json
    from populate.output.terminal import on_terminal

    schemas.connect()
    rows = list_parameter_sets(table)
    if as_json:
        print_json(rows)
        return
    digits = 12 if on_terminal() else None
    for row in rows:
        click.echo(f"{row['table']:<24} {row['name']:<28} version {row['version']}  {row['hash'][:digits]}")


@command.command("show")
@click.argument("table")
@click.argument("name")
@json_option("Print JSON, as it does anyway.")
def show(table: str, name: str, as_json: bool) -> None:  # noqa: ARG001 - it is JSON either way
    """Print the content of the set NAME of TABLE as JSON, as vbn params add takes it.

    \b
    Example:
      vbn params show OptotagMethod bennett_2025
    """
    import schemas
    from populate.admin.parameter_sets import parameter_table
    from populate.output.as_json import print_json
    from schemas.bases.parameter_table import as_json as content_of

    schemas.connect()
    print_json(content_of(parameter_table(table).get(name)))


@command.command("add")
@click.argument("table")
@click.argument("name")
@click.option("--content", type=click.File(), help="JSON file with all parameters; - is standard input.")
@click.option("--like", help="Start from the content of this set.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PARAMETER=VALUE",
    help="One parameter, its value as JSON; may be repeated.",
)
def add(table: str, name: str, content: IO[str] | None, like: str | None, changes: tuple[str, ...]) -> None:
    """Add a parameter set NAME to TABLE.

    \b
    Examples:
      vbn params add PerformanceParams window50 --like allensdk --set sliding_window=50
      vbn params add UnitCriteria mine --content mine.json
    """
    import schemas
    from populate.admin.parameter_sets import add_parameter_set

    schemas.connect()
    text = content.read() if content is not None else None
    added = add_parameter_set(table, name, text, like, changes)
    click.echo(f"{table} '{name}': " + ("added." if added else "exists already."))
