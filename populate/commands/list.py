"""``vbn list``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from populate.commands.answer import OUTPUT, answer, command_line, say_saved
from populate.commands.whole_sentences import WholeSentences

DESCRIPTION = click.option("--description", default="", help="What it is for.")
REPLACE = click.option("--replace", is_flag=True, help="Put it in the place of your list of this name.")


@click.group("list", cls=WholeSentences)
def command() -> None:
    """Make, show, rename and remove a named list of units or sessions.

    Lists are on the server, for everybody: --list NAME selects by one wherever units or sessions are asked
    for. vbn query units --save-list NAME makes one of what is found; vbn lists shows all.
    """


@command.command("add")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option(
    "--of",
    type=click.Choice(["units", "sessions"]),
    help="What the ids are those of.  [default: by the heading, else units]",
)
@click.option("--skip-missing", is_flag=True, help="Leave out ids that nothing here has.")
@DESCRIPTION
@REPLACE
def list_of_file(name: str, file: Path, of: Any, skip_missing: bool, description: str, replace: bool) -> None:
    """Make the list NAME of the ids in FILE: text with one a line, CSV or Parquet; - is standard input.

    Of a table, the column unit_id is taken, else session_id.

    \b
    Examples:
      vbn list add figure-2 units.csv --description "the units of figure 2"
      vbn list add good-days days.txt --of sessions
    """
    import schemas
    from schemas import queries
    from schemas.server.published import require_database
    from vbn.interop.id_files import ids_in, read_id_file

    require_database("make lists in it")
    is_input = str(file) == "-"
    found = ids_in(sys.stdin.buffer.read(), "standard input") if is_input else read_id_file(file)
    schemas.connect()
    saved = queries.save_list(
        name, found.ids, of=of or found.kind, description=description, made_from=command_line(),
        replace=replace, skip_missing=skip_missing,
    )  # fmt: skip
    say_saved(saved)


@command.command("show")
@click.argument("name")
@OUTPUT
def show_list(name: str, **options: Any) -> None:
    """Print the units or sessions of the list NAME.

    \b
    Example:
      vbn list show figure-2 --format csv
    """
    from schemas.server.published import require_notes

    require_notes()
    answer(lambda queries: queries.list_members(name), options, "unit_id session_id mouse_id is_imported")


@command.command("remove")
@click.argument("name")
def drop_list(name: str) -> None:
    """Remove the list NAME, if it is yours; admins remove any. What it lists stays.

    \b
    Example:
      vbn list remove figure-2
    """
    import schemas
    from schemas import queries
    from schemas.server.published import require_database

    require_database("remove its lists")
    schemas.connect()
    queries.remove_list(name)
    click.echo(f"{name}: removed.")


@command.command("rename")
@click.argument("name")
@click.argument("new")
def new_name(name: str, new: str) -> None:
    """Give the list NAME, if it is yours, the name NEW.

    \b
    Example:
      vbn list rename figure-2 figure-3
    """
    import schemas
    from schemas import queries
    from schemas.server.published import require_database

    require_database("rename its lists")
    schemas.connect()
    queries.rename_list(name, new)
    click.echo(f"{name}: is {new} now.")
