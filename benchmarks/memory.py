"""The memory of each computed table's jobs: what the process holds itself, without the files that it maps.

python -m benchmarks.memory                                    # 3 probes x 100 units, 30 minutes
python -m benchmarks.memory --full                             # the size of a real session: 2 GB, 2,160 units

One session on an embedded server of its own; each table is populated by a process of its own, whose memory
is read 200 times a second (RssAnon and VmRSS in /proc: Linux only). Mapped spike times and counts are pages
of files, which workers share, and which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Results, at_most
from benchmarks.session import populate, run, run_report, vbn, write_session

NAMES = (
    "import json\nfrom populate.work.runner import populated_tables\n"
    "print(json.dumps([cls.__name__ for cls in populated_tables()]))"
)
GOAL_GB = 0.7


class Used(NamedTuple):
    """What a process took: CPU seconds, and at most so many GB of its own, and with mapped files."""

    seconds: float
    own_gb: float
    all_gb: float


def main() -> None:
    run_report(report, __doc__)


def report(folder: Path, options: argparse.Namespace) -> Results:
    file = write_session(folder, options)
    vbn("register", str(file))
    results = Results("memory of jobs", {"file_gb": round(file.stat().st_size / 1e9, 2)})
    used = {}
    for table in tables():
        used[table] = measured(populate(table))
        print(table, *(f"{value:.2f}" for value in used[table]), file=sys.stderr, flush=True)
    for table, of in sorted(used.items(), key=lambda item: -item[1].own_gb):
        note = f"{of.all_gb:.2f} GB with mapped files, {of.seconds:.1f} CPU s"
        results.add(f"`{table}`", of.own_gb, unit="GB", goal=at_most(GOAL_GB, "GB"), note=note)
    return results


def tables() -> list[str]:
    """Return the names of the tables in the order in which workers fill them."""
    return list(json.loads(run([sys.executable, "-c", NAMES])))


def measured(command: list[str]) -> Used:
    """Run a process, and look at its memory until it ends."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    own, whole = 0, 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            found = dict(re.findall(r"^(RssAnon|VmRSS):\s+(\d+) kB$", status.read_text(), flags=re.MULTILINE))
            own, whole = max(own, int(found.get("RssAnon", 0))), max(whole, int(found.get("VmRSS", 0)))
            time.sleep(0.005)
    if process.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Used(seconds, own * 1024 / 1e9, whole * 1024 / 1e9)


if __name__ == "__main__":
    main()
