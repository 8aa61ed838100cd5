"""Reliability, variability and correlations of the corpora's units against plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from schemas import ecephys, interactions, performance, queries, responses, selection
from vbn.errors import NotFoundError, SettingError

pytestmark = pytest.mark.corpus


def flashes(recorded: Any) -> pd.DataFrame:
    """Return the flashes of the set, in order of time."""
    (key,) = (ecephys.Recording & recorded.key).keys()
    return performance.chosen_flashes(key, "lick_free").sort_values("start_time")


def counts_of(times: np.ndarray, starts: np.ndarray, start_s: float, stop_s: float) -> np.ndarray:
    return np.array([((times >= at + start_s) & (times < at + stop_s)).sum() for at in starts])


def test_the_fano_factor_is_that_of_a_plain_count(recorded: Any) -> None:
    shown = flashes(recorded)
    rows = {row["unit_id"]: row for row in (responses.Variability.Unit & recorded.key).to_dicts()}
    assert rows.keys() == recorded.injected.keys()
    images = shown["image_name"].astype(str)
    for unit_id, row in rows.items():
        counts = counts_of(recorded.spike_times[unit_id], shown["start_time"].to_numpy(), 0, 0.25)
        of_images = [counts[(images == name).to_numpy()] for name in images.unique()]
        found = [of.var() / of.mean() for of in of_images if of.size >= 10 and of.mean() >= 0.5]
        if found:
            assert row["variability_fano_factor"] == pytest.approx(np.mean(found), rel=1e-12)
        else:
            assert row["variability_fano_factor"] is None
    assert (responses.Variability & recorded.key).fetch1("n_variability_flashes") == len(shown)


@pytest.mark.roles("visual")
def test_units_with_a_response_are_the_reliable_ones(recorded: Any) -> None:
    rows = {row["unit_id"]: row for row in (responses.Reliability.Unit & recorded.key).to_dicts()}
    assert rows.keys() == recorded.injected.keys()
    known = {number: row["reliability_split_half"] for number, row in rows.items()}
    known = {number: value for number, value in known.items() if value is not None}
    visual = [known[number] for number in recorded.with_role("visual") if number in known]
    others = [value for number, value in known.items() if recorded.injected[number]["role"] == "untuned"]
    if (responses.Reliability & recorded.key).fetch1("n_reliability_images"):
        assert np.median(visual) > 0.3
    else:  # in a recording of seven minutes hardly a flash may be free of licks
        assert not known
    if others:
        assert np.mean(others) < 0.15


@pytest.mark.parametrize("criteria", ["bennett_2025", "quickstart"])
def test_the_plain_correlation_is_that_of_numpy(recorded: Any, criteria: str) -> None:
    key = {**recorded.key, "unit_criteria": criteria}
    row = (interactions.Correlations & key).fetch1()
    ids = row["correlated_unit_ids"].tolist()
    assert row["n_correlated_units"] == len(ids)
    assert set(ids) <= set((selection.UnitSelection.Unit & key).to_arrays("unit_id").tolist())
    shown = flashes(recorded)
    names, n = np.unique(shown["image_name"].astype(str), return_counts=True)
    shown = shown[shown["image_name"].isin(names[n >= 20])]
    assert row["n_correlation_flashes"] == len(shown)
    if len(ids) < 2:
        return
    starts = shown["start_time"].to_numpy()
    counts = np.array([counts_of(recorded.spike_times[number], starts, 0, 0.25) for number in ids[:6]])
    residuals = []
    for name in shown["image_name"].unique():
        of = counts[:, (shown["image_name"] == name).to_numpy()]
        of = of - of.mean(axis=1, keepdims=True)
        residuals.append(of / np.where(of.any(axis=1), of.std(axis=1), 1)[:, None])
    found = queries.noise_correlation(recorded.key, "plain_noise", criteria)
    np.testing.assert_allclose(found[:6, :6], np.corrcoef(np.hstack(residuals)), atol=1e-6)
    assert found["unit"].values.tolist() == ids
    structure = dict(zip(ids, found["structure_acronym"].values, strict=True))
    pairs = queries.correlations(criteria=criteria, sessions=recorded.key)
    assert pairs["n_unit_pairs"].sum() <= len(ids) * (len(ids) - 1) // 2
    assert {*pairs["first_structure"], *pairs["second_structure"]} <= set(structure.values())


def test_names_that_are_not_there(recorded: Any) -> None:
    structures = queries.correlations(["VISp"], sessions=recorded.key)
    assert set(structures["first_structure"]) | set(structures["second_structure"]) <= {"VISp"}
    with pytest.raises(SettingError, match="Near to it: VISp"):
        queries.correlations(["VISpp"])
    with pytest.raises(SettingError, match="for populations only: bennett_2025, quickstart"):
        queries.correlations(criteria="all")
    with pytest.raises(NotFoundError, match="successive_flashes"):
        queries.correlations(correlation_params="successive")
    with pytest.raises(SettingError, match="kind"):
        queries.noise_correlation(recorded.key, "nois")
    with pytest.raises(NotFoundError, match="session_id '1'"):
        queries.noise_correlation(1)
