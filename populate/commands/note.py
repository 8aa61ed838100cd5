"""``vbn note``."""

from __future__ import annotations

import sys
from typing import Any

import click

from populate.commands.options import listed_option, lists_option, sessions_option
from populate.commands.whole_sentences import WholeSentences

MOST_CHARACTERS = 50_000_000


@click.group("note", cls=WholeSentences)
def command() -> None:
    """Write and withdraw notes and labels on units and sessions, beside what files and analyses say.

    A note has an author and a date, and is not changed. vbn notes shows all; --label selects by labels
    wherever units or sessions are asked for.
    """


@command.command("add")
@click.argument("text", default="")
@listed_option("--unit", "units", of=int, help="Id of a unit", aliases=("--unit-id",))
@sessions_option("Id of a session")
@lists_option("All of a named list")
@click.option("--label", default="", help="A label, such as noise: small letters, digits, -, _ and .")
def add_note(
    text: str, units: tuple[int, ...], sessions: tuple[int, ...], lists: tuple[str, ...], label: str
) -> None:
    """Write a note with TEXT, a label, or both, on units or on sessions.

    \b
    Examples:
      vbn note add --unit 1061854534 "two cells?" --label doubtful
      vbn note add --session 1064644573 "the mouse was asleep at the end"
      vbn note add --list figure-2 --label checked
    """
    import schemas
    from schemas import queries

    if sum(map(bool, (units, sessions, lists))) != 1:
        raise click.UsageError("Name units (--unit), sessions (--session) or a list (--list).")
    schemas.connect()
    about = [("units", units), ("sessions", sessions)]
    listed = [(queries.list_kind(name), queries.list_members(name)) for name in lists]
    given: list[tuple[str, Any]] = [(kind, ids) for kind, ids in about if ids] + listed
    n_notes = sum(len(queries.add_notes(ids, text, label=label, of=kind)) for kind, ids in given)
    click.echo(f"{n_notes:,} note{'s' * (n_notes != 1)} written.")


@command.command("remove")
@click.argument("note_ids", metavar="NOTE_ID...", nargs=-1, required=True)
def remove_note(note_ids: tuple[str, ...]) -> None:
    """Withdraw notes, if they are yours; admins withdraw any. vbn notes shows the ids.

    All of them are withdrawn, or none. With - the ids are read from standard input, one a line.

    \b
    Examples:
      vbn note remove 0f3a9c52d8e1b647
      vbn notes --label checked --columns note_id --format csv | vbn note remove -
    """
    import schemas
    from schemas import queries

    wanted = sys.stdin.read(MOST_CHARACTERS).split() if note_ids == ("-",) else list(note_ids)
    wanted = [each for each in wanted if each != "note_id"]  # the heading of a CSV
    schemas.connect()
    n_notes = queries.withdraw_note(wanted)
    click.echo(f"{n_notes:,} note{'s' * (n_notes != 1)} withdrawn.")
