"""Time and memory of the models of a session, against those of the packages that are usually taken.

python -m benchmarks.models                     # 785 and 2160 units, a task of an hour
python -m benchmarks.models --units 100         # smaller
python -m benchmarks.models --units 785 --sessions 3    # and the release's time, from three sessions

Encoding models against scikit-learn's Ridge, which fits one unit as the published code does, each model and
fold by itself; decoders of many label vectors against its LinearSVC and LogisticRegression; its times are
scaled. Strategies against psytrack, where that is installed. All but the encoding models are seconds of
processor; all is in one thread, as in the jobs of the tables.
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
from vbn.threads import in_one_thread

GOALS = {785: 60, 2160: 180}
GB = 1.5
RELEASE_SESSIONS, NIGHT_H = 153, 10.0
N_VECTORS, N_SCALED = 200, 10
N_FLASHES = 1500


def main() -> None:
    options = parse_options()
    if options.alone:
        print(json.dumps(fit(options.alone, options.params, Path(options.folder), options.index)))
        return
    results = Results("Models", {"parameters": options.params, "spikes": options.rate})
    for n in options.units:
        encoding(results, n, options)
    if not options.no_peer:
        seconds = peer()
        n = options.units[0]
        results.add("scikit-learn, scaled", seconds * n, base=f"{n} units", note=f"{seconds:.0f} s a unit")
        decoders(results)
        strategies(results)
    results.finish(options.json)


def encoding(results: Results, n: int, options: argparse.Namespace) -> None:
    """Fit the units of some sessions, each in a process of its own."""
    walls = []
    for index in range(options.sessions):
        found = alone(n, index, options)
        walls.append(found["wall"])
        which = f"{n} units" + (f", session {index}" if index else "")
        goal = at_most(GOALS[n]) if n in GOALS else None
        results.add(which, found["wall"], goal=goal, note=f"{found['cpu']:.0f} s of processor")
        results.add(f"{which}, memory", found["gb"], unit="GB", goal=at_most(GB, "GB"))
    if options.sessions > 1:
        results.add(
            f"{RELEASE_SESSIONS} sessions of {n} units",
            RELEASE_SESSIONS * float(np.mean(walls)) / 3600,
            unit="h",
            goal=at_most(NIGHT_H, "h"),
            note=f"extrapolated from {options.sessions}, one after the other, without reading files",
        )


def alone(n: int, index: int, options: argparse.Namespace) -> dict[str, float]:
    """Return what `fit` does, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as folder:
        write_spikes(Path(folder), n, options.rate, index)
        words = ["--alone", str(n), "--folder", folder, "--params", options.params, "--index", str(index)]
        command = [sys.executable, "-m", "benchmarks.models", *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


@in_one_thread
def decoders(results: Results) -> None:
    """Decode two classes by 20 units, by the labels of a null."""
    from sklearn.model_selection import PredefinedSplit, cross_val_predict
    from sklearn.svm import LinearSVC

    from vbn.analysis.decoding.classifiers import DISCRIMINANT, SVM, balanced_accuracies, splits

    rng = np.random.default_rng(0)
    labels = rng.permuted(np.tile(np.arange(240) % 2, (N_VECTORS, 1)), axis=1)
    features, folds = rng.poisson(2.0, (240, 20)).astype(float), np.arange(240) // 2 % 5
    prepared = splits(labels, folds, 2)
    base = ""
    for name, strength in ((DISCRIMINANT, 0.1), (SVM, 1.0)):
        start = time.process_time()
        balanced_accuracies(features, prepared, name, strength)
        base = f"{N_VECTORS} label vectors, {name}"
        results.add(base, time.process_time() - start)
    machine, start = LinearSVC(max_iter=10_000, class_weight="balanced"), time.process_time()
    for vector in labels[:N_SCALED]:
        cross_val_predict(machine, features, vector, cv=PredefinedSplit(folds))
    seconds = (time.process_time() - start) * N_VECTORS / N_SCALED
    results.add("scikit-learn's LinearSVC, scaled", seconds, base=base)
    _trials(results, labels > 0)


def _trials(results: Results, labels: np.ndarray) -> None:
    """Decode trials by 60 units, by the labels of a null."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from vbn.analysis.decoding.trials import TrialDecodingParameters, split_scores

    rng = np.random.default_rng(0)
    features = rng.poisson(5.0, (labels.shape[1], 60)).astype(float)
    start = time.process_time()
    split_scores(features, labels, TrialDecodingParameters(n_repeats=1), rng)
    base = f"{len(labels)} label vectors of trials, five folds, 60 units"
    results.add(base, time.process_time() - start)
    machine = make_pipeline(StandardScaler(), LogisticRegression(solver="liblinear"))
    start = time.process_time()
    for vector in labels[:N_SCALED]:
        cross_val_score(machine, features, vector, cv=StratifiedKFold(5), scoring="balanced_accuracy")
    seconds = (time.process_time() - start) * len(labels) / N_SCALED
    results.add("scikit-learn's LogisticRegression, scaled", seconds, base=base)


@in_one_thread
def strategies(results: Results) -> None:
    """Fit the weights of one mouse, by both solvers."""
    from vbn.analysis.strategy.parameters import STRATEGY
    from vbn.analysis.strategy.random_walk import fit_walks
    from vbn.analysis.strategy.with_psytrack import psytrack_walks
    from vbn.errors import AbsentExtraError

    rng, prior = np.random.default_rng(0), STRATEGY["piet_2024"].prior
    x = np.column_stack([np.ones(N_FLASHES), rng.normal(size=(N_FLASHES, 4))])
    weights = np.array([-1.5, 0.2, 0.2, 1.5, 0.8]) + np.cumsum(rng.normal(0, 0.03, x.shape), axis=0)
    y = rng.random(N_FLASHES) < 1 / (1 + np.exp(-(x * weights).sum(axis=1)))
    base = f"{N_FLASHES} flashes, five weights"
    start = time.process_time()
    fit_walks(x, y, prior)
    results.add(base, time.process_time() - start)
    start = time.process_time()
    try:
        psytrack_walks(x, y, prior)
    except AbsentExtraError as error:
        print(error, file=sys.stderr)
        return
    results.add("psytrack", time.process_time() - start, base=base)


def parse_options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--units", type=int, nargs="+", default=[785, 2160])
    made.add_argument("--rate", type=float, default=6.0, help="mean rate of the units in Hz")
    made.add_argument("--params", default="calibrated_active")
    made.add_argument("--sessions", type=int, default=1, help="sessions of each number of units")
    made.add_argument("--no-peer", action="store_true", help="without scikit-learn and psytrack")
    made.add_argument("--index", type=int, default=0, help=argparse.SUPPRESS)
    made.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    made.add_argument("--folder", help=argparse.SUPPRESS)
    return made.parse_args()


def write_spikes(folder: Path, n_units: int, rate_hz: float, index: int = 0) -> None:
    """Write trains whose rates spread as those of a recording do, some locked to flashes, as one array."""
    from vbn.calibration.events import simulate_events

    events = simulate_events(0, index)
    starts = events.images()["start_time"].to_numpy()
    rng = np.random.default_rng(index)
    sizes = (events.end_s * rate_hz * rng.lognormal(-0.5, 1, n_units)).astype(int)
    np.save(folder / "n.npy", sizes)
    whole = np.lib.format.open_memmap(folder / "t.npy", "w+", np.float64, (int(sizes.sum()),))
    for stop, size in zip(np.cumsum(sizes), sizes, strict=True):
        locked = int(size * rng.uniform(0, 0.3))
        times = rng.choice(starts, locked) + rng.uniform(0.03, 0.2, locked)
        whole[stop - size : stop] = np.sort(np.append(times, rng.uniform(0, events.end_s, size - locked)))


def traces(index: int = 0):
    from vbn.analysis.encoding.design import SessionTraces
    from vbn.analysis.task.flash_behavior import flash_behavior
    from vbn.calibration.events import simulate_events

    events = simulate_events(0, index)
    flashes = flash_behavior(events.presentations, events.trials, events.lick_times_s)
    eye = (events.grid_s, events.pupil_area, events.blink)
    return SessionTraces(flashes, events.lick_times_s, (events.grid_s, events.speed), eye)


@in_one_thread  # as in the jobs of the tables
def fit(n_units: int, params: str, folder: Path, index: int = 0) -> dict[str, float]:
    """Fit the units of a file; return wall seconds, seconds of processor, and the greatest memory."""
    from vbn.analysis.encoding.model import encoding_model
    from vbn.analysis.encoding.parameters import ENCODING

    sizes = np.load(folder / "n.npy")
    times = np.load(folder / "t.npy", mmap_mode="r")
    session = traces(index)
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


@in_one_thread
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
