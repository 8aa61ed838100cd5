"""``vbn calibrate``."""

from pathlib import Path

import click

from populate.commands.options import json_option, listed_option


@click.command("calibrate")
@click.option("--sessions", type=int, default=40, show_default=True, help="Sessions to simulate.")
@click.option(
    "--mixtures",
    type=int,
    help="Sessions of the worlds `mixed...`, where more than --sessions: false discoveries need more than "
    "rates.  [default: 200; where --column or --world are given, as many as --sessions]",
)
@click.option("--units", type=int, default=50, show_default=True, help="Units per session and world.")
@click.option(
    "--models",
    type=int,
    help="Sessions for the tables of models and populations, which have units of their own; 0 for none.  "
    "[default: 40; where --column or --world name one of models, as many as --sessions, else none]",
)
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
    mixtures: int | None,
    units: int,
    models: int | None,
    seed: int,
    worlds: tuple[str, ...],
    columns: tuple[str, ...],
    processes: int,
    page: Path | None,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Test p-values, flags, indices and latencies on simulated units whose truth is known.

    Also of models: encoding, decoding, pairs, timescales, strategies. Needs no database. A session takes
    about 2.5 s per unit, one of models a minute, one in four of them three; interrupted, it shows what is
    done. With --write or --keep, the same command goes on from there, also after it was killed, and after a
    change of a table's method version only that table is tested again. docs/calibration.md is what --write
    writes.

    \b
    Example:
      vbn calibrate --sessions 4 --units 10 --world ou_60 --column ImageSelectivity
      vbn calibrate --sessions 4 --column Decoding --column FunctionalConnectivity
      vbn calibrate --processes 2 --write docs/calibration.md
    """
    import sys
    from dataclasses import asdict

    import pandas as pd
    from tqdm import tqdm

    from populate.output.as_json import print_json
    from populate.output.calibration import calibrate, chosen_settings, parts_to_score
    from populate.output.rendering import render
    from populate.output.terminal import data_stream
    from vbn.calibration.models.report import model_section, model_verdicts
    from vbn.calibration.report import as_page, verdicts
    from vbn.calibration.run import Part, Scores, summarize
    from vbn.whole_files import whole_file

    settings, of_models = chosen_settings(sessions, units, models, seed, worlds, columns, mixtures)
    runs = [each for each in (settings, of_models) if each is not None]
    parts = [parts_to_score(each) for each in runs]
    kept = keep or (page and page.with_suffix(".scores.jsonl"))
    found: dict[Part, Scores] = {}
    with tqdm(total=sum(map(len, parts)), unit="table", disable=not sys.stderr.isatty()) as bar:
        try:
            for each in runs:
                own = kept if each is settings or kept is None else models_file(kept)
                for part, scores in calibrate(each, processes, own):
                    found[part] = scores
                    bar.update()
        except KeyboardInterrupt:
            if not found:
                raise
    done = [[part for part in of if part in found] for of in parts]
    cells = {id(each): summarize([found[part] for part in of]) for each, of in zip(runs, done, strict=True)}
    of_units, of_populations = cells.get(id(settings), []), cells.get(id(of_models), [])
    if as_json:
        every = [*of_units, *of_populations]
        keys = pd.DataFrame([cell.key for cell in every])
        frame = keys.join(pd.DataFrame(map(asdict, every)).drop(columns="key"))
        print_json(frame)
    else:
        rows = pd.DataFrame([*verdicts(of_units), *model_verdicts(of_populations)])
        render(rows.drop(columns="status", errors="ignore"), "table", data_stream())
    n_done, n_parts = sum(map(len, done)), sum(map(len, parts))
    if n_done < n_parts:
        goes_on = "; the same command goes on from there" if kept else ""
        click.echo(
            f"vbn: interrupted; this is of {n_done} of {n_parts} tables of all worlds and sessions{goes_on}.",
            err=True,
        )
        click.get_current_context().exit(130)
    if page:
        lines = [] if of_models is None else list(model_section(of_populations, of_models))
        with whole_file(page) as path:
            if settings is None:  # only tables of models were asked for
                path.write_text("\n".join(lines) + "\n")
            else:
                path.write_text(as_page(of_units, settings, lines, of_models.sessions if of_models else 0))


def models_file(kept: Path) -> Path:
    """Return the file beside that of single units in which the scores of models are kept."""
    stem = kept.name.removesuffix(".jsonl").removesuffix(".scores")
    return kept.with_name(f"{stem}.models.scores.jsonl")
