"""Faults: nothing is lost, duplicated, incomplete or left behind.

    workers     while workers import and compute, all sorts of faults happen (kinds.py)
    mixed       the same, while people delete, recompute, back up and deploy
    commands    commands of an administrator are killed at random moments (commands.py)
    watch       a worker works for long; its memory and descriptors are watched (watch.py)

    python -m benchmarks.faults workers --faults 120 --seed 1              the embedded server
    python -m benchmarks.faults commands --kills 5 --backend mysql         the server of DJ_HOST

With --write, what was found is added to results.json, and docs/reliability.md is written from that.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.faults import commands, watch, workers
from benchmarks.faults.kinds import FAULTS, STARTS
from benchmarks.faults.report import FOUND, table_of, write_report
from benchmarks.faults.world import Tally, World

CAMPAIGNS = ("workers", "mixed", "commands", "watch")
SET_CHILD_SUBREAPER = 36


class Stopped(BaseException):
    """Somebody ends the run: what is complete is kept."""


def main() -> int:
    """Run, print the table, and return 0 if there was no problem."""
    arguments = _arguments()
    if sys.platform == "linux":  # who is left by its parent becomes ours, and a zombie: we wait for none
        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, _stop)
    entries, is_stopped = [], False
    with contextlib.ExitStack() as stack:
        world = World(arguments, stack)
        for name in arguments.campaigns:
            if is_stopped:
                break
            began, found = time.monotonic(), {}
            world.tally = Tally()
            try:
                _run(name, world, found)
            except Stopped:
                is_stopped = True
            entries.append({**_about(name, world, began), **found, "kinds": world.tally.as_dict()})
            if arguments.write and (entries[-1]["kinds"] or "watch" in found):
                write_report(entries[-1])
    print(table_of(entries))
    return int(any(_is_bad(entry) for entry in entries))


def _stop(*_: object) -> NoReturn:
    raise Stopped


def _run(name: str, world: World, found: dict[str, Any]) -> None:
    """Run a campaign; add what is found to the world's tally and to a dictionary."""
    arguments = world.arguments
    if name == "commands":
        names = [each for each in commands.COMMANDS if _is_wanted(f"kill -9 of vbn {each}", arguments)]
        commands.run(world, arguments.kills, names, _say)
    elif name == "watch":
        found["watch"] = watch.run(world, arguments.minutes, _say)
    else:
        kinds = {
            kind: each
            for kind, each in {**FAULTS, **STARTS}.items()
            if _is_wanted(kind, arguments) and (name == "mixed" or not each.is_of_people)
        }
        found.update(runs=0, found=dict.fromkeys(FOUND, 0))
        for run in workers.run(world, kinds, arguments.faults, _say):
            found["runs"] += 1
            for each in FOUND:
                found["found"][each] += getattr(run.verdict, each)


def _about(name: str, world: World, began: float) -> dict[str, Any]:
    """Return what a campaign was."""
    return {
        "campaign": name,
        "server": world.server.name,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "workers": world.arguments.workers,
        "sessions": world.arguments.sessions + 1,
        "seed": world.arguments.seed,
    }


def _is_wanted(kind: str, arguments: argparse.Namespace) -> bool:
    return not arguments.kinds or kind in arguments.kinds


def _is_bad(entry: dict[str, Any]) -> bool:
    found = any(number for name, number in entry.get("found", {}).items() if name != "files_put_aside")
    grows = entry.get("watch", {}).get("grows", False)
    return found or grows or any(each["problems"] for each in entry["kinds"].values())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("campaigns", nargs="*", default=["workers"], help=", ".join(CAMPAIGNS))
    parser.add_argument("--backend", choices=("embedded", "mysql"), default="embedded")
    parser.add_argument("--faults", type=int, default=120, help="so many at least in workers and in mixed")
    parser.add_argument("--kills", type=int, default=5, help="of each command")
    parser.add_argument("--minutes", type=float, default=60, help="of watch")
    parser.add_argument("--per-run", type=int, default=30, help="then the run is left to finish")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--sessions", type=int, default=2, help="sound sessions; one with a bad file is added"
    )
    parser.add_argument("--kinds", nargs="+", help="only these kinds of faults")
    parser.add_argument("--kill-server", help="command that kills the MySQL server (SIGKILL)")
    parser.add_argument("--start-server", help="command that starts it again")
    parser.add_argument("--data-disk", type=Path, help="folder on the small disk that the MySQL server has")
    parser.add_argument("--write", action="store_true", help="add to results.json, write docs/reliability.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.campaigns) - set(CAMPAIGNS):
        parser.error(f"there is no campaign {', '.join(unknown)}; there are {', '.join(CAMPAIGNS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
