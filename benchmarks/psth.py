"""How fast spikes are counted around events, beside the tutorial's loop and one pass over the memory.

python benchmarks/psth.py                      # a real session's size: 2160 units, 74 million spikes
python benchmarks/psth.py --spikes 5000000     # smaller
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vbn.analysis import TimeAxis, count_spikes

Floats = NDArray[np.float64]


def main() -> None:
    options = parse_options()
    axis = TimeAxis(-1.0, 1.5, 0.01)
    rng = np.random.default_rng(options.seed)
    trains = synthetic_trains(rng, options.units, options.spikes, options.duration)
    n_spikes = np.array([len(train) for train in trains])
    offsets = np.cumsum(n_spikes) - n_spikes
    spike_times = np.concatenate(trains)
    events = np.sort(rng.uniform(10, options.duration / 2, options.events))
    print(f"{options.units} units, {spike_times.size / 1e6:.1f} million spikes, {options.events} events")

    counts, ours = timed(lambda: count_spikes(spike_times, offsets, n_spikes, events, axis), options.repeat)
    _, memory_pass = timed(lambda: spike_times.sum(), options.repeat)
    subset = np.linspace(0, options.units - 1, min(options.subset, options.units)).astype(int)
    loop_counts, subset_time = timed(
        lambda: [tutorial_loop(trains[unit], events, axis) for unit in subset], 1
    )
    seed = subset_time * options.units / subset.size

    assert np.array_equal(counts.total[subset], loop_counts)
    print(f"count_spikes      {ours:8.3f} s")
    print(f"one memory pass   {memory_pass:8.3f} s   (count_spikes: {ours / memory_pass:.1f} x)")
    print(f"loop over events  {seed:8.3f} s   ({seed / ours:.0f} x count_spikes; {subset.size} units scaled)")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=2160)
    parser.add_argument("--spikes", type=int, default=74_000_000)
    parser.add_argument("--events", type=int, default=296)
    parser.add_argument("--duration", type=float, default=9500.0, help="seconds of recording")
    parser.add_argument("--subset", type=int, default=20, help="units that the loop is run on")
    parser.add_argument("--repeat", type=int, default=3, help="the fastest of so many runs counts")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def synthetic_trains(rng: np.random.Generator, units: int, spikes: int, duration: float) -> list[Floats]:
    """Sorted uniform trains whose rates spread as those of a recording do."""
    share = rng.lognormal(0.0, 1.0, units)
    sizes = (spikes * share / share.sum()).astype(int)
    return [np.sort(rng.uniform(0, duration, size)) for size in sizes]


def tutorial_loop(train: Floats, events: Floats, axis: TimeAxis) -> Floats:
    """Mask the spikes of each event's window, then numpy.histogram, event by event."""
    edges = np.arange(axis.n_bins + 1) * axis.bin_s
    total = np.zeros(axis.n_bins)
    for event in events:
        start = event + axis.start_s
        window = train[(train >= start) & (train < start + edges[-1])]
        total += np.histogram(window - start, edges)[0]
    return total


def timed(call: Callable[[], object], repeat: int) -> tuple[object, float]:
    """Result of a call, and the seconds of its fastest run."""
    best = np.inf
    for _ in range(repeat):
        begin = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - begin)
    return result, best


if __name__ == "__main__":
    main()
