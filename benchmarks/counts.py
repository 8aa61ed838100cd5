"""Spike counts around all presentations, and what the tables that count gain from them.

python -m benchmarks.counts                      # a quarter of a real session's units and spikes
python -m benchmarks.counts --full               # 2160 units, 74 million spikes, 13,600 presentations

The functions that fill the tables are run in turn, with counts and without, in one process, without a
database; both must find the same. Times are of the process: other work affects them less than wall time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import Results, at_most, parser
from benchmarks.psth import synthetic_trains
from vbn.analysis.spikes.presentation_counts import COUNT_WINDOWS, count_presentations
from vbn.analysis.spikes.trains import SpikePieces
from vbn.analysis.spikes.windows import CountedSpikes
from vbn.analysis.task.trial_response import trial_counts, trial_events
from vbn.calibration.columns import MEASURES, Function, as_spikes
from vbn.calibration.events import SimulatedEvents, simulate_events

UNITS, SPIKES = 2160, 74_000_000
TABLES = (
    "ChangeResponse", "OmissionResponse", "ImageSelectivity", "FullFieldResponse", "RunningModulation",
    "PupilModulation", "ReceptiveField", "PublishedResponse",
)  # fmt: skip
PASS, COUNTS = "one pass over memory", "count_presentations, eleven windows"
ALONE, TOGETHER = "all of them, counting", "all of them, reading counts"


def main() -> None:
    options = parse_options()
    share = 1 if options.full else 4
    events = simulate_events(0, 0)
    rng = np.random.default_rng(0)
    spikes = as_spikes(synthetic_trains(rng, UNITS // share, SPIKES // share, events.end_s))
    settings = {"units": UNITS // share, "spikes": len(spikes[0]), "presentations": len(events.presentations)}
    results = Results("counts of all presentations", settings)
    starts = events.presentations["start_time"].to_numpy(np.float64)
    seconds, _ = of_process(spikes[0].sum)
    results.add(PASS, seconds)
    seconds, counts = of_process(lambda: count_presentations(*spikes, starts))
    results.add(COUNTS, seconds, base=PASS, goal=at_most(3, "s") if options.full else None)
    size = sum(each.nbytes for each in counts) / 1e9
    results.add("their size", size, unit="GB", goal=at_most(0.35, "GB") if options.full else None)
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as folder:
        compare(results, spikes, events, stored(counts, spikes, starts, Path(folder)))
    results.finish(options.json)


def parse_options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--full", action="store_true", help="a session of the size of a real one")
    return made.parse_args()


def of_process(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = function()
    return time.process_time() - start, found


def stored(counts: list[Any], spikes: Any, starts: Any, folder: Path) -> Any:
    """Return the spikes with their counts as memory maps, as the tables read them."""
    known = {}
    for window, array in zip(COUNT_WINDOWS, counts, strict=True):
        np.save(folder / f"{window.name}.npy", array)
        read = partial(np.load, folder / f"{window.name}.npy", mmap_mode="r")
        known[(*window.window_s, window.counted)] = read
    times, offsets, n_spikes = spikes
    return CountedSpikes(SpikePieces([times]), offsets, n_spikes, starts, known), offsets, n_spikes


def compare(results: Results, spikes: Any, events: SimulatedEvents, counted: Any) -> None:
    total = {ALONE: 0.0, TOGETHER: 0.0}
    for name, function in functions(events).items():
        found = {}
        for how, given in ((ALONE, spikes), (TOGETHER, counted)):
            seconds, found[how] = of_process(partial(function, given))
            total[how] += seconds
            base = name if how == TOGETHER else None
            results.add(name if how == ALONE else f"{name}, reading counts", seconds, base=base)
        pd.testing.assert_frame_equal(found[ALONE], found[TOGETHER], check_exact=True)
    results.add(ALONE, total[ALONE])
    results.add(TOGETHER, total[TOGETHER], base=ALONE)


def functions(events: SimulatedEvents) -> dict[str, Callable[[Any], pd.DataFrame]]:
    """Return what fills each table, given the spikes."""
    of_tables = {each.table: each.function for each in MEASURES}
    return {
        **{name: _without_seed(of_tables[name], events) for name in TABLES},
        "TrialResponse": lambda spikes: trials_of(spikes, events),
    }


def _without_seed(function: Function, events: SimulatedEvents) -> Callable[[Any], pd.DataFrame]:
    return lambda spikes: function(spikes, events, 0)


def trials_of(spikes: Any, events: SimulatedEvents) -> pd.DataFrame:
    tables = []
    for block in ("active", "passive"):
        times = trial_events(events.presentations, events.trials, block)["event_time"]
        tables += [pd.DataFrame(window) for window in trial_counts(*spikes, event_times=times)]
    return pd.concat(tables)


if __name__ == "__main__":
    main()
