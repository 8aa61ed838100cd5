"""Registering, importing and computing one synthetic session, as ratios to plain reads of the same file.

    python benchmarks/session.py                                   # 3 probes x 100 units, 30 minutes
    python benchmarks/session.py --probes 6 --units 360 --minutes 160 --rate 3.6   # the size of a real one

Everything happens in a temporary folder on an embedded server of its own. Each step runs in a process
of its own, whose wall time and peak memory are those of the whole process, start of Python included.
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

IMPORTED = (
    "Recording", "ChangeDetection", "Licks", "Running", "EyeTracking", "TaskParameters", "RigGeometry",
    "Stimulus", "OptoStimulation",
)  # fmt: skip
PASS = "import h5py, sys; f = h5py.File(sys.argv[1]); print(f['units/spike_times'][:].sum())"
COPY = "import sys\nwith open(sys.argv[1], 'rb') as f:\n    while f.read(2**22): pass"
MEASURE = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
print(json.dumps([time.perf_counter() - start, peak, code]))
"""


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--probes", type=int, default=3)
    parser.add_argument("--units", type=int, default=100, help="units per probe")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, help="mean rate of the units (Hz)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.environ.update(VBN_HOME=str(folder / "home"), DJ_IGNORE_CONFIG_FILE="true")
        os.environ.pop("DJ_HOST", None)
        try:
            report(folder, options)
        finally:
            vbn("down")


def report(folder: Path, options: argparse.Namespace) -> None:
    """Write the session, time the steps, print them beside the plain reads."""
    size = [
        "--probes",
        str(options.probes),
        "--units-per-probe",
        str(options.units),
        "--minutes",
        str(options.minutes),
    ]
    rate = ["--mean-rate", str(options.rate)] if options.rate else []
    vbn("synthetic", "--out", str(folder / "data"), "--sessions", "1", "--genotype", "sst", *size, *rate)
    vbn("deploy")
    file = next((folder / "data").rglob("*.nwb"))
    steps = {
        "read every byte": [sys.executable, "-c", COPY, str(file)],
        "read the spike times with h5py": [sys.executable, "-c", PASS, str(file)],
        "register": [sys.executable, "-m", "populate", "register", str(file)],
        "import all tables": populate(*IMPORTED),
        "compute all tables, two processes": [*populate(), "--processes", "2"],
        "vbn status": [sys.executable, "-m", "populate", "status"],
    }
    print(
        f"{file.stat().st_size / 1e9:.2f} GB, {options.probes * options.units} units, {os.cpu_count()} cores"
    )
    print(f"| {'step':<34} | wall (s) | times a plain read | peak memory (GB) |\n|---|---|---|---|")
    base = None
    for step, command in steps.items():
        seconds, gigabytes = measure(command)
        base = base or seconds
        print(f"| {step:<34} | {seconds:8.2f} | {seconds / base:18.1f} | {gigabytes:16.2f} |")


def populate(*tables: str) -> list[str]:
    """Return the command that populates these tables."""
    named = [word for table in tables for word in ("--table", table)]
    return [sys.executable, "-m", "populate", "populate", *named]


def measure(command: list[str]) -> tuple[float, float]:
    """Return wall seconds and peak memory (GB) of a command's process."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=True
    )
    seconds, gigabytes, code = json.loads(done.stdout)
    if code != 0:
        sys.exit(f"failed: {' '.join(command)}\n{done.stderr}")
    return seconds, gigabytes


def vbn(*arguments: str) -> None:
    """Run vbn without its output."""
    subprocess.run([sys.executable, "-m", "populate", *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"{time.perf_counter() - started:.0f} s in all", file=sys.stderr)
