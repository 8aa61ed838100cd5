"""What is decoded from populations of which it is known what they answer to: accuracy and p in each world.

python -m benchmarks.decoding                                # 9 sessions, 2 populations of each world
python -m benchmarks.decoding --write                        # and put the table into docs/decoding.md

Sessions are those of `vbn.calibration`, as long as the release's; a population is 20 units of one world. Each
session that is done is a line of a file, so that a run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import with_table
from vbn.analysis.decoding.parameters import DEFAULT, LABELS
from vbn.calibration.worlds import WHOLE_MINUTES, WORLDS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "decoding.md"
N_UNITS = 20
LEVEL = 0.05
ELSEWHERE = ("few_events", "full_field", "gabor_tuned", "laser")
"""Worlds without anything in the task that could be decoded."""


def main(arguments: Sequence[str] | None = None) -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--sessions", type=int, default=9)
    made.add_argument("--populations", type=int, default=2, help="of each world and session")
    made.add_argument("--minutes", type=float, default=WHOLE_MINUTES, help="length of a session")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--keep", type=Path, default=Path("decoding.scores.jsonl"), help="file of what is done")
    made.add_argument("--write", action="store_true", help="put the table into docs/decoding.md")
    options = made.parse_args(arguments)
    rows = [row for session in range(options.sessions) for row in measured(session, options)]
    table = as_markdown(rows)
    print(f"{options.sessions} sessions, {options.populations} populations of each world\n\n{table}")
    if options.write:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")


def measured(session: int, options: argparse.Namespace) -> list[dict]:
    """Return what is measured of a session: of the file, or computed and put there."""
    settings = zlib.crc32(repr(DEFAULT).encode())
    asked = [session, options.populations, options.minutes, options.seed, settings]
    for line in options.keep.read_text().splitlines() if options.keep.exists() else ():
        row = json.loads(line)
        if row["asked"] == asked:
            return row["rows"]
    rows = measure(session, options)
    with options.keep.open("a") as file:
        file.write(json.dumps({"asked": asked, "rows": rows}) + "\n")
    return rows


def measure(session: int, options: argparse.Namespace) -> list[dict]:
    from vbn.analysis.decoding.session import decode_session
    from vbn.analysis.task.flash_behavior import flash_behavior
    from vbn.calibration.columns import as_spikes
    from vbn.calibration.events import simulate_events

    happens = simulate_events(options.seed, session, options.minutes)
    names, drawn = [], []
    for world in WORLDS:
        if world in ELSEWHERE:
            continue
        rng = np.random.default_rng([options.seed, session, zlib.crc32(world.encode())])
        for number in range(options.populations):
            drawn += [WORLDS[world].draw(rng, happens) for _ in range(N_UNITS)]
            names += [f"{world}/{number}"] * N_UNITS
    flashes = flash_behavior(happens.presentations, happens.trials, happens.lick_times_s)
    is_auto = happens.trials["auto_rewarded"].to_numpy(bool)
    classes = [None] * len(names)
    result = decode_session(as_spikes(drawn), names, classes, flashes, is_auto, DEFAULT, session)
    rows = [
        {
            "world": found.structure.split("/")[0], "label": label, "accuracy": found.accuracy,
            "random": found.random_accuracy, "p": found.p,
        }
        for label, of in result.decoded.items() for found in of
    ]  # fmt: skip
    choice = zip(names, result.choice.p, strict=True)
    return rows + [{"world": name.split("/")[0], "label": "choice", "p": float(p)} for name, p in choice]


def as_markdown(rows: list[dict]) -> str:
    """Return the table: accuracy, of random folds, and the share with a small p; and that of the units."""
    worlds = list(dict.fromkeys(row["world"] for row in rows))
    head = ["world", *LABELS, "choice"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for world in worlds:
        cells = []
        for label in (*LABELS, "choice"):
            of = [row for row in rows if row["world"] == world and row["label"] == label]
            p = np.array([row["p"] for row in of], dtype=float)
            share = f"{(p[~np.isnan(p)] <= LEVEL).mean():.2f}" if (~np.isnan(p)).any() else ""
            accuracy = [f"{np.mean([row.get(name, 0) for row in of]):.2f}" for name in ("accuracy", "random")]
            cells.append(share if label == "choice" else f"{' '.join(accuracy)} **{share}**")
        lines.append(f"| {world} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
