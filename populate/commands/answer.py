"""Answering a query: the options of its output, its rows printed or saved, and what it warns of."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from populate.commands.options import ROWS_WHERE, json_option, options

if TYPE_CHECKING:
    import pandas as pd

OUTPUT = options(
    click.option("--columns", help="Names of columns, separated by commas.  [default: all]"),
    click.option(
        "--sort", help="Names of columns to sort by, separated by commas; -NAME for the greatest first."
    ),
    click.option(
        "--limit",
        type=click.IntRange(min=0),
        help="Rows of the answer; 0 for all.  [default: 100 on a terminal, else all]",
    ),
    click.option(
        "--format", "kind", type=click.Choice(["table", "csv", "parquet", "json"]), help="Output format."
    ),
    json_option("Print JSON, as --format json does."),
    click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write."),
)
LISTED = options(
    ROWS_WHERE,
    click.option("--columns", help="Names of columns, separated by commas: a table of these."),
)
"""Options of commands that list what is no query of the server: `asked_of_list` answers them."""
SAVE_LIST = options(
    click.option("--save-list", metavar="NAME", help="Save the answer as a named list (vbn lists), too."),
    click.option("--description", default="", help="What the list is for."),
    click.option("--replace", is_flag=True, help="Put it in the place of your list of this name."),
)
SAVE_SPIKES = click.option(
    "--pynapple",
    "spikes_out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.npz",
    help="Save the spikes of the answer's units, too, all of one session, as a TsGroup with the --columns as "
    "metadata: pynapple.load_file(FILE.npz).",
)
ALLOW_MIXED = click.option(
    "--allow-mixed", is_flag=True, help="Include results of earlier methods, which vbn recompute replaces."
)
MISSING = click.option(
    "--missing",
    type=click.Choice(["error", "drop"]),
    default="error",
    show_default=True,
    help="What to do with units that are not computed yet.",
)


def option_names(option: str | None) -> list[str]:
    """Return the names in an option that takes several."""
    return [name.strip() for name in (option or "").split(",") if name.strip()]


def fetched(query: Any) -> pd.DataFrame:
    """Return the rows of a query, with whole numbers whole."""
    from schemas.rows.fetch import fetch_frame

    return fetch_frame(query, nullable_integers=True)


def answer(query: Callable[[Any], pd.DataFrame], options: dict[str, Any], shown: str) -> None:
    """Run a query, warn of missing results, and print or save it.

    Parameters
    ----------
    query : function that takes `schemas.queries` and returns the rows.
    options : values of the options in `OUTPUT`, and of ``ROWS_WHERE`` where a command has it.
    shown : names of the columns that a table has by default, or the field's words for them, with blanks
        between; all, if there are none.
    """
    import schemas
    from populate.output.rendering import ROWS_SHOWN, format_for, render, save, sorted_by, with_columns
    from populate.output.terminal import data_stream, on_terminal
    from schemas import queries
    from schemas.queries.words import our_name

    kind, out, limit = _chosen_kind(options), options["out"], options["limit"]
    kind = format_for(kind, out)
    names = option_names(options["columns"])
    schemas.connect()
    with printing_warnings():
        frame = query(queries)
    if conditions := options.get("rows_where"):
        from schemas.queries.rows_where import rows_that_meet

        frame = rows_that_meet(frame, conditions)
    frame = sorted_by(frame, option_names(options["sort"]))
    if options.get("save_list"):
        _save_list(frame.head(limit) if limit else frame, options)
    if options.get("spikes_out"):
        _save_spikes(frame.head(limit) if limit else frame, names, options)
    if not names and kind == "table":
        known = [our_name(word, [str(name) for name in frame]) for word in shown.split()]
        names = [name for name in dict.fromkeys(known) if name is not None]
    frame = with_columns(frame, names)
    if out is not None:
        saved = frame.head(limit) if limit else frame
        save(saved, kind, out)
        click.echo(f"{out}: {len(saved):,} rows.", err=True)
    elif kind == "table":
        default = ROWS_SHOWN if on_terminal() else 0
        render(frame, kind, sys.stdout, (default if limit is None else limit) or None)
    else:
        render(frame.head(limit) if limit else frame, kind, data_stream())


def asked_of_list(
    rows: Sequence[dict[str, Any]], names: Sequence[str], conditions: Sequence[str], columns: str | None
) -> list[dict[str, Any]]:
    """Return the rows of a list that meet conditions, with the columns that are asked for.

    Parameters
    ----------
    rows, names : the list, and its columns, all of which each row has.
    conditions, columns : values of the options in `LISTED`.

    Raises
    ------
    SettingError, NotFoundError
        If a column or value does not exist, with the nearest, or a condition cannot be understood.
    """
    from schemas.queries.words import our_names

    found = places_that_meet(rows, names, conditions)
    wanted = our_names("column", option_names(columns), list(names)) or names
    return [{name: rows[at][name] for name in wanted} for at in found]


def places_that_meet(
    rows: Sequence[dict[str, Any]], names: Sequence[str], conditions: Sequence[str]
) -> list[int]:
    """Return the places in a list of the rows that meet conditions; see `asked_of_list`."""
    import pandas as pd

    from schemas.queries.rows_where import rows_that_meet

    return list(rows_that_meet(pd.DataFrame(list(rows), columns=list(names)), conditions).index)


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows, all of whose values stand as they are, as a table."""
    import pandas as pd

    from populate.output.rendering import aligned_lines

    for line in aligned_lines(pd.DataFrame(list(rows)).replace({True: "yes", False: "no"})):
        click.echo(line)


