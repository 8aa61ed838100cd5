"""Decoding trial by trial as rows: what they hold, how they are asked for and published, what is lacking."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import schemas
from schemas import decoding, queries
from schemas.bases.provenance import seed_of
from schemas.reading.session_frames import trials_frame
from vbn.analysis.decoding.trials import TrialDecodingParameters, decode_trials, outcome_trials
from vbn.errors import NotFoundError, SettingError

NEEDED = "Recording,Stimulus,ChangeDetection,UnitSelection"
TRIALS = TrialDecodingParameters("all", (), n_repeats=2, n_permutations=19)


@pytest.fixture(scope="module")
def planted(make_lasting_database: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A session with hits and misses enough, decoded on request by two sets."""
    from vbn.synthetic import SyntheticSettings, write_sessions

    folder = tmp_path_factory.mktemp("planted")
    write_sessions(
        folder,
        SyntheticSettings(sessions=1, probes=1, seed=5, minutes=24, units_per_probe=30, waveforms=False),
    )
    database = make_lasting_database()
    database.call("register", folder, "--catalogue", folder / "project_metadata")
    assert "0 failed" in database.call("populate", "--tables", NEEDED).stdout
    none = database.call("query", "trial-decoding", check=False)
    assert none.returncode == 1
    assert "vbn populate --tables TrialDecoding" in none.stderr
    database.connect()
    decoding.TrialDecodingParams.add("all_structures", asdict(TRIALS))
    assert "2 entries made, 0 failed" in database.call("populate", "--tables", "TrialDecoding").stdout
    return database


def test_hits_are_told_from_misses_trial_by_trial(planted: Any, tmp_path: Path) -> None:
    """The rows are those of the function."""
    planted.connect()
    (row,) = (decoding.TrialDecoding & {"trial_decoding_params": "all_structures"}).to_dicts()
    key = {name: row[name] for name in decoding.TrialDecoding.primary_key}
    units, spikes = decoding.selection.selected_spikes(key, "all")
    located = decoding.located_frame(key).set_index("unit_id")["structure_acronym"]
    trials = outcome_trials(trials_frame(key), 5)
    assert (row["n_trial_hits"], row["n_trial_misses"]) == (trials.is_hit.sum(), (~trials.is_hit).sum())
    assert row["trial_decoding_missing"] is None
    expected = decode_trials(spikes, units["unit_id"].map(located), trials, TRIALS, seed_of(key))
    table = queries.trial_decoding_table(trial_decoding_params="all_structures").sort_values(
        "structure_acronym"
    )
    assert table["structure_acronym"].tolist() == [each.structure for each in expected]
    assert len(table) > 1
    for column, values in {
        "trial_accuracy": [each.accuracy for each in expected],
        "trial_auc": [each.auc for each in expected],
        "trial_free_p": [each.p for each in expected],
        "trial_circular_p": [each.circular_p for each in expected],
        "trial_null_mean": [each.null_accuracies.mean() for each in expected],
    }.items():
        np.testing.assert_allclose(table[column], values, rtol=1e-12)
    of_first = {"trial_decoding_params": "all_structures", "structure_acronym": expected[0].structure}
    (first,) = (decoding.TrialDecoding.Population & of_first).to_dicts()
    np.testing.assert_array_equal(first["trial_null_accuracies"], expected[0].null_accuracies)
    csv = tmp_path / "trials.csv"
    asked = ("trial-decoding", "--params", "all_structures")
    planted.call("query", *asked, "--where", "trial_auc >= 0", "--out", csv)
    np.testing.assert_allclose(
        pd.read_csv(csv)["trial_accuracy"].sort_values(), np.sort(table["trial_accuracy"])
    )
    wrong = planted.call("query", "trial-decoding", "--structure", "VISx", check=False)
    assert wrong.returncode == 1
    assert "VIS" in wrong.stderr


def test_sessions_with_few_misses_say_so_instead_of_being_decoded(planted: Any) -> None:
    planted.connect()
    many = {**asdict(TRIALS), "min_trials": 1000}
    decoding.TrialDecodingParams.add("many_trials", many)
    assert "0 failed" in planted.call("populate", "--tables", "TrialDecoding").stdout
    (row,) = (decoding.TrialDecoding & {"trial_decoding_params": "many_trials"}).to_dicts()
    assert row["trial_decoding_missing"].endswith("fewer than 1000")
    with pytest.raises(NotFoundError, match="fewer than 1000"):
        queries.trial_decoding_table(trial_decoding_params="many_trials")
    decoding.TrialDecodingParams.add("many_units", {**asdict(TRIALS), "min_units": 1000})
    assert "0 failed" in planted.call("populate", "--tables", "TrialDecoding").stdout
    (row,) = (decoding.TrialDecoding & {"trial_decoding_params": "many_units"}).to_dicts()
    assert row["trial_decoding_missing"] == "no structure of the set has as many units that pass its filter"
    with pytest.raises(SettingError, match="There is no structure 'visp'"):
        decoding.TrialDecodingParams.add("wrong", {**many, "structures": ["visp"]})
    with pytest.raises(NotFoundError, match="no parameter set 'benett'"):
        decoding.TrialDecodingParams.add("wrong", {**many, "unit_criteria": "benett"})


def test_a_published_folder_answers_alike(planted: Any, tmp_path: Path) -> None:
    planted.connect()
    expected = queries.trial_decoding_table(trial_decoding_params="all_structures")
    planted.call("publish", tmp_path / "published")
    schemas.open(tmp_path / "published")
    try:
        found = queries.trial_decoding_table(trial_decoding_params="all_structures")
        pd.testing.assert_frame_equal(found, expected)
    finally:
        schemas.disconnect()
