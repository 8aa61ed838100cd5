"""How fast spikes are counted around events, compared with other packages and one pass over memory.

python -m benchmarks.psth                       # a real session's size: 2160 units, 74 million spikes
python -m benchmarks.psth --spikes 5000000      # smaller
python -m benchmarks.psth --peers seed          # without packages that must be installed first

The others are run on a few units, whose mean number of spikes is that of all, and their time is scaled.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.measure import Results, at_least, at_most, parser, timed, timing
from benchmarks.peers.environments import available, run
from vbn.analysis import Counts, TimeAxis, count_spikes
from vbn.analysis.spikes import compiled

Floats = NDArray[np.float64]
AXIS = TimeAxis(-1.0, 1.5, 0.01)
NAMES = {
    "seed": "makePSTH's loop: a mask and a histogram for each event",
    "pynapple": "pynapple: compute_perievent and count",
    "pynapple_trials": "pynapple: count in each event's window",
    "elephant": "elephant: time_histogram of the pieces",
}
GOALS = {"seed": at_least(90, "x"), "pynapple": at_least(500, "x")}
PASS, NUMPY = "one pass over memory", "`count_spikes`, NumPy"
COMPILED = {1: "`count_spikes`, compiled", 2: "`count_spikes`, compiled, two threads"}
PASSES = {NUMPY: at_most(6, "x"), COMPILED[1]: at_most(3, "x"), COMPILED[2]: at_most(2, "x")}


def main() -> None:
    options = parse_options()
    rng = np.random.default_rng(options.seed)
    trains = synthetic_trains(rng, options.units, options.spikes, options.duration)
    events = np.sort(rng.uniform(10, options.duration / 2, options.events))
    settings = {
        "units": options.units,
        "spikes": sum(train.size for train in trains),
        "events": options.events,
        "bins": AXIS.n_bins,
        "repeats": options.repeats,
    }
    results = Results("PSTHs of all units", settings)
    few = typical_units(rng, trains, min(options.subset, options.units))
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as folder:
        file = Path(folder) / "few.npz"
        write([trains[unit] for unit in few], events, file)
        measure(results, trains, events, file, few, options)
    results.finish(options.json)


def parse_options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--units", type=int, default=2160)
    made.add_argument("--spikes", type=int, default=74_000_000)
    made.add_argument("--events", type=int, default=296)
    made.add_argument("--duration", type=float, default=9500.0, help="seconds of recording")
    made.add_argument("--peers", default=",".join(NAMES), help="with commas between; default: all")
    made.add_argument("--subset", type=int, default=20, help="units that the peers are run on")
    made.add_argument("--repeats", type=int, default=5)
    made.add_argument("--seed", type=int, default=0)
    return made.parse_args()


def synthetic_trains(rng: np.random.Generator, units: int, spikes: int, duration: float) -> list[Floats]:
    """Sorted uniform trains whose rates spread as those of a recording do."""
    share = rng.lognormal(0.0, 1.0, units)
    sizes = (spikes * share / share.sum()).astype(int)
    return [np.sort(rng.uniform(0, duration, size)) for size in sizes]


def typical_units(rng: np.random.Generator, trains: list[Floats], n: int) -> NDArray[np.int64]:
    """Draw units whose mean number of spikes is that of all, so that scaling by units is fair."""
    sizes = np.array([train.size for train in trains])
    draws = [rng.choice(sizes.size, n, replace=False) for _ in range(1000)]
    return min(draws, key=lambda units: abs(sizes[units].mean() - sizes.mean()))


def write(trains: list[Floats], events: Floats, file: Path) -> None:
    """Write what the peers read; they get no other data than `count_spikes` does."""
    n_spikes = [train.size for train in trains]
    np.savez(file, spike_times=np.concatenate(trains), n_spikes=n_spikes, events=events, edges=AXIS.edges_s)


def measure(
    results: Results,
    trains: list[Floats],
    events: Floats,
    file: Path,
    few: NDArray[np.int64],
    options: argparse.Namespace,
) -> None:
    """Time all in turn, so that other work on the machine affects all of them."""
    spike_times = np.concatenate(trains)
    n_spikes = np.array([train.size for train in trains])
    offsets = np.cumsum(n_spikes) - n_spikes
    count = partial(count_spikes, spike_times, offsets, n_spikes, events, AXIS)
    counts, ours = count(), ways(count)
    for way in ours.values():
        np.testing.assert_array_equal(way().total, counts.total)
    peers = available(options.peers.split(","), file)
    seconds: dict[str, list[float]] = {name: [] for name in (PASS, *ours, *peers)}
    for _ in tqdm(range(options.repeats), desc="repeats"):
        seconds[PASS] += timed(spike_times.sum, 1).all
        for name, way in ours.items():
            seconds[name] += timed(way, 1).all
        for peer in peers:
            found = run(peer, file)
            check(peer, found["sum"], int(counts.total[few].sum()))
            seconds[peer].append(found["seconds"] * options.units / few.size)
    results.add(PASS, timing(seconds[PASS]))
    for name in ours:
        results.add(name, timing(seconds[name]), base=PASS, goal=PASSES[name])
    note, fastest = f"{few.size} units, scaled", COMPILED[1] if COMPILED[1] in ours else NUMPY
    for peer in peers:
        results.add(NAMES[peer], timing(seconds[peer]), base=fastest, goal=GOALS.get(peer), note=note)


def ways(count: Callable[..., Counts]) -> dict[str, Callable[[], Counts]]:
    """Return the ways to count that there are here: by NumPy and, with the extra `fast`, compiled."""

    def by_numpy() -> Counts:
        with compiled.without():
            return count()

    found: dict[str, Callable[[], Counts]] = {NUMPY: by_numpy}
    if compiled.loops(compiled.FIRST_PAYS_FROM):
        found |= {name: partial(count, n_threads=n) for n, name in COMPILED.items()}
    return found


def check(peer: str, found: float, expected: int) -> None:
    """Whoever counts other spikes did other work; a few may lie on edges, which others round elsewhere."""
    if abs(found - expected) > 1e-4 * expected:
        sys.exit(f"{peer} counted {found:.0f} spikes, count_spikes {expected}")


if __name__ == "__main__":
    main()
