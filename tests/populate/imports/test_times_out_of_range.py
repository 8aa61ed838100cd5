"""A time that no session can have is missing with an issue, or refused in words, and no more."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from benchmarks.fuzz.mutants import replace_text, with_own_ids

pytestmark = pytest.mark.slow

VALUES = (1e300, -1e300, float(2**62), -1e9, 1e6, np.inf, -np.inf, np.nan)
DAY_S = 86_400.0
IMAGES = "intervals/Natural_Images_Lum_Matched_set_ophys_G_2019_presentations"
GABORS, TRIALS = "intervals/gabor_20_deg_250ms_presentations", "intervals/trials"
LASER, RUNNING = "processing/optotagging/optogenetic_stimulation", "processing/running"
# Where a time may be missing, the rest of the table is imported.
IMPORTED = (
    "acquisition/EyeTracking/eye_tracking/timestamps", f"{IMAGES}/duration", f"{GABORS}/duration",
    f"{TRIALS}/change_time_no_display_delay", f"{TRIALS}/lick_times", f"{TRIALS}/response_time",
    f"{TRIALS}/reward_time", "processing/licking/licks/timestamps", f"{RUNNING}/speed/timestamps",
    f"{RUNNING}/speed_unfiltered/timestamps", "processing/stimulus/timestamps/timestamps",
)  # fmt: skip
ISSUES = {
    ("infinite_values", "stimulus_presentations"), ("infinite_values", "trials"),
    ("infinite_values", "licks"), ("missing_times", "running"), ("missing_times", "eye_tracking"),
    ("missing_times", "stimulus_timestamps"),
}  # fmt: skip
# Where the table means nothing without it, the table is refused; the trials apart, as Stimulus needs them.
REFUSED = (
    {
        "units/spike_times": ("Recording", "/units/spike_times of probeA"),
        f"{GABORS}/start_time": ("Stimulus", "start times are missing, infinite or more than a day"),
        f"{LASER}/start_time": ("OptoStimulation", "pulses end before they start"),
    },
    {f"{TRIALS}/stop_time": ("ChangeDetection", "trial_stop_time")},
)


@dataclass(frozen=True)
class Populated:
    """What became of a damaged copy of a small recording."""

    database: Any
    path: Path
    session_id: int
    errors: dict[str, str]


def put_values(file: h5py.File, name: str) -> None:
    """Spread the values over a column."""
    times = file[name][:]
    n = min(len(times), len(VALUES))
    times[np.linspace(0, len(times) - 1, n).astype(int)] = VALUES[:n]
    file[name][:] = times


@pytest.fixture(scope="module")
def populate_damaged(
    make_database: Callable[..., Any], open_folder: Path
) -> Iterator[Callable[..., Populated]]:
    from populate.registration.register import register
    from populate.work import runner
    from vbn.synthetic import SyntheticSettings, write_sessions

    small = SyntheticSettings(
        sessions=1, seed=5, minutes=2, probes=1, units_per_probe=3, template_shape=(8, 8)
    )
    (recording,) = write_sessions(open_folder / "times", small)
    database = make_database().keep_few_sets()

    def populate(session_id: int, names: Any) -> Populated:
        path = open_folder / f"times_{session_id}.nwb"
        shutil.copyfile(recording, path)
        with h5py.File(path, "r+") as file:
            replace_text(file, "identifier", str(session_id))
            with_own_ids(file, session_id % 100)
            for name in names:
                put_values(file, name)
        (outcome,) = register([path])
        assert outcome.status == "registered", outcome.message
        results = list(runner.run(runner.session_keys([session_id]), runner.populated_tables(())))
        errors = {result.table: result.error for result in results if result.error is not None}
        return Populated(database, path, session_id, errors)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in database.environment.items():
            patch.setenv(name, value)
        yield populate


def test_times_that_may_be_missing_are_issues_and_all_else_is_computed(
    populate_damaged: Callable[..., Populated],
) -> None:
    from schemas import behavior, session, stimulus

    done = populate_damaged(9_600_000_001, IMPORTED)
    assert done.errors == {}
    key = {"session_id": done.session_id}
    found = zip(*(session.ImportIssue & key).to_arrays("issue_code", "issue_table"), strict=True)
    assert set(found) >= ISSUES
    for table, names in (
        (behavior.ChangeDetection.Trial, ("change_time_no_display_delay", "response_time", "reward_time")),
        (stimulus.Stimulus.Presentation, ("presentation_duration",)),
    ):
        for name in names:
            times = (table & key).to_arrays(name).astype(float)
            assert np.isnan(times).any()
            assert (np.abs(times[~np.isnan(times)]) <= DAY_S).all()


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_times_that_a_table_needs_are_refused_with_file_and_column(
    populate_damaged: Callable[..., Populated], number: int
) -> None:
    expected = REFUSED[number]
    done = populate_damaged(9_600_000_002 + number, expected)
    assert set(done.errors) == {table for table, _ in expected.values()}
    for table, words in expected.values():
        assert str(done.path) in done.errors[table]
        assert words in done.errors[table]
        assert not re.search(r"Error\b|Traceback|\n", done.errors[table])
