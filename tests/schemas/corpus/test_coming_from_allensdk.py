"""Each line of ``docs/coming-from-allensdk.md`` against AllenSDK's own answer of the same recording."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import schemas
from schemas import behavior, ecephys, performance, queries, stimulus
from schemas.reading import recordings, session_frames
from schemas.rows.fetch import fetch_frame
from tests.schemas.corpus.comparison import assert_rows_equal
from tests.schemas.corpus.reading import Expected

pytestmark = pytest.mark.corpus

PAGE = Path(__file__).parents[3] / "docs" / "coming-from-allensdk.md"
ROWS = re.findall(
    r"^\| `(.+?)` \| `(.+?)` \|$", PAGE.read_text().partition("## Coming from DataJoint")[0], re.M
)
SESSION = "behavior_ecephys_sessions/1900000100/expected"
"""With a laser, an eye camera and an LFP file."""
UNIT = {"unit_firing_rate": "firing_rate", "pt_ratio": "PT_ratio", "unit_amplitude": "amplitude"}

Check = Callable[[Any, Expected], None]


def ids_are(name: str, wanted: Callable[[Expected], Any]) -> Check:
    """Return a check that rows, or an index, have these ids."""

    def check(found: Any, expected: Expected) -> None:
        rows = found.reset_index()[name] if isinstance(found, pd.DataFrame) else found.to_arrays(name)
        assert sorted(rows.tolist()) == sorted(wanted(expected)) != []

    return check


def catalogue(table: str, column: str) -> Callable[[Expected], Any]:
    """Return what a table of the release lists, without the training that has no file."""

    def wanted(expected: Expected) -> Any:
        return pd.read_csv(expected.folder.parents[2] / "project_metadata" / f"{table}.csv")[column].tolist()

    return wanted


def columns_are(table: str, names: dict[str, str], known: str | None = None) -> Check:
    """Return a check of columns of a frame of AllenSDK's, whose names are given as ours -> AllenSDK's."""

    def check(found: Any, expected: Expected) -> None:
        frame = expected.table(table)
        frame = frame if known is None else frame[frame[known].fillna(False).astype(bool)]
        found = fetch_frame(found) if hasattr(found, "to_arrays") else found.reset_index()
        rows = found.astype(object).where(found.notna(), None).to_dict("records")
        assert_rows_equal(rows, frame.reset_index(), {theirs: ours for ours, theirs in names.items()})

    return check


def units_are_located(found: Any, expected: Expected) -> None:
    channels = expected.table("channels")
    merged = expected.table("units").merge(channels, left_on="peak_channel_id", right_index=True)
    found = found.set_index("unit_id")
    assert sorted(found.index) == sorted(merged.index)
    for ours, theirs in {"snr": "snr", "probe_vertical_position": "probe_vertical_position", **UNIT}.items():
        np.testing.assert_allclose(found[ours].loc[merged.index].astype(float), merged[theirs], rtol=1e-9)


def metrics_are(found: Any, expected: Expected) -> None:
    for name, value in expected.summary["performance_metrics"].items():
        np.testing.assert_allclose(np.nan if found[name] is None else found[name], value, rtol=1e-9)


def metadata_is(found: Any, expected: Expected) -> None:
    told = expected.summary["metadata"]
    names = {"sex": "sex", "age_in_days": "age_in_days", "session_type": "session_type"}
    names |= {"mouse_id": "mouse_id", "genotype": "full_genotype", "cre_line": "cre_line"}
    assert {name: found[name] for name in names} == {ours: told[theirs] for ours, theirs in names.items()}


def rates_are_those_of_a_loop(found: Any, expected: Expected) -> None:
    """The quick start's: spikes after each change, counted in bins, over bins and changes."""
    changes = expected.change_times(active=True)
    edges = np.concatenate([found["time"] - 0.005, found["time"][-1:] + 0.005])
    for unit_id, times in expected.spike_times.items():
        counts = sum(np.histogram(times - change, edges)[0] for change in changes)
        np.testing.assert_allclose(found.sel(unit=unit_id), counts / 0.01 / len(changes), rtol=1e-5)


def lfp_is(found: Any, expected: Expected) -> None:
    assert list(found[1].shape) == expected.summary["lfp"]["probeC"]["shape"]


def spikes_are(found: Any, expected: Expected) -> None:
    np.testing.assert_array_equal(found, expected.spike_times[first_unit(expected)])


def waveform_is(found: Any, expected: Expected) -> None:
    unit_id = first_unit(expected)
    channel = next(each for each in expected.summary["units_spikes"] if each["unit_id"] == unit_id)
    assert list(found.shape) == channel["wf_shape"]
    np.testing.assert_allclose(found[channel["peak_channel_number"]], expected.peak_waveforms()[unit_id])


def array_is(table: str, column: str) -> Check:
    def check(found: Any, expected: Expected) -> None:
        np.testing.assert_allclose(found, expected.table(table)[column].astype(float), rtol=1e-12)

    return check


