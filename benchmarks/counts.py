"""Spike counts around all presentations, and what the tables that count gain from them.

python -m benchmarks.counts                      # a quarter of a real session's units and spikes
python -m benchmarks.counts --full               # 2160 units, 74 million spikes, 13,600 presentations

The functions that fill the tables are run in turn, with counts and without, in one process, without a
database; all must find the same. Times are of the process: other work affects them less than wall time.
Where numba is installed (the extra `fast`), both ways of counting are measured.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import Results, at_most, parser, timing
from benchmarks.psth import synthetic_trains
from vbn.analysis.responses.image_selectivity import DEFAULT as IMAGE_DEFAULT
from vbn.analysis.responses.image_selectivity import image_selectivity
from vbn.analysis.responses.published_response import DEFAULT as PUBLISHED_DEFAULT
from vbn.analysis.responses.published_response import published_response
from vbn.analysis.spikes import compiled
from vbn.analysis.spikes.presentation_counts import COUNT_WINDOWS, count_presentations
from vbn.analysis.spikes.trains import SpikePieces
from vbn.analysis.spikes.windows import CountedSpikes
from vbn.analysis.task.flash_behavior import flash_behavior
from vbn.analysis.task.flash_sets import FLASH_SETS, select_flashes
from vbn.analysis.task.trial_response import trial_counts, trial_events
from vbn.calibration.columns import MEASURES, Function, as_spikes
from vbn.calibration.events import SimulatedEvents, simulate_events

UNITS, SPIKES = 2160, 74_000_000
TABLES = (
    "ChangeResponse", "OmissionResponse", "FullFieldResponse", "RunningModulation", "PupilModulation",
    "ReceptiveField",
)  # fmt: skip
NUMPY, COMPILED = "NumPy", "compiled"
PASS, COUNTS = "one pass over memory", "`count_presentations`, eleven windows"
COUNTING, READING = "all nine tables, counting", "all nine tables, reading counts"
Ways = dict[str, Callable[[], AbstractContextManager[None]]]


def main() -> None:
    options = parse_options()
    share = 1 if options.full else 4
    events = simulate_events(0, 0)
    rng = np.random.default_rng(0)
    spikes = as_spikes(synthetic_trains(rng, UNITS // share, SPIKES // share, events.end_s))
    settings = {
        "units": UNITS // share,
        "spikes": len(spikes[0]),
        "presentations": len(events.presentations),
        "repeats": options.repeats,
    }
    results = Results("counts of all presentations", settings)
    starts = events.presentations["start_time"].to_numpy(np.float64)
    ways = ways_to_count()
    counts = measure_counts(results, spikes, starts, ways, options)
    size = sum(each.nbytes for each in counts) / 1e9
    results.add("their size", size, unit="GB", goal=at_most(0.35, "GB") if options.full else None)
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as folder:
        compare(results, spikes, events, stored(counts, spikes, starts, Path(folder)), ways)
    results.finish(options.json)


def ways_to_count() -> Ways:
    """Return the ways that there are here; numba has been loaded, as in a worker's second job."""
    is_there = bool(compiled.loops(compiled.FIRST_PAYS_FROM))
    return {NUMPY: compiled.without, **({COMPILED: nullcontext} if is_there else {})}


def measure_counts(
    results: Results, spikes: Any, starts: Any, ways: Ways, options: argparse.Namespace
) -> list[Any]:
    """Time the counts in turn, and compare them."""
    seconds: dict[str, list[float]] = {name: [] for name in (PASS, *ways)}
    found: dict[str, list[Any]] = {}
    for _ in range(options.repeats):
        seconds[PASS].append(of_process(spikes[0].sum)[0])
        for name, way in ways.items():
            with way():
                took, found[name] = of_process(lambda: count_presentations(*spikes, starts))
            seconds[name].append(took)
    results.add(PASS, timing(seconds[PASS]))
    for name, counts in found.items():
        goal = at_most(3, "s") if options.full else None
        results.add(f"{COUNTS}, {name}", timing(seconds[name]), base=PASS, goal=goal)
        for one, other in zip(counts, found[NUMPY], strict=True):
            np.testing.assert_array_equal(one, other, strict=True)
    return found[NUMPY]


def parse_options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--repeats", type=int, default=3)
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


def compare(results: Results, spikes: Any, events: SimulatedEvents, counted: Any, ways: Ways) -> None:
    """Time each table when counting and when reading counts, in each way."""
    total: dict[str, float] = {}
    for table, function in functions(events).items():
        found = []
        for how, given in ((COUNTING, spikes), (READING, counted)):
            for name, way in ways.items():
                with way():
                    seconds, frame = of_process(partial(function, given))
                found.append(frame)
                row = f"{how}, {name}"
                total[row] = total.get(row, 0.0) + seconds
                base = None if not found[1:] else f"`{table}`, counting, {NUMPY}"
                results.add(row.replace("all nine tables", f"`{table}`"), seconds, base=base)
        for frame in found[1:]:
            pd.testing.assert_frame_equal(found[0], frame, check_exact=True)
    for row, seconds in total.items():
        results.add(row, seconds, base=None if row == f"{COUNTING}, {NUMPY}" else f"{COUNTING}, {NUMPY}")


def functions(events: SimulatedEvents) -> dict[str, Callable[[Any], pd.DataFrame]]:
    """Return what fills each table, given the spikes; what a session's tables share is worked out before."""
    of_tables = {each.table: each.function for each in MEASURES}
    behavior = flash_behavior(events.presentations, events.trials, events.lick_times_s)
    of_images = behavior[select_flashes(behavior, FLASH_SETS[IMAGE_DEFAULT.flash_set])]
    chosen = {
        kind: select_flashes(behavior, FLASH_SETS[name])
        for kind, name in PUBLISHED_DEFAULT.flash_sets.items()
    }
    return {
        **{name: _without_seed(of_tables[name], events) for name in TABLES},
        "ImageSelectivity": lambda spikes: image_selectivity(*spikes, of_images)[0],
        "PublishedResponse": lambda spikes: published_response(*spikes, behavior, events.trials, chosen)[0],
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
