"""Registering, importing and computing one synthetic session, as ratios to plain reads of the same file.

python -m benchmarks.session                                   # 3 probes x 100 units, 30 minutes
python -m benchmarks.session --full                            # the size of a real one: 2 GB, 2,160 units

Everything happens in a temporary folder on an embedded server of its own. Each step runs in a process
of its own, whose wall time and peak memory are those of the whole process, start of Python included. One
unit's spike times are fetched in fresh processes, from the connection's being open to the array.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Results, at_most, parser, timed_process, timing

IMPORTED = (
    "Recording", "ChangeDetection", "Licks", "Running", "EyeTracking", "TaskParameters", "RigGeometry",
    "Stimulus", "OptoStimulation",
)  # fmt: skip
FIRST_VERSION = (
    "Optotagging", "OptotagLabel", "Performance", "RollingPerformance", "TaskStatistics", "LickBouts",
    "Engagement", "Psth", "AlignedBehavior", "TrialResponse", "AreaPsth", "ChangeResponse",
    "OmissionResponse", "ImageSelectivity", "FullFieldResponse", "RunningModulation", "PupilModulation",
    "ReceptiveField", "CellClass", "AreaSummary", "UnitSelection", "PresentationCounts",
)  # fmt: skip
"""Computed tables that the first version had, and the counts that some of them read now."""
FULL = {"probes": 6, "units": 360, "minutes": 160.0, "rate": 3.6}
SMALL = {"probes": 3, "units": 100, "minutes": 30.0, "rate": None}
READ_UNITS = "import h5py, sys; f = h5py.File(sys.argv[1]); print(f['units/spike_times'][:].sum())"
READ_BYTES = "import sys\nwith open(sys.argv[1], 'rb') as f:\n    while f.read(2**22): pass"
ONE_UNIT = """
import random, time
import schemas
from schemas import ecephys
schemas.connect()
ecephys.Recording.Unit.connection.query("SELECT 1")
unit = {"unit_id": random.choice(ecephys.Recording.Unit.to_arrays("unit_id").tolist())}
start = time.perf_counter()
times = ecephys.spike_times(ecephys.Recording.Unit & unit)
print(time.perf_counter() - start)
"""
READS, FRESH_PROCESSES = 5, 7
VBN = [sys.executable, "-m", "populate"]


def main() -> None:
    run_report(report, __doc__)


def run_report(report: Callable[[Path, argparse.Namespace], Results], doc: str | None) -> None:
    """Write a report on a home of its own, whose server is stopped at the end."""
    options = parse_options(doc)
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.environ.update(VBN_HOME=str(folder / "home"), DJ_IGNORE_CONFIG_FILE="true")
        os.environ.pop("DJ_HOST", None)
        try:
            report(folder, options).finish(options.json)
        finally:
            vbn("down")


def parse_options(doc: str | None) -> argparse.Namespace:
    options = parser(doc)
    options.add_argument("--full", action="store_true", help="a session of the size of a real one")
    options.add_argument("--probes", type=int)
    options.add_argument("--units", type=int, help="units per probe")
    options.add_argument("--minutes", type=float)
    options.add_argument("--rate", type=float, help="mean rate of the units (Hz)")
    parsed = options.parse_args()
    for option, value in (FULL if parsed.full else SMALL).items():
        if getattr(parsed, option) is None:
            setattr(parsed, option, value)
    return parsed


def report(folder: Path, options: argparse.Namespace) -> Results:
    """Write the session, time the steps."""
    file = write_session(folder, options)
    settings = {"file_gb": round(file.stat().st_size / 1e9, 2), "units": options.probes * options.units}
    results = Results("a session", settings)
    base = "read every byte"

    def add(name: str, command: list[str], **more: object) -> tuple[float, float]:
        seconds, gigabytes = timed_process(command)
        results.add(name, seconds, base=base, note=f"{gigabytes:.2f} GB", **more)
        return seconds, gigabytes

    reads = [timed_process([sys.executable, "-c", READ_BYTES, str(file)])[0] for _ in range(READS)]
    results.add(base, timing(reads))
    add("read the spike times with h5py", [sys.executable, "-c", READ_UNITS, str(file)])
    registered = add("register", [*VBN, "register", str(file)])
    imported = add("import all tables", populate(*IMPORTED))
    results.add(
        "register and import",
        registered[0] + imported[0],
        base=base,
        goal=at_most(20, "x") if options.full else None,
    )
    peak = max(registered[1], imported[1])
    results.add("peak memory of these", peak, unit="GB", goal=at_most(0.7, "GB") if options.full else None)
    first = add("compute the first version's tables", populate(*FIRST_VERSION), goal=at_most(60, "x"))
    rest = add("compute the others", populate())
    results.add("compute all tables, one process", first[0] + rest[0], base=base)
    add("vbn status", [*VBN, "status"])
    fresh = [float(run([sys.executable, "-c", ONE_UNIT])) * 1e3 for _ in range(FRESH_PROCESSES)]
    results.add("one unit's spike times, fresh process", timing(fresh), unit="ms", goal=at_most(5, "ms"))
    return results


def write_session(folder: Path, options: argparse.Namespace) -> Path:
    """Write a session, deploy, and return the session's file."""
    words = {"--probes": options.probes, "--units-per-probe": options.units, "--minutes": options.minutes}
    words |= {"--mean-rate": options.rate} if options.rate else {}
    size = map(str, itertools.chain.from_iterable(words.items()))
    vbn("synthetic", "--out", str(folder / "data"), "--sessions", "1", "--genotype", "sst", *size)
    vbn("deploy")
    return next((folder / "data").rglob("*.nwb"))


def populate(*tables: str) -> list[str]:
    """Return the command that populates these tables."""
    return [*VBN, "populate", *itertools.chain.from_iterable(("--table", table) for table in tables)]


def vbn(*arguments: str) -> None:
    run([*VBN, *arguments])


def run(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
