"""One process against two, importing and computing eight sessions.

python -m benchmarks.parallel                             # 8 sessions x 3 probes x 60 units, 8 minutes each
python -m benchmarks.parallel --units 360 --minutes 60    # larger: less of what does not depend on size

On an embedded server of its own, which shares the cores with the workers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Results, at_least, parser, timed_process

VBN = [sys.executable, "-m", "populate"]


def main() -> None:
    options_parser = parser(__doc__)
    options_parser.add_argument("--sessions", type=int, default=8)
    options_parser.add_argument("--units", type=int, default=60, help="units per probe, of three")
    options_parser.add_argument("--minutes", type=float, default=8)
    options = options_parser.parse_args()
    results = Results("import and compute", {"sessions": options.sessions, "units": 3 * options.units})
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.environ.update(VBN_HOME=str(folder / "home"), DJ_IGNORE_CONFIG_FILE="true")
        os.environ.pop("DJ_HOST", None)
        size = ("--sessions", options.sessions, "--probes", 3, "--units-per-probe", options.units)
        vbn("synthetic", "--out", folder / "data", *size, "--minutes", options.minutes)
        seconds = {}
        try:
            for processes in (1, 2):
                os.environ["VBN_PREFIX"] = f"bench{processes}_"
                vbn("deploy")
                vbn("register", folder / "data")
                seconds[processes], _ = timed_process([*VBN, "populate", "--processes", str(processes)])
        finally:
            vbn("down")
    results.add("one process", seconds[1])
    results.add("two processes", seconds[2], base="one process")
    results.add("times faster", seconds[1] / seconds[2], unit="times", goal=at_least(1.8, "times"))
    results.finish(options.json)


def vbn(*words: object) -> None:
    subprocess.run([*VBN, *map(str, words)], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
