"""``vbn status``."""

from dataclasses import asdict
from typing import Any

import click

from populate.commands.module_option import module_option
from populate.commands.options import json_option


@click.command("status")
@json_option()
@click.option(
    "--watch", type=click.FloatRange(0.5), is_flag=False, flag_value=5.0, metavar="[SECONDS]",
    help="Refresh at this interval (5 s by default), until Ctrl-C.",
)  # fmt: skip
@module_option
def command(as_json: bool, watch: float | None) -> None:
    """Show how many entries of each table are done, reserved and failed.

    The total is the number of registered sessions times parameter sets.

    \b
    Examples:
      vbn status --json
      vbn status --watch 10
    """
    import schemas
    from populate.output.as_json import print_json
    from populate.output.terminal import console
    from populate.work.status import sessions_per_project, table_status

    if watch is not None:
        if as_json:
            raise click.UsageError("--watch cannot be combined with --json.")
        _watch(watch)
        return
    database = schemas.connect()
    states = table_status()
    if as_json:
        print_json(states)
        return
    console().print(_as_table(str(database), states), soft_wrap=True)
    if len(counts := sessions_per_project()) > 1:
        click.echo(f"Sessions: {', '.join(f'{n} of {name}' for name, n in counts.items())}.")
    if any(state.errors for state in states):
        click.echo("See the failures with: vbn errors")
    _say_spaces(database)


def _say_spaces(database: Any) -> None:
    """Say whose personal schemas there are, with how many tables of which size."""
    from populate.admin.spaces import spaces
    from populate.work.quotas import described_size
    from vbn.errors import shortened

    for state in spaces(database):
        size = described_size(state.size_bytes)
        over = f", more than its {described_size(state.quota_bytes or 0)}" if state.is_too_large else ""
        over += ", so that its owner may not add to it" if state.closed_at else ""
        tables = f"{state.n_tables} table{'s' * (state.n_tables != 1)}"
        click.echo(f"space {state.name} of {shortened(state.owner)}: {tables}, {size}{over}")


def _as_table(title: str, states: list[Any]) -> Any:
    """Return the states as a table, on a terminal with a frame."""
    import pandas as pd
    from rich.table import Table
    from rich.text import Text

    from populate.output.rendering import aligned_lines
    from populate.output.terminal import on_terminal, plain

    if not on_terminal():
        lines = aligned_lines(pd.DataFrame(map(asdict, states)))
        return Text("\n".join([str(plain(title)), *lines]), no_wrap=True, overflow="ignore")
    table = Table(title=plain(title), title_justify="left")
    table.add_column("table")
    for name in ("done", "total", "reserved", "errors"):
        table.add_column(name, justify="right")
    for state in states:
        style = "red" if state.errors else ("green" if state.total and state.done == state.total else None)
        table.add_row(
            state.table,
            *(str(n) for n in (state.done, state.total, state.reserved, state.errors)),
            style=style,
        )
    return table


def _watch(pause_s: float) -> None:
    """Show the states at intervals; wait while the server is away."""
    import time
    from datetime import datetime

    from rich.console import Group
    from rich.live import Live

    from populate.output.terminal import console, plain
    from populate.work.interruption import noticing_interruptions
    from populate.work.status import watched_status

    shown: Any = "Connecting ..."
    with (
        noticing_interruptions() as interruptions,
        Live(shown, console=console(), auto_refresh=False, vertical_overflow="visible") as live,
    ):
        for place, states, problem in watched_status():
            if states:
                shown = _as_table(place, states)
            now = datetime.now().astimezone().strftime("%H:%M:%S")
            line = plain(f"{now}  {problem or 'Ctrl-C stops this.'}")
            live.update(Group(shown, line), refresh=True)
            time.sleep(pause_s)
            interruptions.raise_swallowed()