def command_line() -> str:
    """Return the command that is run, for the record."""
    words = click.get_current_context().find_root().obj or ()
    return shlex.join(["vbn", *words])


def say_saved(saved: Any) -> None:
    """Say what became of a list."""
    repeated = f", {saved.n_repeated:,} of them given twice or more" if saved.n_repeated else ""
    missing = f", {len(saved.missing):,} left out that are not here" if saved.missing else ""
    click.echo(f"{saved.name}: a list of {saved.n_listed:,} {saved.kind}{repeated}{missing}.", err=True)


def _save_list(frame: pd.DataFrame, options: dict[str, Any]) -> None:
    from schemas import queries

    about = {"description": options["description"], "replace": options["replace"]}
    say_saved(queries.save_list(options["save_list"], frame, made_from=command_line(), **about))


def _save_spikes(frame: pd.DataFrame, columns: Sequence[str], options: dict[str, Any]) -> None:
    from schemas import queries
    from vbn.counted import counted
    from vbn.errors import SettingError
    from vbn.whole_files import whole_file

    out = options["spikes_out"]
    if out.suffix != ".npz":
        raise SettingError(f"'{out}' must end in .npz, as files of pynapple do.")
    units = queries.units() & [{"unit_id": int(unit_id)} for unit_id in frame["unit_id"]]
    if len(sessions := sorted(set(units.to_arrays("session_id").tolist()))) > 1:
        raise SettingError(
            f"A TsGroup is of one session, as each has its own clock, and these are of {len(sessions)}. "
            f"Choose one, such as: --session {sessions[0]}"
        )
    methods = {name: options[name] for name in ("optotag_method", "atlas") if options[name]}
    group = queries.to_pynapple(units, columns, **methods)
    with whole_file(out) as part:
        group.save(str(part))
    click.echo(f"{out}: a TsGroup of {counted(len(group), 'unit')}.", err=True)


def _chosen_kind(options: dict[str, Any]) -> str | None:
    """Return the format that was asked for in either way."""
    kind: str | None = options["kind"]
    if options["as_json"] and kind not in (None, "json"):
        raise click.UsageError(f"--json and --format {kind} cannot be combined.")
    return "json" if options["as_json"] else kind


@contextlib.contextmanager
def printing_warnings() -> Iterator[None]:
    """Print the warnings of queries as messages of the command."""
    import warnings

    from schemas import queries

    with warnings.catch_warnings(record=True) as caught:
        for category in (queries.IncompleteWarning, queries.EarlierMethodWarning):
            warnings.simplefilter("always", category)
        yield
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        click.echo(f"vbn: {message}", err=True)
