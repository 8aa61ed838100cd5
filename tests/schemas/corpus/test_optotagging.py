"""The optotagging of the corpora equals what was put into it, and what plain loops count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from schemas import ecephys, optotagging, responses
from vbn.analysis.optotagging import DEFAULT_METHOD, METHODS

pytestmark = pytest.mark.corpus
EACH_METHOD = pytest.mark.parametrize("method", METHODS)
CENSOR_S = 0.0015
EPOCH_MARGIN_S = 1.0
FEWEST_SPIKES = 5
NARROW_MS = 0.4


@pytest.fixture
def trains(recorded: Any) -> dict[int, np.ndarray]:
    """Unit id -> spike times as AllenSDK reads them."""
    return recorded.spike_times


def labels_of(recorded: Any, method: str = DEFAULT_METHOD) -> dict[int, dict[str, Any]]:
    rows = (optotagging.unit_labels(method) & recorded.key).to_dicts()
    return {row["unit_id"]: row for row in rows}


def strongest(recorded: Any, waveform: str = "pulse") -> pd.DataFrame:
    """Return the pulses of a waveform at its highest level."""
    pulses = recorded.table("optotagging_table")
    pulses = pulses[pulses["stimulus_name"] == waveform]
    return pulses[np.isclose(pulses["level"], pulses["level"].max())]


def n_spikes_in(times: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> int:
    return sum(int(((times >= a) & (times < b)).sum()) for a, b in zip(starts, stops, strict=True))


def test_the_default_method_tags_the_units_that_answer_the_laser_and_no_others(recorded: Any) -> None:
    """Wild types get the same pulses, and some units have artefacts at the pulses' edges."""
    labels = labels_of(recorded)
    assert labels.keys() == recorded.injected.keys()
    tagged = {unit_id for unit_id, row in labels.items() if row["optotag_label"] == "tagged"}
    passing = {unit_id for unit_id, row in labels.items() if row["optotag_passes"]}
    expected = recorded.with_role("opto") if recorded.is_cre else set()
    assert tagged == passing == expected


def test_every_unit_that_is_not_tagged_has_a_reason(recorded: Any) -> None:
    for row in labels_of(recorded).values():
        label, reason = row["optotag_label"], row["optotag_reason"]
        if not recorded.is_cre:
            assert (label, reason) == ("unlabelled", "not_cre")
        elif label == "tagged":
            assert reason is None
        else:
            assert (label == "untagged") == (reason == "no_response")
            assert reason in ("no_response", "too_few_spikes", "artifact_only")


def test_units_with_hardly_a_spike_during_the_laser_are_not_labelled(recorded: Any, trains: Any) -> None:
    pulses = recorded.table("optotagging_table")
    start, stop = (
        pulses["start_time"].min() - EPOCH_MARGIN_S,
        pulses["stop_time"].max() + EPOCH_MARGIN_S,
    )
    labels = labels_of(recorded)
    evidence = (optotagging.Optotagging.Evidence & recorded.key).to_dicts()
    counts = {row["unit_id"]: row["n_epoch_spikes"] for row in evidence}
    for unit_id, times in trains.items():
        n_spikes = n_spikes_in(times, np.array([start]), np.array([stop]))
        assert counts[unit_id] == n_spikes
        if recorded.is_cre and labels[unit_id]["optotag_label"] != "tagged":
            assert (labels[unit_id]["optotag_reason"] == "too_few_spikes") == (n_spikes < FEWEST_SPIKES)


@EACH_METHOD
def test_the_entry_of_a_method_sums_up_its_units(recorded: Any, method: str) -> None:
    row = (optotagging.OptotagLabel & recorded.key & {"optotag_method": method}).fetch1()
    labels = labels_of(recorded, method)
    assert labels.keys() == recorded.injected.keys()
    assert (row["n_tagged"] or 0) == sum(label["optotag_label"] == "tagged" for label in labels.values())
    assert row["n_passing"] == sum(bool(label["optotag_passes"]) for label in labels.values())
    assert row["n_tagged"] == (row["n_passing"] if recorded.is_cre else None)


@pytest.mark.roles("opto_artifact")
def test_artefacts_are_never_tagged_by_the_methods_that_censor_them(recorded: Any) -> None:
    artefacts = recorded.with_role("opto_artifact")
    for method in set(METHODS) - {"tutorial", "swdb_2022"}:
        labels = labels_of(recorded, method)
        assert not [unit_id for unit_id in artefacts if labels[unit_id]["optotag_passes"]], method


