"""``vbn calibrate``."""

from pathlib import Path

import click


@click.command("calibrate")
@click.option("--sessions", type=int, default=40, show_default=True, help="Sessions to simulate.")
@click.option("--units", type=int, default=50, show_default=True, help="Units per session and world.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same numbers.")
@click.option("--world", "worlds", multiple=True, help="Only this world; may be repeated.  [default: all]")
@click.option(
    "--column",
    "columns",
    multiple=True,
    help="Only this column, Table.column or Table; may be repeated.  [default: all]",
)
@click.option(
    "--write", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write all results as Markdown."
)
@click.option("--json", "as_json", is_flag=True, help="Print all results as JSON.")
def command(
    sessions: int,
    units: int,
    seed: int,
    worlds: tuple[str, ...],
    columns: tuple[str, ...],
    page: Path | None,
    as_json: bool,
) -> None:
    """Test p-values, flags, indices and latencies on simulated units of which the truth is known.

    Needs no database. A session takes about 2.5 s per unit; interrupted, it shows the sessions that are done.
    docs/calibration.md is what --write writes.

    \b
    Example:
      vbn calibrate --sessions 4 --units 10 --world ou_60 --column ImageSelectivity
      vbn calibrate --write docs/calibration.md
    """
    import sys
    from dataclasses import asdict

    import numpy as np
    import pandas as pd
    from tqdm import tqdm

    from populate.output.rendering import render
    from populate.output.terminal import data_stream
    from vbn.calibration.report import as_page, verdicts
    from vbn.calibration.run import CalibrationSettings, Scores, session_scores, summarize
    from vbn.whole_files import whole_file

    settings = CalibrationSettings(sessions, units, seed, worlds, columns)
    done: list[Scores] = []
    steps = sessions * len(settings.chosen_worlds)
    interrupted = False
    with tqdm(total=steps, unit="world", disable=not sys.stderr.isatty()) as bar:
        try:
            for index in range(sessions):
                done.append(session_scores(settings, index, advance=bar.update))
        except KeyboardInterrupt:
            if not done:
                raise
            interrupted = True
    cells = summarize(done)
    if as_json:
        keys = pd.DataFrame([cell.key for cell in cells])
        frame = keys.join(pd.DataFrame(map(asdict, cells)).drop(columns="key"))
        frame = frame.replace([np.inf, -np.inf], np.nan)
        render(frame, "json", data_stream())
    else:
        render(pd.DataFrame(verdicts(cells)), "table", data_stream())
    if interrupted:
        click.echo(f"vbn: interrupted; this is of {len(done)} of {sessions} sessions.", err=True)
        click.get_current_context().exit(130)
    if page:
        with whole_file(page) as path:
            path.write_text(as_page(cells, settings))
