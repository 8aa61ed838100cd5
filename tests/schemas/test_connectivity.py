"""Timescales and functional connectivity as rows: asked for, drawn, and what is answered without them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schemas import ecephys, interactions, performance, queries, responses, selection
from schemas.bases.provenance import seed_of
from schemas.figures.connectivity import connectivity_figure
from schemas.reading.recordings import session_spikes
from schemas.reading.session_frames import presentations_frame
from vbn.analysis.interactions.connectivity import ConnectivityParameters, functional_connectivity
from vbn.analysis.responses.intrinsic_timescale import TIMESCALES, intrinsic_timescale
from vbn.errors import NotFoundError, SettingError

pytestmark = pytest.mark.files  # all of it is populated on both servers elsewhere

NEEDED = (
    "Recording", "Stimulus", "ChangeDetection", "Licks", "OptoStimulation", "Optotagging", "OptotagLabel",
    "CellClass", "UnitSelection", "IntrinsicTimescale",
)  # fmt: skip
LOOSE = replace(
    ConnectivityParameters(), flash_set="repeated_active", min_rate_hz=0.5, min_expected=2.0, min_z=2.5
)
OF_SET = {"unit_criteria": "quickstart", "connectivity_params": "loose"}


@pytest.fixture(scope="module")
def connected(make_lasting_database: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One session; with bounds that are far too low, so that there are peaks."""
    from vbn.synthetic import SyntheticSettings, write_sessions

    folder = tmp_path_factory.mktemp("connected")
    settings = SyntheticSettings(sessions=1, probes=2, seed=6, minutes=8, units_per_probe=14, waveforms=False)
    write_sessions(folder, settings)
    database = make_lasting_database()
    database.call("register", folder, "--catalogue", folder / "project_metadata")
    database.call("populate", "--tables", ",".join(NEEDED))
    database.connect()
    interactions.ConnectivityParams.add("loose", asdict(LOOSE))
    done = database.call("populate", "--table", "FunctionalConnectivity").stdout
    assert "4 entries made, 0 failed" in done  # two sets, two filters for populations
    return database


@pytest.fixture
def bound(connected: Any) -> Any:
    connected.connect()
    return connected


def the_key() -> dict[str, Any]:
    (key,) = (interactions.FunctionalConnectivity & OF_SET).keys()
    return dict(key)


def test_rows_are_what_the_function_finds(bound: Any) -> None:
    key = the_key()
    units, spikes = selection.selected_spikes(key, "quickstart")
    where = pd.DataFrame(
        (ecephys.Recording.Unit * ecephys.Recording.Channel.proj(
            "structure_acronym", "probe_vertical_position", peak_channel_id="channel_id"
        )).to_dicts()
    ).set_index("unit_id").loc[units["unit_id"]]  # fmt: skip
    found = functional_connectivity(
        *spikes, performance.chosen_flashes(key, "repeated_active"), units["probe_name"],
        where["probe_vertical_position"], LOOSE, seed_of(key),
    )  # fmt: skip
    row = (interactions.FunctionalConnectivity & key).fetch1()
    assert row["n_connectivity_peaks"] == len(found.peaks) > 3
    assert row["n_connectivity_pairs"] == found.is_tested.sum()
    assert row["ccg_surrogate_fraction"] == pytest.approx(found.n_surrogate_peaks / found.is_tested.sum())
    np.testing.assert_array_equal(row["ccg_counts"].load(), found.counts.astype(np.float32))
    np.testing.assert_array_equal(row["ccg_expected"].load(), found.expected.astype(np.float32))
    pairs = pd.DataFrame((interactions.FunctionalConnectivity.Pair & key).to_dicts()).set_index("ccg_row")
    assert len(pairs) == len(found.peaks)
    pairs = pairs.sort_index()
    for name in ("first", "second"):
        assert pairs[f"{name}_unit_id"].tolist() == units["unit_id"].iloc[found.peaks[name]].tolist()
    np.testing.assert_allclose(pairs["ccg_peak_z"], found.peaks["z"])
    np.testing.assert_allclose(pairs["ccg_peak_lag"], found.peaks["lag_s"])
    same = pairs["first_probe_name"] == pairs["second_probe_name"]
    assert pairs["pair_distance"].notna().tolist() == same.tolist()


def test_published_bounds_find_nothing_in_units_without_connections(bound: Any) -> None:
    for row in (interactions.FunctionalConnectivity & {"connectivity_params": "jitter_25"}).to_dicts():
        assert row["n_connectivity_peaks"] == 0
        assert row["ccg_counts"] is None


