"""One process against two, importing and computing eight sessions, or as many as the release has.

python -m benchmarks.parallel                             # 8 sessions x 3 probes x 60 units, 8 minutes each
python -m benchmarks.parallel --units 360 --minutes 60    # larger: less of what does not depend on size
python -m benchmarks.parallel --release --units 20 --minutes 4    # 153 sessions with two processes

On an embedded server of its own, which shares the cores with the workers. With ``--release``, one session is
what each of eight after the first takes one process, and the last quarter of all is held against the first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Results, at_least, at_most, parser, timed_process

VBN = [sys.executable, "-m", "populate"]
RELEASE_SESSIONS = 153
FEW_SESSIONS = 9
ONE_SESSION = "one session, one process, of eight after the first"


def main() -> None:
    options_parser = parser(__doc__)
    options_parser.add_argument("--sessions", type=int)
    options_parser.add_argument("--units", type=int, default=60, help="units per probe, of three")
    options_parser.add_argument("--minutes", type=float, default=8)
    options_parser.add_argument("--release", action="store_true", help="as many sessions as the release has")
    options = options_parser.parse_args()
    options.sessions = options.sessions or (RELEASE_SESSIONS if options.release else 8)
    results = Results("import and compute", {"sessions": options.sessions, "units": 3 * options.units})
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.environ.update(VBN_HOME=str(folder / "home"), DJ_IGNORE_CONFIG_FILE="true")
        os.environ.pop("DJ_HOST", None)
        size = ("--sessions", options.sessions, "--probes", 3, "--units-per-probe", options.units)
        vbn("synthetic", "--out", folder / "data", *size, "--minutes", options.minutes)
        try:
            if options.release:
                whole_release(folder, options.sessions, results)
            else:
                two_against_one(folder, results)
        finally:
            vbn("down")
    results.finish(options.json)


def two_against_one(folder: Path, results: Results) -> None:
    """Add what the same sessions take one process and two."""
    seconds = {}
    for processes in (1, 2):
        os.environ["VBN_PREFIX"] = f"bench{processes}_"
        vbn("deploy")
        vbn("register", folder / "data")
        seconds[processes], _ = timed_process([*VBN, "populate", "--processes", str(processes)])
    results.add("one process", seconds[1])
    results.add("two processes", seconds[2], base="one process")
    results.add("times faster", seconds[1] / seconds[2], unit="times", goal=at_least(1.8, "times"))


def whole_release(folder: Path, n_sessions: int, results: Results) -> None:
    """Add what all sessions take two processes against one session, and the last ones against the first."""
    began, done = work(folder, "few_", FEW_SESSIONS, processes=1)
    results.add(ONE_SESSION, (done[-1] - done[0]) / (FEW_SESSIONS - 1))
    began, done = work(folder, "all_", n_sessions, processes=2)
    goal = at_most(round(80 / RELEASE_SESSIONS * n_sessions, 1), "x")
    results.add(f"{n_sessions} sessions, two processes", done[-1] - began, base=ONE_SESSION, goal=goal)
    quarter = n_sessions // 4
    results.add("the first quarter, each", (done[quarter] - done[0]) / quarter)
    last = (done[-1] - done[-1 - quarter]) / quarter
    results.add("the last quarter, each", last, base="the first quarter, each", goal=at_most(1.1, "x"))


def work(folder: Path, prefix: str, n_sessions: int, processes: int) -> tuple[float, list[float]]:
    """Let a worker do the first sessions in a database of its own.

    Returns
    -------
    When it was started, and when each session's last job ended, in order (s).
    """
    os.environ["VBN_PREFIX"] = prefix
    vbn("deploy")
    files = sorted((folder / "data").rglob("*.nwb"))[:n_sessions]
    vbn("register", *files, "--catalogue", files[0].parents[2] / "project_metadata")
    began = time.time()
    worker = [*VBN, "worker", "--until-idle", "--processes", str(processes), "--log-format", "json"]
    done = subprocess.run(worker, capture_output=True, text=True, check=True)
    last_of_session: dict[Any, float] = {}
    for event in map(json.loads, done.stdout.splitlines()):
        if event["event"] in ("job_failed", "worker_died"):
            sys.exit(f"failed: {event}")
        if event["event"] == "job_done" and "session_id" in event["key"]:
            last_of_session[event["key"]["session_id"]] = datetime.fromisoformat(event["time"]).timestamp()
    if len(last_of_session) != n_sessions:
        sys.exit(f"{n_sessions} sessions were to be done, not {len(last_of_session)}")
    return began, sorted(last_of_session.values())


def vbn(*words: object) -> None:
    subprocess.run([*VBN, *map(str, words)], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
