"""Time and memory of the encoding models of a session, against scikit-learn's Ridge for each unit and model.

python -m benchmarks.models                     # 785 and 2160 units, a task of an hour
python -m benchmarks.models --units 100         # smaller

scikit-learn fits one unit as the published code does, each model and fold by itself, and its time is scaled.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks.measure import Results, at_most, parser

GOALS = {785: 60, 2160: 180}
GB = 1.5


def main() -> None:
    options = parse_options()
    if options.alone:
        print(json.dumps(fit(options.alone, options.params, Path(options.folder))))
        return
    results = Results("Encoding models", {"parameters": options.params, "spikes": options.rate})
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as folder:
        for n in options.units:
            write_spikes(Path(folder), n, options.rate)
            words = [
                "-m",
                "benchmarks.models",
                "--alone",
                str(n),
                "--folder",
                folder,
                "--params",
                options.params,
            ]
            done = subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True)
            found = json.loads(done.stdout)
            goal = at_most(GOALS[n]) if n in GOALS else None
            results.add(f"{n} units", found["wall"], goal=goal, note=f"{found['cpu']:.0f} s of processor")
            results.add(f"{n} units, memory", found["gb"], unit="GB", goal=at_most(GB, "GB"))
        if not options.no_peer:
            seconds = peer()
            n = options.units[0]
            results.add(
                "scikit-learn, scaled", seconds * n, base=f"{n} units", note=f"{seconds:.0f} s a unit"
            )
    results.finish(options.json)


def parse_options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--units", type=int, nargs="+", default=[785, 2160])
    made.add_argument("--rate", type=float, default=6.0, help="mean rate of the units in Hz")
    made.add_argument("--params", default="calibrated_active")
    made.add_argument("--no-peer", action="store_true", help="without scikit-learn")
    made.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    made.add_argument("--folder", help=argparse.SUPPRESS)
    return made.parse_args()


def write_spikes(folder: Path, n_units: int, rate_hz: float) -> None:
    """Write trains whose rates spread as those of a recording do, some locked to flashes, as one array."""
    from vbn.calibration.events import simulate_events

    events = simulate_events(0, 0)
    starts = events.images()["start_time"].to_numpy()
    rng = np.random.default_rng(0)
    sizes = (events.end_s * rate_hz * rng.lognormal(-0.5, 1, n_units)).astype(int)
    np.save(folder / "n.npy", sizes)
    whole = np.lib.format.open_memmap(folder / "t.npy", "w+", np.float64, (int(sizes.sum()),))
    for stop, size in zip(np.cumsum(sizes), sizes, strict=True):
        locked = int(size * rng.uniform(0, 0.3))
        times = rng.choice(starts, locked) + rng.uniform(0.03, 0.2, locked)
        whole[stop - size : stop] = np.sort(np.append(times, rng.uniform(0, events.end_s, size - locked)))


def traces():
    from vbn.analysis.encoding.design import SessionTraces
    from vbn.analysis.task.flash_behavior import flash_behavior
    from vbn.calibration.events import simulate_events

    events = simulate_events(0, 0)
    flashes = flash_behavior(events.presentations, events.trials, events.lick_times_s)
    eye = (events.grid_s, events.pupil_area, events.blink)
    return SessionTraces(flashes, events.lick_times_s, (events.grid_s, events.speed), eye)


def fit(n_units: int, params: str, folder: Path) -> dict[str, float]:
    """Fit the units of a file; return wall seconds, seconds of processor, and the greatest memory."""
    from vbn.analysis.encoding.model import encoding_model
    from vbn.analysis.encoding.parameters import ENCODING

    sizes = np.load(folder / "n.npy")
    times = np.load(folder / "t.npy", mmap_mode="r")
    session = traces()
    start, used = time.perf_counter(), time.process_time()
    with Memory() as memory:
        result = encoding_model(times, np.cumsum(sizes) - sizes, sizes, session, ENCODING[params])
    assert len(result.explained_raw) == n_units
    wall, cpu = time.perf_counter() - start, time.process_time() - used
    return {"wall": wall, "cpu": cpu, "gb": memory.gb}


class Memory(threading.Thread):
    """The greatest memory of this process, without mapped files such as that of the spikes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.gb, self._done = 0.0, threading.Event()

    def run(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.02):
            used = process.memory_info()
            self.gb = max(self.gb, (used.rss - used.shared) / 1e9)

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()


def peer() -> float:
    """Return seconds of one unit: each penalty, fold and dropout is a fit of scikit-learn's of its own."""
    from sklearn.linear_model import Ridge

    from vbn.analysis.encoding.design import make_design
    from vbn.analysis.encoding.parameters import ENCODING

    design = make_design(traces(), ENCODING["allen_v110_active"])
    x = design.rows(slice(None))
    y = np.random.default_rng(0).poisson(0.2, len(x)).astype(float)
    start = time.perf_counter()
    Ridge(alpha=100.0, fit_intercept=False, solver="cholesky").fit(x[: len(x) * 4 // 5], y[: len(x) * 4 // 5])
    return (time.perf_counter() - start) * 5 * (40 + len(design.groups()) + 1)


if __name__ == "__main__":
    main()
