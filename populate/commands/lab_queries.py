"""Commands for the lab's own queries, made from the arguments of their functions."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import click

from populate.commands.answer import OUTPUT, answer
from populate.commands.completion import EXPERIENCE, IMAGE_SETS, completing, known_structures
from populate.commands.options import (
    AREA,
    SESSION_ALIASES,
    WHERE,
    AliasedOption,
    Listed,
    flattened,
)

if TYPE_CHECKING:
    from schemas.bases.lab_queries import LabQuery, Parameter

# Arguments that this package's queries have, too: as options they are spelt alike.
SPELLINGS = {
    "session_id": ("--session", SESSION_ALIASES),
    "mouse_id": ("--mouse", ("--mouse-id",)),
    "experience_level": ("--experience", ("--experience-level",)),
    "structure": ("--structure", AREA),
}
COMPLETIONS = {
    "structure": completing(known_structures),
    "experience_level": completing(EXPERIENCE),
    "image_set": completing(IMAGE_SETS),
}


def has_lab_modules() -> bool:
    """Return whether there may be queries of the lab; nothing heavy is imported to know it."""
    from importlib.metadata import entry_points

    groups = ("vbn.tables", "vbn.queries")
    return bool(os.environ.get("VBN_MODULES")) or any(entry_points(group=name) for name in groups)


def lab_names(known: set[str]) -> list[str]:
    """Return the names of the commands of the lab's queries, for help and completion: without a database."""
    from schemas.bases.lab_queries import lab_queries
    from schemas.deploy.lab_modules import import_lab_modules
    from vbn.errors import VbnError

    with contextlib.suppress(VbnError):  # said by the command that needs the module
        import_lab_modules()
    return [name for name in map(_command_name, lab_queries()) if name not in known]


def lab_command(name: str) -> click.Command | None:
    """Return the command of a query of the lab, None if there is none.

    Raises
    ------
    VbnError
        If a module that was named cannot be used.
    """
    from schemas.bases.lab_queries import lab_queries
    from schemas.deploy.lab_modules import import_lab_modules

    import_lab_modules()
    found = {_command_name(each): query for each, query in lab_queries().items()}.get(name)
    return _made(name, found) if found else None


def _command_name(name: str) -> str:
    return name.replace("_", "-")


def _made(name: str, query: LabQuery) -> click.Command:
    """Return the command of a query."""
    from schemas.queries.lab import lab_frame

    def run(where: tuple[str, ...], **options: Any) -> None:
        given = {each: options[each] for each in query.parameters}
        # What was not given is left to the function's defaults.
        given = {each: value for each, value in given.items() if value is not None and value != ()}
        answer(lambda _queries: lab_frame(query, given, where), options, " ".join(query.columns))

    made = WHERE(OUTPUT(run))
    for parameter in reversed(list(query.parameters.values())):
        made = _option(parameter)(made)
    return click.command(name, help=query.help, epilog=f"A query of {query.module}.")(made)


def _option(parameter: Parameter) -> Any:
    """Return the option of a parameter."""
    name, aliases = SPELLINGS.get(parameter.name, (f"--{parameter.name.replace('_', '-')}", ()))
    meaning = parameter.meaning or parameter.name.replace("_", " ")
    shown = "" if parameter.is_required or parameter.default is None else f"  [default: {parameter.default}]"
    settings: dict[str, Any] = {
        "required": parameter.is_required,
        "shell_complete": COMPLETIONS.get(parameter.name),
    }
    if parameter.kind is bool and not parameter.several:
        names = f"{name}/--no-{name[2:]}"
        return click.option(names, parameter.name, default=None, help=meaning + shown, **settings)
    kind = click.Choice(parameter.choices) if parameter.choices else parameter.kind
    if parameter.several:
        settings |= {"type": Listed(kind), "multiple": True, "callback": flattened}
        meaning += "; may be repeated"
    else:
        settings["type"] = kind
    return click.option(
        name, parameter.name, cls=AliasedOption, aliases=aliases, help=f"{meaning}.{shown}", **settings
    )
