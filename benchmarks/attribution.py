"""What encoding models say drives units of which it is known: share of units in each world, for two sets.

python -m benchmarks.attribution                             # 5 sessions, 10 units of each world
python -m benchmarks.attribution --write                     # and put the table into docs/encoding.md
python -m benchmarks.attribution --sessions 1 --worlds poisson image_tuned

Sessions are those of `vbn.calibration`, as long as the release's. Each session and set that is done is a line
of a file, so that a run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import inspect
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import with_table
from vbn.analysis.encoding.parameters import ENCODING
from vbn.calibration import events, trains, worlds
from vbn.calibration.worlds import WORLDS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "encoding.md"
SETS = ("calibrated_active", "allen_v110_active")
KINDS = {
    "images": "all_images",
    "omissions": "omissions",
    "task": "task",
    "running": "running",
    "pupil": "pupil",
    "licks": "lick_bouts",
}
"""Column of the table -> dropout."""
LEAST_LOSS = 0.01
"""The published criterion: more variance explained than this is lost without some kernels."""
ELSEWHERE = ("few_events", "full_field", "gabor_tuned", "laser")
"""Worlds without anything in the task that a model could find or miss."""
Shares = dict[str, dict[str, list[float]]]
"""World -> column -> number of units of which it is true, number of units."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_options(arguments)
    of_sets = {
        name: added(scored(session, name, options) for session in range(options.sessions)) for name in SETS
    }
    table = as_markdown(of_sets, options.worlds)
    print(f"{options.sessions} sessions, {options.units} units of each world, {options.minutes:g} minutes\n")
    print(table)
    if options.write:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    known = [name for name in WORLDS if name not in ELSEWHERE]
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--sessions", type=int, default=5)
    made.add_argument("--units", type=int, default=10, help="of each world and session")
    made.add_argument("--minutes", type=float, default=worlds.WHOLE_MINUTES, help="length of a session")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--worlds", nargs="+", default=known, choices=known, metavar="WORLD")
    made.add_argument(
        "--keep", type=Path, default=Path("attribution.scores.jsonl"), help="file of what is done"
    )
    made.add_argument("--write", action="store_true", help="put the table into docs/encoding.md")
    return made.parse_args(arguments)


def scored(session: int, name: str, options: argparse.Namespace) -> Shares:
    """Return the shares of a session and set: of the file, or computed and put there."""
    asked = {"session": session, "set": name, "made_with": made_with(name, options)}
    for line in options.keep.read_text().splitlines() if options.keep.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # a run was ended while it wrote
        if {key: row.get(key) for key in asked} == asked:
            return dict(row["shares"])
    shares = score(session, name, options)
    with options.keep.open("a") as file:
        file.write("\n" * (file.tell() > 0) + json.dumps({**asked, "shares": shares}))
    return shares


def made_with(name: str, options: argparse.Namespace) -> list[object]:
    """Return what shares depend on, so that those of another kind are not taken for them."""
    from vbn.analysis import encoding
    from vbn.analysis.encoding import design, model, psth, ridge, sums

    modules = (worlds, trains, events, encoding, design, model, psth, ridge, sums)
    code = "".join(inspect.getsource(module) for module in modules) + repr(ENCODING[name])
    asked = [options.units, options.minutes, options.seed, *options.worlds]
    return [zlib.crc32(code.encode()), *asked]


def score(session: int, name: str, options: argparse.Namespace) -> Shares:
    """Simulate a session, fit its units, and count those that are explained, and lose much of it."""
    from vbn.analysis.encoding.model import encoding_model
    from vbn.calibration.columns import as_spikes
    from vbn.calibration.events import simulate_events

    happens = simulate_events(options.seed, session, options.minutes)
    drawn = []
    for world in options.worlds:
        # A world's units are the same whichever other worlds are asked for.
        rng = np.random.default_rng([options.seed, session, zlib.crc32(world.encode())])
        drawn += [WORLDS[world].draw(rng, happens) for _ in range(options.units)]
    result = encoding_model(*as_spikes(drawn), traces(happens), ENCODING[name], session)
    found: Shares = {}
    for number, world in enumerate(options.worlds):
        units = slice(number * options.units, (number + 1) * options.units)
        explained = result.is_explained[units]
        counts = {"explained": explained} | {
            column: explained & (result.measure(dropout, "change")[units] < -LEAST_LOSS)
            for column, dropout in KINDS.items()
        }
        found[world] = {column: [float(true.sum()), options.units] for column, true in counts.items()}
    return found


def traces(happens):
    from vbn.analysis.encoding.design import SessionTraces
    from vbn.analysis.task.flash_behavior import flash_behavior

    flashes = flash_behavior(happens.presentations, happens.trials, happens.lick_times_s)
    eye = (happens.grid_s, happens.pupil_area, happens.blink)
    return SessionTraces(flashes, happens.lick_times_s, (happens.grid_s, happens.speed), eye)


def added(sessions: Iterator[Shares]) -> Shares:
    """Return the numbers of several sessions together."""
    found: Shares = {}
    for shares in sessions:
        for world, columns in shares.items():
            for column, (true, n) in columns.items():
                before = found.setdefault(world, {}).get(column, [0.0, 0.0])
                found[world][column] = [before[0] + true, before[1] + n]
    return found


def as_markdown(of_sets: dict[str, Shares], chosen: Sequence[str]) -> str:
    """Return the table: a row for each world, the sets beside each other; a share of 0 is left empty."""
    columns = ["explained", *KINDS]
    head = ["world", *columns * len(of_sets)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for world in chosen:
        cells = [
            "" if column != "explained" and not true else f"{true / n:.2f}"
            for shares in of_sets.values()
            for column in columns
            for true, n in [shares[world][column]]
        ]
        lines.append(f"| {world} |" + "".join(f" {cell} |" if cell else " |" for cell in cells))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
