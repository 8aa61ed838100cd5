"""Opening a session's file with other packages: seconds and peak memory of each.

python -m benchmarks.opening                    # a session of 3 probes x 100 units, 30 minutes
python -m benchmarks.opening --full             # the size of a real one: 2 GB, 2,160 units
python -m benchmarks.opening --file FILE.nwb

h5py and pynwb read the spike times of all units; AllenSDK opens the session and looks at nothing. What this
package does with the same file is in benchmarks/session.py. Each in processes of its own, in turn; imports
are not in the seconds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from benchmarks.measure import Results, parser, timed, timing
from benchmarks.peers.environments import available, run
from benchmarks.session import FULL, SMALL, vbn

NAMES = {
    "h5py": "h5py: spike times of all units",
    "pynwb": "pynwb: spike times of all units",
    "allensdk": "AllenSDK: BehaviorEcephysSession.from_nwb_path",
}
BYTES = "read every byte"


def main() -> None:
    options = parse_options()
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        file = options.file or write_session(Path(name), FULL if options.full else SMALL)
        report(file, options.peers.split(","), options.repeats).finish(options.json)


def parse_options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--full", action="store_true", help="a session of the size of a real one")
    made.add_argument("--file", type=Path, help="a session that is there")
    made.add_argument("--peers", default=",".join(NAMES), help="with commas between; default: all")
    made.add_argument("--repeats", type=int, default=3)
    return made.parse_args()


def write_session(folder: Path, size: Mapping[str, float | None]) -> Path:
    words = {"--probes": size["probes"], "--units-per-probe": size["units"], "--minutes": size["minutes"]}
    words |= {"--mean-rate": size["rate"]} if size["rate"] else {}
    options = [str(word) for pair in words.items() for word in pair]
    vbn("synthetic", "--out", str(folder), "--sessions", "1", "--genotype", "sst", *options)
    return next(folder.rglob("*.nwb"))


def report(file: Path, peers: list[str], repeats: int) -> Results:
    """Let each package open the file in turn; report those that cannot be installed."""
    found: dict[str, list[dict[str, float]]] = {peer: [] for peer in available(peers, file)}
    seconds: list[float] = []
    for _ in tqdm(range(repeats), desc="repeats"):
        seconds += timed(lambda: read_bytes(file), 1).all
        for peer, runs in found.items():
            runs.append(run(peer, file))
    settings = {"file_gb": round(file.stat().st_size / 1e9, 2), "repeats": repeats}
    results = Results("opening a session", settings)
    results.add(BYTES, timing(seconds))
    for peer, runs in found.items():
        peak = max(one["gigabytes"] for one in runs)
        measured = timing([one["seconds"] for one in runs])
        results.add(NAMES[peer], measured, base=BYTES, note=f"{peak:.2f} GB")
    return results


def read_bytes(file: Path) -> None:
    with file.open("rb") as opened:
        while opened.read(2**22):
            pass


if __name__ == "__main__":
    main()
