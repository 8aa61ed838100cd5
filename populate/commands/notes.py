"""``vbn notes``."""

from typing import Any

import click

from populate.commands.answer import OUTPUT, answer
from populate.commands.options import listed_option, sessions_option


@click.command("notes")
@listed_option("--unit", "units", of=int, help="Only notes on this unit", aliases=("--unit-id",))
@sessions_option("Only notes on this session and its units")
@listed_option("--label", "labels", help="Only notes with this label")
@listed_option("--author", "authors", help="Only notes of this person")
@OUTPUT
def command(
    units: tuple[int, ...], sessions: tuple[int, ...], labels: tuple[str, ...], authors: tuple[str, ...],
    **options: Any,
) -> None:  # fmt: skip
    """Show the notes and labels of people on units and sessions, the latest first.

    \b
    Example:
      vbn notes --session 1064644573
    """
    from schemas.server.published import require_notes

    require_notes()
    given = {"unit_id": units, "session_id": sessions, "label": labels, "author": authors}
    answer(
        lambda queries: queries.notes(**{name: list(each) for name, each in given.items() if each}),
        options,
        "noted_at author unit_id session_id label note note_id",
    )
