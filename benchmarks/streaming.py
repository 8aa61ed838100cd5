"""A session read from a web server in place: bytes and requests, against the bytes that HDF5 asked for.

    python -m benchmarks.streaming                                        # a middle-sized session
    python -m benchmarks.streaming --units 352 --probes 6 --minutes 160   # one as large as a real one

A synthetic session is served on this machine, registered by its URL, imported and computed, each by a
process of its own; once with immediate answers and once with a delay before each. What is *touched* are the
chunks and extents of the file that HDF5 (or the check of the file's structure, or a reader of single rows)
asked for, each byte once in a step. On an embedded server of its own, in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import release
from benchmarks.measure import Results, at_most, parser
from benchmarks.published import LargeSite

STEP = """
import json, sys
from pathlib import Path
from vbn.web.client import TRAFFIC
from vbn.web.remote_file import RemoteFile

touched, read, read_parts = [], RemoteFile.readinto, RemoteFile.read_parts

def noting(remote, buffer):
    start = remote.tell()
    count = read(remote, buffer)
    touched.append((start, start + count))
    return count

def noting_parts(remote, parts):
    touched.extend((start, start + length) for start, length in parts)
    return read_parts(remote, parts)

RemoteFile.readinto, RemoteFile.read_parts = noting, noting_parts
from populate.cli import main
code = 0
try:
    main(sys.argv[2:])
except SystemExit as end:
    code = end.code
end = total = 0
for start, stop in sorted(touched):
    total += max(0, stop - max(start, end))
    end = max(end, stop)
Path(sys.argv[1]).write_text(json.dumps([total, TRAFFIC.bytes, TRAFFIC.requests]))
sys.exit(code)
"""
"""A command of ours that writes what it touched, what came, and in how many requests."""

IMPORTED = (
    "Recording", "ChangeDetection", "Licks", "Running", "EyeTracking", "Stimulus", "OptoStimulation",
    "TaskParameters", "RigGeometry",
)  # fmt: skip


class SlowSite(LargeSite):
    """A server that waits before each answer."""

    delay_s = 0.0

    def read(self, path: str) -> Any:
        time.sleep(self.delay_s)
        return super().read(path)


def main() -> None:
    options = parse_options()
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.environ.update(VBN_PREFIX=release.RELEASE_PREFIX, DJ_IGNORE_CONFIG_FILE="true")
        size = ["--units-per-probe", str(options.units), "--probes", str(options.probes)]
        size += ["--minutes", str(options.minutes), "--sessions", "1", "--genotype", "sst"]
        release.vbn("synthetic", "--out", str(folder / "data"), *size)
        (file,) = (folder / "data").rglob("*.nwb")
        settings = {name: value for name, value in vars(options).items() if name != "json"}
        results = Results("step", settings | {"file_gb": round(file.stat().st_size / 1e9, 2)})
        site = SlowSite(folder / "data")
        site.start()
        try:
            for delay_s in (0.0, options.delay):
                site.delay_s = delay_s
                os.environ["VBN_HOME"] = str(folder / f"home-{delay_s:g}")
                stream(results, site, file, folder, delay_s)
        finally:
            site.stop()
        results.finish(options.json)


def parse_options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--units", type=int, default=150, help="per probe")
    options.add_argument("--probes", type=int, default=2)
    options.add_argument("--minutes", type=float, default=60)
    options.add_argument("--delay", type=float, default=0.05, help="before each answer (s)")
    return options.parse_args()


def stream(results: Results, site: SlowSite, file: Path, folder: Path, delay_s: float) -> None:
    """Register, import and compute from the web, and report each step."""
    release.vbn("deploy")
    url = f"{site.url}/{file.relative_to(site.folder).as_posix()}"
    catalogue = str(file.parents[2] / "project_metadata")
    steps = {
        "register": ["register", url, "--catalogue", catalogue],
        "import all tables": ["populate", *(word for name in IMPORTED for word in ("--table", name))],
        "compute all tables": ["populate"],
    }
    try:
        for name, words in steps.items():
            began = time.perf_counter()
            touched, moved, requests = counted(folder, words)
            title = f"{name}, {delay_s * 1000:g} ms"
            note = f"{requests} requests, {moved / file.stat().st_size:.0%} of the file"
            results.add(f"{title}: touched", touched / 1e6, unit="MB")
            limit = at_most(1.1, "x") if touched else None
            results.add(
                f"{title}: moved", moved / 1e6, unit="MB", base=f"{title}: touched" if touched else None,
                goal=limit, note=note,
            )  # fmt: skip
            results.add(title, time.perf_counter() - began)
    finally:
        release.vbn("down")


def counted(folder: Path, words: list[str]) -> tuple[int, int, int]:
    """Run a command; return the bytes that it touched and received, and its requests."""
    told = folder / "counted.json"
    command = [sys.executable, "-c", STEP, str(told), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"failed: {' '.join(words)}\n{done.stdout}\n{done.stderr}")
    touched, moved, requests = json.loads(told.read_text())
    return touched, moved, requests


if __name__ == "__main__":
    main()
