"""``vbn freeze``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from populate.commands.answer import OUTPUT, command_line
from populate.commands.options import TABLES, json_option
from populate.commands.query import OF_UNITS, units_of
from populate.commands.whole_sentences import WholeSentences
from vbn.counted import counted

NOT_FILTERS = {"optotag_method": "bennett_2025"}
"""Options that have a default, which chooses nothing by itself."""


@click.group("freeze", cls=WholeSentences)
def command() -> None:
    """Keep what a paper was made from: rows, parameters, versions and arrays as they are now.

    The database goes on: rows are recomputed, sessions deleted, methods get new versions. vbn --freeze NAME
    asks and draws from the freeze; vbn query, plot and export take --freeze NAME, too. Its files are in the
    array store: vbn backup saves them, and vbn gc spares them.
    """


@command.command("create")
@click.argument("name")
@OF_UNITS
@TABLES
@click.option("--description", default="", help="What it is for.")
@click.option(
    "--without-notes",
    is_flag=True,
    help="Leave out the notes and lists of people, but the lists that --list names.",
)
@json_option()
def create_freeze(
    name: str, tables: tuple[str, ...], description: str, without_notes: bool, as_json: bool, **options: Any
) -> None:
    """Freeze the present rows, all of them or those of some sessions, under NAME.

    Options that choose units keep all that their sessions have, since populations and controls are made of
    all units, and the chosen ones as the list NAME: vbn --freeze NAME query units --list NAME. With --session
    alone, these sessions are kept. Imported tables are always kept; --table leaves out other computed tables.
    All rows are of one moment. Workers and admins make freezes.

    \b
    Examples:
      vbn freeze create submission
      vbn freeze create figure-2 --structure VISp --criteria bennett_2025 --description "units of figure 2"
      vbn freeze create pilot --session 1053941483 --table Psth,ChangeResponse
    """
    import schemas
    from populate.output.as_json import print_json
    from populate.output.freeze.create import create
    from populate.output.freeze.request import request_for
    from schemas import queries
    from schemas.server.published import require_database

    require_database("freeze it")
    schemas.connect()
    filters = {
        key: _plain(value) for key, value in options.items() if value and NOT_FILTERS.get(key) != value
    }
    units = units_of(queries, options) if set(filters) - {"session"} else None
    named = [each for key in ("lists", "not_list") for each in options[key]]
    request = request_for(
        name, units=units, sessions=options["session"], tables=tables, lists=named, filters=filters,
        description=description, made_from=command_line(), with_notes=not without_notes,
    )  # fmt: skip
    made = create(request)
    if as_json:
        print_json(made)
        return
    counts = made.counts
    click.echo(
        f"{name}: {counted(counts['sessions'], 'session')}, {counted(counts['units'], 'unit')}, "
        f"{counts['rows']:,} rows in {counts['tables']} tables ({made.size_bytes / 1e6:,.1f} MB), "
        f"{counted(counts['arrays'], 'array')} kept in the store."
    )
    click.echo(f"Ask it with: vbn --freeze {name} query units")


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@command.command("list")
@OUTPUT
def list_freezes(**options: Any) -> None:
    """Show the freezes: what each has, by whom, when, and what for.

    \b
    Example:
      vbn freeze list
    """
    from populate.commands.answer import answer
    from populate.output.freeze.records import freezes

    answer(lambda _queries: freezes(), options, "")


@command.command("show")
@click.argument("name")
@click.option(
    "--check", is_flag=True, help="Read all its files in the store, and compare them with their hashes."
)
@json_option()
def show_freeze(name: str, check: bool, as_json: bool) -> None:
    """Show what the freeze NAME has: filters, numbers, tables, and how it was made.

    With --check, exit code 1 says that the store has lost a part of it.

    \b
    Examples:
      vbn freeze show figure-2
      vbn freeze show figure-2 --check
    """
    from populate.output.as_json import print_json
    from populate.output.freeze.records import about, damage

    row = about(name)
    found = damage(name) if check else []
    if as_json:
        print_json({**row, "damage": found if check else None})
    else:
        click.echo("\n".join(_lines(row)))
        click.echo("\n".join(found) or "All its files are in the store, as they were.") if check else None
    raise SystemExit(1 if found else 0)


def _lines(row: dict[str, Any]) -> list[str]:
    scope, counts = row["freeze_scope"], row["freeze_counts"]
    filters = "; ".join(f"{name} {_shown(value)}" for name, value in sorted(scope["filters"].items()))
    chosen = scope["n_chosen_units"]
    return [
        f"{row['freeze_name']}: {row['freeze_description'] or 'no description'}",
        f"made      {row['frozen_at']:%Y-%m-%d %H:%M} UTC by {row['freeze_author']}",
        f"version   vbn-datajoint {row['freeze_package_version']}",
        f"command   {row['freeze_made_from']}",
        f"filters   {filters or 'none'}",
        f"holds     {counted(counts['sessions'], 'session')}, {counted(counts['units'], 'unit')}"
        + ("" if chosen is None else f" ({chosen:,} chosen)")
        + f", {counts['rows']:,} rows in {counts['tables']} tables, {counted(counts['arrays'], 'array')}",
        f"computed  {', '.join(scope['tables']) if scope['tables'] is not None else 'all tables'}",
        f"digest    {row['freeze_digest']}",
    ]


@command.command("diff")
@click.argument("name")
@json_option()
def diff_freeze(name: str, as_json: bool) -> None:
    """Show what has changed since the freeze NAME: rows with other values, gone, new, and made otherwise.

    Tables without a difference are left out.

    \b
    Example:
      vbn freeze diff figure-2
    """
    import sys

    import pandas as pd

    from populate.output.as_json import print_json
    from populate.output.freeze.differences import differences
    from populate.output.rendering import render

    found = [each.to_row() for each in differences(name)]
    if as_json:
        print_json(found)
    elif found:
        render(pd.DataFrame(found), "table", sys.stdout, None)
    else:
        click.echo(f"Nothing has changed since the freeze {name}.")


@command.command("export")
@click.argument("name")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--without-arrays", is_flag=True, help="Leave out the arrays: spike times, running, counts ...")
@click.option("--with-notes", is_flag=True, help="Hand on the notes and lists of people, too.")
@json_option()
def export_freeze(name: str, folder: Path, without_arrays: bool, with_notes: bool, as_json: bool) -> None:
    """Write the freeze NAME into a new folder DIR, for a repository: everybody can open it.

    It is a folder as vbn publish writes it, with METHODS.md: data, sessions, filters, parameter sets,
    versions and sources to cite. vbn --published DIR asks and draws from it anywhere, without the database.

    \b
    Examples:
      vbn freeze export figure-2 figure-2-data
      vbn --published figure-2-data query units --list figure-2
    """
    from populate.output.as_json import print_json
    from populate.output.freeze.records import export

    done = export(name, folder, arrays=not without_arrays, with_notes=with_notes)
    if as_json:
        print_json({**vars(done), "folder": str(done.folder)})
        return
    click.echo(
        f"{folder}: {done.n_files:,} files, {counted(done.n_arrays, 'array')} among them, "
        f"{done.n_bytes / 1e6:,.1f} MB. Open it with: vbn --published {folder} query units"
    )


@command.command("drop")
@click.argument("name")
@click.option("--reason", default="", help="Reason, for the record.  [required]")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def drop_freeze(name: str, reason: str, yes: bool) -> None:
    """Drop the freeze NAME, if it is yours; admins drop any. It cannot be made again.

    Folders that it was exported to stay. vbn deletions shows who dropped what, when and why.

    \b
    Example:
      vbn freeze drop pilot --reason "not used in the paper"
    """
    from populate.admin.deletion import checked_reason
    from populate.output.freeze.records import about, drop

    reason = checked_reason(reason)
    row = about(name)
    click.echo("\n".join(_lines(row)))
    if not yes:
        _confirm()
    drop(name, reason)
    click.echo(f"{name}: dropped. Its files stay in the store until: vbn gc")


def _confirm() -> None:
    """Raise SettingError unless somebody says yes."""
    from vbn.errors import SettingError

    try:
        is_confirmed = click.confirm("Drop this freeze, which cannot be made again?", err=True)
    except click.Abort:
        is_confirmed = False
    if not is_confirmed:
        raise SettingError("Nothing was dropped.")