def test_the_conditions_are_the_waveforms_and_levels_of_the_laser_table(recorded: Any) -> None:
    query = optotagging.Optotagging.Condition & recorded.key
    rows = query.to_dicts(order_by="laser_waveform, laser_level_rank")
    pulses = recorded.table("optotagging_table")
    assert (optotagging.Optotagging & recorded.key).fetch1("optotag_outcome") == "measured"
    expected = []
    for waveform, of_waveform in pulses.groupby("stimulus_name"):
        for rank, (level, chosen) in enumerate(of_waveform.groupby("level")):
            duration = (chosen["stop_time"] - chosen["start_time"]).median()
            expected.append((waveform, rank, pytest.approx(level), pytest.approx(duration), len(chosen)))
        levels = [row["laser_level_name"] for row in rows if row["laser_waveform"] == waveform]
        assert (levels[0], levels[-1]) == ("low", "high")
    names = ("laser_waveform", "laser_level_rank", "laser_level", "laser_duration", "n_condition_pulses")
    assert [tuple(row[name] for name in names) for row in rows] == expected


def test_there_is_evidence_of_every_unit_in_every_condition(recorded: Any) -> None:
    conditions = (optotagging.Optotagging.Condition & recorded.key).to_dicts()
    evidence = (optotagging.Optotagging.Evidence & recorded.key).to_dicts()
    found = {(row["unit_id"], row["laser_waveform"], row["laser_level_rank"]) for row in evidence}
    assert len(found) == len(evidence) == len(conditions) * len(recorded.injected)
    assert found == {
        (unit_id, row["laser_waveform"], row["laser_level_rank"])
        for unit_id in recorded.injected
        for row in conditions
    }


def test_the_rates_of_every_unit_are_those_of_a_plain_count(recorded: Any, trains: Any) -> None:
    """The windows lie inside the pulse, 1.5 ms from its edges, and from 200 to 2 ms before it."""
    pulses = strongest(recorded)
    onsets = pulses["start_time"].to_numpy()
    duration = round((pulses["stop_time"] - pulses["start_time"]).median(), 6)
    evoked_s, n_pulses = duration - 2 * CENSOR_S, len(pulses)
    for row in strongest_rows(recorded, "pulse"):
        times = trains[row["unit_id"]]
        n_evoked = n_spikes_in(times, onsets + CENSOR_S, onsets + duration - CENSOR_S)
        n_before = n_spikes_in(times, onsets - 0.2, onsets - 0.002)
        assert (row["n_evoked_spikes"], row["n_baseline_spikes"]) == (n_evoked, n_before)
        assert row["laser_evoked_rate"] == pytest.approx(n_evoked / (n_pulses * evoked_s))
        assert row["laser_baseline_rate"] == pytest.approx(n_before / (n_pulses * 0.198))
        fold = row["laser_evoked_rate"] / (row["laser_baseline_rate"] + 1)
        assert row["laser_fold"] == pytest.approx(fold)


def test_latency_and_reliability_are_those_of_a_plain_loop(recorded: Any, trains: Any) -> None:
    pulses = strongest(recorded)
    onsets = pulses["start_time"].to_numpy()
    duration = round((pulses["stop_time"] - pulses["start_time"]).median(), 6)
    for row in strongest_rows(recorded, "pulse"):
        times = trains[row["unit_id"]]
        first = []
        for onset in onsets:
            inside = times[(times >= onset + CENSOR_S) & (times < onset + duration - CENSOR_S)]
            first += [inside[0] - onset] if len(inside) else []
        assert row["laser_reliability"] == pytest.approx(len(first) / len(onsets))
        if row["censored_p_wilcoxon"] <= 0.05:
            middle = np.median(first)
            assert row["first_spike_latency"] == pytest.approx(middle)
            assert row["first_spike_jitter"] == pytest.approx(np.median(np.abs(first - middle)), abs=1e-12)
        else:
            assert row["first_spike_latency"] is row["first_spike_jitter"] is None


def test_the_latency_of_tagged_units_is_the_one_that_was_put_in(recorded: Any) -> None:
    if not recorded.is_cre:
        pytest.skip("nothing answers the laser in a wild type")
    rows = {row["unit_id"]: row for row in strongest_rows(recorded, "pulse")}
    for unit_id in recorded.with_role("opto"):
        injected = recorded.injected[unit_id]
        assert abs(rows[unit_id]["first_spike_latency"] - injected["pulse_latency_s"]) < 0.001
        assert rows[unit_id]["first_spike_jitter"] < 3 * injected["pulse_jitter_s"]


@pytest.mark.parametrize(
    ("method", "evoked", "baseline", "min_hz", "min_fold"),
    [
        ("swdb_2022", (0.001, 0.009), (-0.010, -0.002), 50.0, 5.0),
        ("tutorial", (0.001, 0.008), (-0.010, -0.001), 0.0, 2.0),
    ],
)
def test_the_methods_of_two_windows_are_those_of_a_plain_count(
    recorded: Any,
    trains: Any,
    method: str,
    evoked: tuple[float, float],
    baseline: tuple[float, float],
    min_hz: float,
    min_fold: float,
) -> None:
    onsets = strongest(recorded)["start_time"].to_numpy()
    labels = labels_of(recorded, method)
    for unit_id, times in trains.items():
        rates = [
            n_spikes_in(times, onsets + start, onsets + stop) / (len(onsets) * (stop - start))
            for start, stop in (evoked, baseline)
        ]
        passes = enough_spikes(recorded, times) and rates[0] > min_hz and rates[0] / (rates[1] + 1) > min_fold
        assert bool(labels[unit_id]["optotag_passes"]) == passes, unit_id


