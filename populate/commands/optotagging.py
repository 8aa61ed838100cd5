"""``vbn optotagging``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from populate.commands.answer import ALLOW_MIXED, printing_warnings
from populate.commands.options import PROJECT, json_option, listed_option
from populate.commands.whole_sentences import WholeSentences

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


@click.group("optotagging", cls=WholeSentences)
def command() -> None:
    """Summarize which units respond to the laser."""


@command.command("report")
@listed_option("--method", "methods", help="Only this method")
@PROJECT
@ALLOW_MIXED
@json_option()
def report(methods: tuple[str, ...], project: tuple[str, ...], allow_mixed: bool, as_json: bool) -> None:
    """Show the share of tagged units by Cre line and method; in wild types it is the false-positive rate.

    \b
    Example:
      vbn optotagging report --method bennett_2025
    """
    import sys

    import schemas
    from populate.output.as_json import print_json
    from populate.output.optotagging_report import shares_by_line
    from populate.output.rendering import render
    from populate.output.terminal import console, on_terminal

    schemas.connect()
    with printing_warnings():
        shares = shares_by_line(methods, project=list(project) or None, allow_mixed=allow_mixed)
    if as_json:
        print_json(shares)
        return
    if not on_terminal():
        render(shares, "table", sys.stdout)
    else:
        console().print(_as_table(shares))
    click.echo("The share in wild types, whose cells have no opsin, is the method's false-positive rate.")


def _as_table(shares: pd.DataFrame) -> Table:
    """Return the shares with a frame, in per cent."""
    from rich.table import Table

    from populate.output.terminal import plain

    table = Table("method", "line", "sessions", "units", "pass", "share", "95 % interval (%)")
    for row in shares.to_dict("records"):
        interval = f"{100 * row['share_low']:.2f}-{100 * row['share_high']:.2f}"
        counts = (str(row[name]) for name in ("n_sessions", "n_units", "n_passing"))
        table.add_row(plain(row["method"]), plain(row["line"]), *counts, f"{row['share']:.2%}", interval)
    return table
