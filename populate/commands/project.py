"""``vbn project``."""

from __future__ import annotations

import click

from populate.commands.options import json_option, listed_option, sessions_option
from populate.commands.whole_sentences import WholeSentences


@click.group("project", cls=WholeSentences)
def command() -> None:
    """Show projects, the data sets that sessions belong to, and move sessions between them.

    A session's project is said when its file is registered (vbn register --project, or a mapping).
    """


@command.command("list")
@json_option()
def list_projects(as_json: bool) -> None:
    """List the projects, with their mice, sessions, recordings and imported units.

    \b
    Example:
      vbn project list
    """
    import sys

    import pandas as pd

    import schemas
    from populate.output.as_json import print_json
    from populate.output.rendering import render
    from populate.registration.projects import ProjectSize, project_sizes

    schemas.connect()
    sizes = project_sizes()
    if as_json:
        print_json(sizes)
        return
    render(pd.DataFrame(sizes, columns=list(ProjectSize.__dataclass_fields__)), "table", sys.stdout)


@command.command("set")
@click.argument("project")
@sessions_option("A session to move")
@listed_option("--mouse", "mice", help="A mouse whose sessions are all moved", aliases=("--mouse-id",))
@json_option("Print one JSON object per session.")
def set_project(project: str, sessions: tuple[int, ...], mice: tuple[str, ...], as_json: bool) -> None:
    """Move sessions to PROJECT, for admins: for those that were registered into the wrong one.

    Imported and computed rows stay as they are. All sessions of a mouse move together.

    \b
    Example:
      vbn project set our-rig --mouse M9
    """
    import schemas
    from populate.output.as_json import print_json
    from populate.registration.projects import move_sessions, sessions_of_mice

    if not sessions and not mice:
        raise click.UsageError("Name what to move: --session or --mouse.")
    database = schemas.connect()
    moves = move_sessions(database, sorted({*sessions, *sessions_of_mice(mice)}), project)
    for move in moves:
        if as_json:
            print_json(move, indent=None)
        else:
            click.echo(f"{move.session_id}: {move.old} -> {move.new}")
        if move.mapping_project is not None:
            click.echo(
                f"vbn: The mapping of session {move.session_id} names the project {move.mapping_project!r}: "
                "correct it before you register the file again.",
                err=True,
            )
    if not as_json and not moves:
        click.echo(f"Nothing to move: all of them are in {project}.")
