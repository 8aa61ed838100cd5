from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.vbn.analysis.responses.spike_trains import spikes_at
from vbn.analysis.responses.omission_response import OmissionResponseParameters, omission_response

PERIOD_S = 0.75


def session(n_active=8, n_passive=0):
    """Blocks in which every third flash is left out."""
    parts = []
    for n, active, start_s in ((n_active, True, 10.0), (n_passive, False, 1000.0)):
        k = np.arange(3 * n)
        omitted = k % 3 == 2
        parts.append(
            pd.DataFrame(
                {
                    "start_time": start_s + PERIOD_S * k,
                    "image_name": np.where(omitted, "omitted", "a").astype(object),
                    "active": active,
                    "is_change": pd.array(np.zeros(k.size, bool), dtype="boolean"),
                    "omitted": pd.array(omitted, dtype="boolean"),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def omissions(table, active=True):
    chosen = table["omitted"].to_numpy(bool) & (table["active"].to_numpy(bool) == active)
    return table.loc[chosen, "start_time"].to_numpy()


def test_rates_and_indices_by_hand():
    """Around each of 8 omissions: a spike before, two early, one late; three after the flash before."""
    table = session()
    at = omissions(table)
    train = np.concatenate(
        [
            at + 0.1,
            at + 0.2,
            at + 0.5,
            at - 0.1,
            at - PERIOD_S + 0.1,
            at - PERIOD_S + 0.11,
            at - PERIOD_S + 0.12,
        ]
    )
    row = omission_response(*spikes_at(train), table).iloc[0]
    assert row["n_omissions_active"] == 8
    assert row["baseline_rate_active_hz"] == pytest.approx(1 / 0.35)
    assert row["early_rate_active_hz"] == pytest.approx(2 / 0.35)
    assert row["late_rate_active_hz"] == pytest.approx(1 / 0.35)
    assert row["flash_rate_active_hz"] == pytest.approx(3 / 0.35)
    assert row["early_index_active"] == pytest.approx(1 / 3)
    assert row["late_index_active"] == 0
    assert row["flash_index_active"] == pytest.approx(-1 / 5)
    # 8 rises of 1: one pattern of signs in 2^8, two-sided; for the better of two windows twice that.
    assert row["p_early_active"] == pytest.approx(2 / 2**8)
    assert row["p_late_active"] == 1
    assert row["p_value"] == pytest.approx(4 / 2**8)
    assert row["sign"] == 1
    assert row["is_responsive"]


def test_a_fall_is_a_response_with_the_sign_minus_1():
    table = session(12)
    row = omission_response(*spikes_at(omissions(table) - 0.1), table).iloc[0]
    assert row["sign"] == -1
    assert row["is_responsive"]


def test_the_late_window_decides_where_it_is_the_better_one():
    table = session(10)
    at = omissions(table)
    row = omission_response(*spikes_at(np.concatenate([at + 0.5, at + 0.6])), table).iloc[0]
    assert row["p_early_active"] == 1
    assert row["sign"] == 1


def test_both_conditions_together_give_the_p_value():
    table = session(5, 5)
    train = np.concatenate([omissions(table), omissions(table, active=False)]) + 0.2
    row = omission_response(*spikes_at(train), table).iloc[0]
    assert row["p_early_active"] == row["p_early_passive"] == pytest.approx(2 / 2**5)
    assert row["p_value"] == pytest.approx(4 / 2**10)


def test_p_values_are_scipys():
    table = session(60)
    spikes = np.sort(np.random.default_rng(0).uniform(9, 150, size=3000))
    at = omissions(table)
    counts = [
        np.array([np.sum((spikes >= t + start) & (spikes < t + start + 0.35)) for t in at])
        for start in (0.05, -0.35)
    ]
    difference = (counts[0] - counts[1])[counts[0] != counts[1]]
    expected = stats.wilcoxon(difference, method="asymptotic" if difference.size > 50 else "auto").pvalue
    result = omission_response(*spikes_at(spikes), table)
    assert result["p_early_active"][0] == pytest.approx(expected, rel=0.02)  # scipy approximates with ties


def test_an_omission_right_after_an_omission_has_no_flash_before_it():
    table = session(3)
    table.loc[1, ["omitted", "image_name"]] = [True, "omitted"]
    row = omission_response(*spikes_at(omissions(table) - PERIOD_S + 0.1), table).iloc[0]
    # Four omissions, three of them after a flash: each with one spike in the early window.
    assert row["n_omissions_active"] == 4
    assert row["flash_rate_active_hz"] == pytest.approx(1 / 0.35)


def test_no_omissions_and_no_spikes_are_nan_and_0():
    table = session(3)
    nothing = omission_response(*spikes_at([1.0, 2.0], []), table[~table["omitted"].to_numpy(bool)])
    numbers = [name for name in map(str, nothing) if name.endswith("_hz") or name[:2] in ("p_", "q_")]
    assert nothing[numbers].isna().all(axis=None)
    assert not nothing["is_responsive"].any()
    silent = omission_response(*spikes_at([]), table).iloc[0]
    assert silent["early_rate_active_hz"] == 0
    assert silent["p_value"] == 1
    assert silent["sign"] == 0
    assert np.isnan(silent["early_index_active"])
    assert omission_response([], [], [], table).shape[0] == 0
    assert len(omission_response(*spikes_at([1.0]), table.iloc[:0])) == 1


def test_unit_order_does_not_matter():
    table, rng = session(8, 8), np.random.default_rng(1)
    trains = [rng.uniform(9, 30, size=n) for n in (50, 0, 90)]
    forth = omission_response(*spikes_at(*trains), table)
    back = omission_response(*spikes_at(*trains[::-1]), table)[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(forth, back)


def test_parameters_survive_json_and_refuse_windows_of_unequal_length():
    parameters = OmissionResponseParameters(max_q_value=0.1)
    assert OmissionResponseParameters(**json.loads(json.dumps(asdict(parameters)))) == parameters
    with pytest.raises(ValueError, match="equally long"):
        OmissionResponseParameters(baseline_window_s=(-0.25, 0.0))
    with pytest.raises(ValueError, match="max_q_value"):
        OmissionResponseParameters(max_q_value=1.0)
