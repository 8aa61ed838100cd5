"""``vbn calibrate``."""

from pathlib import Path

import click

from populate.commands.options import json_option, listed_option


@click.command("calibrate")
@click.option("--sessions", type=int, default=40, show_default=True, help="Sessions to simulate.")
@click.option("--units", type=int, default=50, show_default=True, help="Units per session and world.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same numbers.")
@listed_option("--world", "worlds", help="Only this world, by default all")
@listed_option("--column", "columns", help="Only this column, Table.column or Table, by default all")
@click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Processes to run."
)
@click.option(
    "--write", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write all results as Markdown."
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of what is done, to go on from.  [default: PAGE.scores.jsonl with --write PAGE.md, else none]",
)
@json_option("Print all results as JSON.")
def command(
    sessions: int,
    units: int,
    seed: int,
    worlds: tuple[str, ...],
    columns: tuple[str, ...],
    processes: int,
    page: Path | None,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Test p-values, flags, indices and latencies on simulated units of which the truth is known.

    Needs no database. A session takes about 2.5 s per unit; interrupted, it shows what is done. With --write
    or --keep, the same command goes on from there, also after it was killed, and after a change of a table's
    method version only that table is tested again. docs/calibration.md is what --write writes.

    \b
    Example:
      vbn calibrate --sessions 4 --units 10 --world ou_60 --column ImageSelectivity
      vbn calibrate --processes 2 --write docs/calibration.md
    """
    import sys
    from dataclasses import asdict

    import pandas as pd
    from tqdm import tqdm

    from populate.output.as_json import print_json
    from populate.output.calibration import calibrate
    from populate.output.rendering import render
    from populate.output.terminal import data_stream
    from vbn.calibration.report import as_page, verdicts
    from vbn.calibration.run import CalibrationSettings, Part, Scores, all_parts, summarize
    from vbn.whole_files import whole_file

    settings = CalibrationSettings(sessions, units, seed, worlds, columns)
    parts = all_parts(settings)
    kept = keep or (page and page.with_suffix(".scores.jsonl"))
    found: dict[Part, Scores] = {}
    with tqdm(total=len(parts), unit="table", disable=not sys.stderr.isatty()) as bar:
        try:
            for part, scores in calibrate(settings, processes, kept):
                found[part] = scores
                bar.update()
        except KeyboardInterrupt:
            if not found:
                raise
    done = [part for part in parts if part in found]
    cells = summarize([found[part] for part in done])
    if as_json:
        keys = pd.DataFrame([cell.key for cell in cells])
        frame = keys.join(pd.DataFrame(map(asdict, cells)).drop(columns="key"))
        print_json(frame)
    else:
        render(pd.DataFrame(verdicts(cells)), "table", data_stream())
    if len(done) < len(parts):
        goes_on = "; the same command goes on from there" if kept else ""
        click.echo(
            f"vbn: interrupted; this is of {len(done)} of {len(parts)} tables of all worlds and sessions"
            f"{goes_on}.",
            err=True,
        )
        click.get_current_context().exit(130)
    if page:
        with whole_file(page) as path:
            path.write_text(as_page(cells, settings))