def enough_spikes(recorded: Any, times: np.ndarray) -> bool:
    pulses = recorded.table("optotagging_table")
    after_begin = times >= pulses["start_time"].min() - EPOCH_MARGIN_S
    before_end = times < pulses["stop_time"].max() + EPOCH_MARGIN_S
    return int((after_begin & before_end).sum()) >= FEWEST_SPIKES


def strongest_rows(recorded: Any, waveform: str) -> list[dict[str, Any]]:
    """Return every unit's evidence at the highest level of a waveform."""
    high = optotagging.Optotagging.Condition & {"laser_level_name": "high", "laser_waveform": waveform}
    rows: list[dict[str, Any]] = (
        (optotagging.Optotagging.Evidence & recorded.key) * high.proj() & recorded.key
    ).to_dicts()
    assert len(rows) == len(recorded.injected)
    return rows


@EACH_METHOD
def test_the_cell_class_joins_label_and_waveform(recorded: Any, method: str) -> None:
    key = {**recorded.key, "optotag_method": method}
    rows = (responses.CellClass.Unit & key).to_dicts()
    widths, labels = recorded.table("units")["waveform_duration"], labels_of(recorded, method)
    assert {row["unit_id"] for row in rows} == labels.keys()
    line = "Vip" if "Vip" in recorded.summary["metadata"]["full_genotype"] else "Sst"
    for row in rows:
        width = widths[row["unit_id"]]
        by_width = "RS" if width > NARROW_MS else "FS" if width < NARROW_MS else "unlabelled"
        is_tagged = labels[row["unit_id"]]["optotag_label"] == "tagged"
        assert row["cell_class"] == (line if is_tagged else by_width)
    n_classified = (responses.CellClass & key).fetch1("n_classified")
    assert n_classified == sum(row["cell_class"] != "unlabelled" for row in rows)


def test_an_unknown_method_is_named_with_the_known_ones(recorded: Any) -> None:
    from vbn.errors import NotFoundError

    with pytest.raises(NotFoundError, match=r"'bennett'.*There are: .*bennett_2025"):
        optotagging.unit_labels("bennett")


def test_the_labels_join_with_units_and_places(recorded: Any) -> None:
    """The question a scientist asks: where are the tagged units?"""
    peaks = ecephys.Recording.Channel.proj("structure_acronym", peak_channel_id="channel_id")
    query = optotagging.unit_labels().proj("optotag_label") * ecephys.Recording.Unit * peaks & recorded.key
    found = {row["unit_id"]: row["structure_acronym"] for row in query.to_dicts()}
    assert found == {unit_id: unit["structure"] or None for unit_id, unit in recorded.injected.items()}


def test_the_report_counts_the_units_that_pass_by_line(collected: Any) -> None:
    """The share of wild types is the false-positive rate: none, by the default method."""
    reported = collected.database.json("optotagging", "report")
    assert {row["method"] for row in reported} == set(METHODS)
    genotypes = {row["session_id"]: row["genotype"] for row in sessions_with_genotype()}
    for row in reported:
        labels = optotagging.unit_labels(row["method"]).to_dicts()
        of_line = [label for label in labels if line_of(genotypes[label["session_id"]]) == row["line"]]
        of_line = [label for label in of_line if label["optotag_passes"] is not None]
        assert row["n_units"] == len(of_line)
        assert row["n_passing"] == sum(bool(label["optotag_passes"]) for label in of_line)
        assert row["n_sessions"] == len({label["session_id"] for label in of_line})
        assert row["share"] == pytest.approx(row["n_passing"] / row["n_units"])
        assert 0 <= row["share_low"] <= row["share"] <= row["share_high"] <= 1
        if (row["method"], row["line"]) == (DEFAULT_METHOD, "wild type"):
            assert row["n_passing"] == 0


def sessions_with_genotype() -> list[dict[str, Any]]:
    from schemas import session

    rows: list[dict[str, Any]] = (session.Session.proj() * session.Mouse.proj("genotype")).to_dicts()
    return rows


def line_of(genotype: str) -> str:
    if "wt/wt" in genotype:
        return "wild type"
    return "Sst" if "Sst" in genotype else "Vip"


def test_the_report_is_a_table_for_people(populated_corpus: Any) -> None:
    done = populated_corpus.call("optotagging", "report", "--method", DEFAULT_METHOD)
    assert done.stderr == ""
    assert "false-positive rate" in done.stdout
    unknown = populated_corpus.call("optotagging", "report", "--method", "bennet", check=False)
    assert unknown.returncode == 1
    assert "No such method: bennet. There are: " in unknown.stderr
