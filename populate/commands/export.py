"""``vbn export``."""

from __future__ import annotations

from pathlib import Path

import click

from populate.commands.module_option import module_option
from populate.commands.options import ONE_SESSION, takes_freeze
from populate.commands.whole_sentences import WholeSentences
from vbn.counted import counted


class _TableOrNwb(WholeSentences):
    """Treats the first word as the name of a table unless it is a subcommand."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = ["TABLE", *args]  # options may come before the name of the table
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return takes_freeze(super().get_command(ctx, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["TABLE", *args])


@click.group("export", cls=_TableOrNwb, subcommand_metavar="(TABLE | nwb) [OPTIONS]")
def command() -> None:
    """Write tables to files: a TABLE as CSV or Parquet, the results of one session as NWB.

    \b
    Examples:
      vbn export Psth.Unit --where "alignment = 'change_active'" --out psth.parquet
      vbn export nwb --session 1064644573 --out results.nwb
    More about each: vbn export TABLE --help, vbn export nwb --help
    """


@command.command("TABLE")
@click.argument("table", metavar="")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write: .csv or .parquet; with --partition-by, a new folder.",
)
@click.option(
    "--where",
    multiple=True,
    help="Condition on the attributes, such as \"snr > 1 AND quality = 'good'\"; may be repeated, all must "
    "be met.",
)
@click.option("--columns", default="", help="Names of attributes, separated by commas.  [default: all]")
@click.option(
    "--partition-by",
    metavar="ATTRIBUTE",
    help="Write a folder with a Parquet file for each value, for example of session_id; DuckDB and Spark "
    "read it as one table.",
)
@click.option("--arrays", is_flag=True, help="Write the arrays in the store, instead of where they are.")
@module_option
def export_table(
    table: str, out: Path, where: tuple[str, ...], columns: str, partition_by: str | None, arrays: bool
) -> None:
    """Write one table as CSV or Parquet, in the order of its key.

    TABLE is a name in docs/tables.md, a part as Master.Part. Arrays are lists in Parquet and JSON in CSV,
    matrices lists of rows; in CSV, NULL is an empty cell and NaN in an array is null. Times are UTC.
    In CSV, text that a spreadsheet would run as a formula begins with an apostrophe (docs/queries.md).

    \b
    Examples:
      vbn export Recording.Unit --where "snr > 1" --columns unit_id,snr --out units.csv
      vbn export Psth.Unit --partition-by session_id --out psth
    """
    from populate.output import export

    names = [name.strip() for name in columns.split(",") if name.strip()]
    rows = export.export_table(table, out, where, names, arrays=arrays, partition_by=partition_by)
    click.echo(f"{out}: {counted(rows, 'row')} of {table}.")


@command.command("nwb")
@ONE_SESSION
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write: .nwb."
)
@click.option(
    "--tables",
    default="",
    help="Names of computed tables, separated by commas; a master includes its parts.  [default: all]",
)
@click.option("--no-spikes", is_flag=True, help="Leave out the spike times: the file is far smaller.")
def export_nwb(session_id: int, out: Path, tables: str, no_spikes: bool) -> None:
    """Write the computed tables of one session to an NWB file, for a paper, an archive or another tool.

    Units with their spike times are in /units and trials in /intervals/trials, where pynapple, SpikeInterface
    and Neurosift look for them; mean responses are also time series. Rows refer to units and trials by their
    ids in the source file, whose name, size and hash are in /analysis, with versions and parameters.

    \b
    Examples:
      vbn export nwb --session 1064644573 --out results.nwb
      vbn export nwb --session 1064644573 --tables Psth,CellClass --no-spikes --out small.nwb
    """
    from populate.output import export
    from schemas.queries.derived_session import missing_entries

    names = [name.strip() for name in tables.split(",") if name.strip()]
    rows = export.export_nwb(session_id, out, names, with_spikes=not no_spikes)
    click.echo(f"{out}: {len(rows)} tables of session {session_id}.")
    if missing := missing_entries(session_id, names):
        lacking = ", ".join(f"{table} ({count})" for table, count in missing.items())
        click.echo(f"vbn: not computed yet, and not in the file: {lacking}. See vbn status.", err=True)
