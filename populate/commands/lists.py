"""``vbn lists``."""

from typing import Any

import click

from populate.commands.answer import OUTPUT, answer


@click.command("lists")
@OUTPUT
def command(**options: Any) -> None:
    """Show the named lists of units and sessions: how many each had and has, by whom, when, and how.

    \b
    Example:
      vbn lists
    """
    from schemas.server.published import require_notes

    require_notes()
    answer(
        lambda queries: queries.lists(),
        options,
        "list_name list_kind n_listed n_left list_author list_made_at list_description",
    )