def test_pairs_are_answered_with_what_both_units_are(bound: Any) -> None:
    chosen: dict[str, Any] = {"criteria": "quickstart", "connectivity_params": "loose"}
    pairs = queries.connectivity(**chosen)
    assert len(pairs) == (interactions.FunctionalConnectivity & the_key()).fetch1("n_connectivity_peaks")
    table = queries.unit_table(queries.units(), ["unit_id", "structure_acronym", "cell_class"])
    of_unit = table.set_index("unit_id")
    for name in ("first", "second"):
        units = of_unit.loc[pairs[f"{name}_unit_id"]]
        for column, wanted in (("structure", "structure_acronym"), ("cell_class", "cell_class")):
            expected = units[wanted].astype(object).where(units[wanted].notna(), None).tolist()
            given = pairs[f"{name}_{column}"].astype(object)
            assert given.where(given.notna(), None).tolist() == expected
    structure = pairs["first_structure"].dropna().iloc[0]
    some = queries.connectivity([structure], **chosen)
    assert set(some["first_structure"]) | set(some["second_structure"]) <= {structure}
    areas = queries.area_connectivity(**chosen)
    swapped = areas.rename(
        columns={
            "first_structure": "second_structure", "second_structure": "first_structure",
            "n_ccg_leading": "n_ccg_following", "n_ccg_following": "n_ccg_leading",
        }
    )  # fmt: skip
    columns = ["first_structure", "second_structure", "n_ccg_pairs", "n_ccg_peaks", "n_ccg_leading"]
    apart = areas["first_structure"] != areas["second_structure"]
    order = ["first_structure", "second_structure"]
    pd.testing.assert_frame_equal(
        areas[apart][columns].sort_values(order, ignore_index=True),
        swapped[apart][columns].sort_values(order, ignore_index=True),
    )
    assert areas[~apart]["ccg_lead_score"].isna().all()


def test_people_ask_and_draw_by_the_command_line(bound: Any, tmp_path: Path) -> None:
    options = ("--criteria", "quickstart", "--params", "loose")
    pairs = bound.json("query", "connectivity", *options, "--sort", "-ccg_peak_z")
    heights = [pair["ccg_peak_z"] for pair in pairs]
    assert heights == sorted(heights, reverse=True)
    assert len(heights) > 3
    assert bound.json("query", "connectivity", "--areas", *options)
    out, data = tmp_path / "connectivity.svg", tmp_path / "connectivity.csv"
    done = bound.call("plot", "connectivity", *options, "--out", out, "--data", data)
    assert "pairs of units tested" in done.stdout
    picture = out.read_text(encoding="utf-8")
    figure = connectivity_figure(criteria="quickstart", connectivity_params="loose")
    assert f"{figure.pair[0]} ({figure.pair_structures[0]})" in picture
    assert "Lead score: +1" in picture
    at = figure.lags_s.size // 2 + round(1000 * figure.peak_lag_s)
    peak = (
        interactions.FunctionalConnectivity.Pair & the_key() & {"first_unit_id": figure.pair[0]}
    ).to_dicts()
    assert figure.counts[at] in [row["n_ccg_coincidences"] for row in peak]


def test_wrong_names_are_answered_with_the_nearest(bound: Any) -> None:
    with pytest.raises(SettingError, match="for populations only: bennett_2025, quickstart"):
        queries.connectivity(criteria="all")
    with pytest.raises(NotFoundError, match="jitter_25"):
        queries.area_connectivity(connectivity_params="jitter_26")
    with pytest.raises(SettingError, match="structure"):
        queries.connectivity(["VISpp"])
    with pytest.raises(NotFoundError, match="'nowhere'"):
        interactions.ConnectivityParams.add("odd", asdict(replace(LOOSE, flash_set="nowhere")))


def test_what_was_not_asked_for_is_said(bound: Any, tmp_path: Path) -> None:
    if "later" not in interactions.ConnectivityParams.names():
        interactions.ConnectivityParams.add("later", asdict(replace(LOOSE, min_z=3.0)))
    with pytest.warns(queries.IncompleteWarning, match="vbn populate --table FunctionalConnectivity"):
        assert queries.connectivity(connectivity_params="later").empty
    out = tmp_path / "none.png"
    done = bound.call("plot", "connectivity", "--params", "later", "--out", out, check=False)
    assert done.returncode == 1
    assert "vbn populate --table FunctionalConnectivity" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_timescales_are_rows_and_columns_of_units(bound: Any) -> None:
    (key,) = ecephys.Recording.keys()
    units, times = session_spikes(key)
    expected = intrinsic_timescale(
        times, units["spike_offset"], units["n_spikes"], presentations_frame(key), TIMESCALES["calibrated"]
    )
    rows = pd.DataFrame(
        (responses.IntrinsicTimescale.Unit & {"intrinsic_timescale_params": "calibrated"}).to_dicts()
    )
    rows = rows.set_index("unit_id").loc[units["unit_id"]]
    for name in ("intrinsic", "decay"):
        np.testing.assert_allclose(rows[f"timescale_{name}"].astype(float), expected[f"{name}_s"])
        known = expected[f"{name}_s"].notna().to_numpy()
        assert rows[f"timescale_is_valid_{name}"].notna().tolist() == known.tolist()
        assert rows[f"timescale_spikes_{name}"].tolist() == expected[f"spikes_{name}"].tolist()
    assert len(responses.IntrinsicTimescale()) == len(TIMESCALES)
    names = "unit_id,timescale_intrinsic,timescale_is_valid_intrinsic,timescale_decay"
    shown = bound.json("query", "units", "--columns", names)
    given = pd.DataFrame(shown).set_index("unit_id").loc[rows.index]
    np.testing.assert_allclose(
        given["timescale_intrinsic"].astype(float), rows["timescale_intrinsic"].astype(float)
    )
    few = bound.json("query", "units", "--where", "timescale_decay < .1", "--columns", names)
    assert len(few) == (rows["timescale_decay"].astype(float) < 0.1).sum()
    assert json.dumps(few)
