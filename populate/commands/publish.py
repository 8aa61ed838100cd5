"""``vbn publish``."""

from __future__ import annotations

from pathlib import Path

import click

from populate.commands.options import json_option, listed_option


@click.command("publish")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--arrays", is_flag=True, help="Copy the arrays, too: spike times, running, counts ...")
@listed_option(
    "--include",
    metavar="MODULE[,MODULE...]",
    help="Publish these private modules, too: curation (lists and notes of people), administration",
)
@click.option("--check", is_flag=True, help="Publish nothing: compare all files with their checksums.")
@json_option()
def command(folder: Path, arrays: bool, include: tuple[str, ...], check: bool, as_json: bool) -> None:
    """Publish all tables in the folder DIR: Parquet files with descriptions, parameters and checksums.

    DIR has a README with ten lines each for polars, DuckDB, pandas, R and SQL; vbn --published DIR asks it
    as a database. All tables are of one moment, and the same rows give the same bytes. Of a folder that was
    published before, only tables and sessions that have changed are read again; after an interruption the
    same command goes on. Accounts, jobs, errors and paths of machines are left out.

    \b
    Examples:
      vbn publish release-tables
      vbn publish release-tables --arrays
      vbn publish release-tables --check
    """
    from populate.output.as_json import print_json

    if check:
        from populate.output.publish.checking import changed_files

        damage = changed_files(folder)
        if as_json:
            print_json(damage)
        else:
            click.echo("\n".join(damage) or f"{folder}: all files are as they were published.")
        raise SystemExit(1 if damage else 0)
    from populate.output.publish.publication import publish

    done = publish(folder, arrays=arrays, include=include)
    if as_json:
        print_json(vars(done) | {"folder": str(done.folder)})
        return
    click.echo(
        f"{folder}: {done.n_rows:,} rows in {done.n_tables} tables, {done.n_bytes / 1e6:,.1f} MB"
        + (f", {done.n_arrays:,} arrays" if arrays else "")
        + f"; version {done.version}."
    )
    click.echo(
        f"Written: {len(done.written)} tables, {done.n_read:,} rows read from the database."
        if done.written
        else "Nothing has changed since."
    )