def first_unit(expected: Expected) -> int:
    return min(expected.spike_times)


TRIALS = {
    "trial_id": "trials_id", "trial_start_time": "start_time", "go": "go", "hit": "hit", "aborted": "aborted",
    "change_image_name": "change_image_name", "response_time": "response_time",
}  # fmt: skip
CHECKS: dict[str, Check] = {
    "cache.get_ecephys_session_table()": ids_are(
        "session_id", catalogue("ecephys_sessions", "ecephys_session_id")
    ),
    "cache.get_behavior_session_table()": ids_are(
        "behavior_session_id", catalogue("behavior_sessions", "behavior_session_id")
    ),
    "cache.get_probe_table()": ids_are("probe_id", catalogue("probes", "ecephys_probe_id")),
    "cache.get_channel_table()": ids_are("channel_id", catalogue("channels", "ecephys_channel_id")),
    "cache.get_unit_table()": ids_are("unit_id", catalogue("units", "unit_id")),
    "session.get_units()": ids_are("unit_id", lambda it: it.summary["unit_filters"]["default"]["unit_ids"]),
    "session.get_units(filter_by_validity=True)": ids_are(
        "unit_id", lambda it: it.summary["unit_filters"]["valid"]["unit_ids"]
    ),
    'units.query("snr > 1 and isi_violations < 1 and firing_rate > 0.1")': ids_are(
        "unit_id",
        lambda it: it.table("units").query("snr > 1 and isi_violations < 1 and firing_rate > 0.1").index,
    ),
    'units.merge(session.get_channels(), left_on="peak_channel_id", right_index=True)': units_are_located,
    "session.get_channels()": ids_are(
        "channel_id", lambda it: it.table("channels").index[it.table("channels")["valid_data"].astype(bool)]
    ),
    "session.get_probes_obj()": ids_are("probe_id", lambda it: [each["id"] for each in it.summary["probes"]]),
    "session.spike_times[unit_id]": spikes_are,
    "session.mean_waveforms[unit_id]": waveform_is,
    "session.get_lfp(probe_id)": lfp_is,
    "session.stimulus_presentations": columns_are(
        "stimulus_presentations",
        {name: name for name in ("start_time", "end_time", "image_name", "active", "is_change", "omitted")},
    ),
    "stimulus_presentations[stimulus_presentations.active & stimulus_presentations.is_change]": ids_are(
        "presentation_start_time", lambda it: it.change_times(active=True)
    ),
    "stimulus_presentations[stimulus_presentations.omitted]": columns_are(
        "stimulus_presentations", {"presentation_start_time": "start_time"}, "omitted"
    ),
    "session.trials": columns_are("trials", TRIALS),
    "trials[trials.hit]": columns_are("trials", TRIALS, "hit"),
    "session.licks": columns_are("licks", {"timestamps": "timestamps"}),
    "session.rewards": columns_are("rewards", {"timestamps": "timestamps", "volume": "volume"}),
    "session.running_speed": array_is("running_speed", "speed"),
    "session.eye_tracking": array_is("eye_tracking", "pupil_area"),
    "session.optotagging_table": columns_are(
        "optotagging_table", {"start_time": "start_time", "level": "level", "stimulus_name": "stimulus_name"}
    ),
    "session.get_performance_metrics()": metrics_are,
    "session.get_rolling_performance_df()": columns_are(
        "rolling_performance", {"rolling_dprime": "rolling_dprime", "hit_rate": "hit_rate"}
    ),
    "session.get_reward_rate()": array_is("rolling_performance", "reward_rate"),
    "session.metadata": metadata_is,
    "for unit_id in units.index: makePSTH(session.spike_times[unit_id], change_times, ...)": (
        rates_are_those_of_a_loop
    ),
    "for session_id in sessions.index: cache.get_ecephys_session(session_id).get_units()": ids_are(
        "unit_id", catalogue("units", "unit_id")
    ),
}


@pytest.fixture
def recording(corpus: Path, populated_corpus: Any) -> Expected:
    populated_corpus.connect()
    return Expected(corpus / SESSION)


def test_every_line_of_the_page_is_checked() -> None:
    assert sorted(theirs for theirs, _ in ROWS) == sorted(CHECKS)


@pytest.mark.parametrize(("theirs", "ours"), ROWS, ids=[theirs for theirs, _ in ROWS])
def test_the_line_gives_what_allensdk_gives(theirs: str, ours: str, recording: Expected) -> None:
    session_id = recording.session_id
    known = {
        "session_id": session_id,
        "key": queries.sessions(session_id=session_id).keys()[0],
        "unit_id": first_unit(recording),
        "unit_key": queries.units(where={"unit_id": first_unit(recording)}).keys()[0],
        "behavior": behavior, "ecephys": ecephys, "performance": performance, "queries": queries,
        "recordings": recordings, "schemas": schemas, "session_frames": session_frames, "stimulus": stimulus,
    }  # fmt: skip
    CHECKS[theirs](eval(ours, known), recording)  # the page's own text
