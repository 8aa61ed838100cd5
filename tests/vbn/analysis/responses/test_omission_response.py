from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.vbn.analysis.responses.spike_trains import spikes_at
from vbn.analysis.responses.omission_response import (
    MIN_OMISSIONS,
    OmissionResponseParameters,
    omission_response,
)
from vbn.analysis.statistics import exact_signed_rank_p_values

PERIOD_S = 0.75
WINDOWS_S = {"first": (-0.5, -0.25), "second": (-0.25, 0.0), "evoked": (0.05, 0.3)}


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


def measured(table, *trains, licks=(), **parameters):
    return omission_response(
        *spikes_at(*trains), table, licks, parameters=OmissionResponseParameters(**parameters)
    )


def test_rates_and_indices_by_hand():
    """Around each of 8 omissions 1 and 2 spikes in the gray, 5 after; one after the flash before."""
    table = session()
    at = omissions(table)
    delays = (-0.4, -0.2, -0.1, 0.1, 0.11, 0.12, 0.13, 0.29, -PERIOD_S + 0.1)
    row = measured(table, np.concatenate([at + delay for delay in delays])).iloc[0]
    assert row["n_omissions_active"] == row["n_tested_active"] == 8
    assert row["first_gray_rate_active_hz"] == pytest.approx(1 / 0.25)
    assert row["second_gray_rate_active_hz"] == pytest.approx(2 / 0.25)
    assert row["evoked_rate_active_hz"] == pytest.approx(5 / 0.25)
    # The straight continuation is above the second rate: 2 + 1.2 * (2 - 1).
    assert row["expected_rate_active_hz"] == pytest.approx(3.2 / 0.25)
    assert row["response_index_active"] == pytest.approx(1.8 / 8.2)
    assert row["flash_rate_active_hz"] == pytest.approx(1 / 0.25)
    assert row["flash_index_active"] == pytest.approx(4 / 6)
    # Eight equal rises have the p of equal signs, two-sided.
    assert row["p_value_active"] == row["p_value"] == pytest.approx(2 / 2**8)
    assert row["sign"] == 1
    assert row["is_responsive"]


def test_what_lies_between_the_last_rate_and_its_continuation_is_no_response():
    """4, 2 and 1 spikes: a decay; 0 would be its straight continuation."""
    table = session(20)
    at = omissions(table)
    delays = (-0.45, -0.4, -0.35, -0.3, -0.2, -0.1, 0.1)
    row = measured(table, np.concatenate([at + delay for delay in delays])).iloc[0]
    assert row["expected_rate_active_hz"] == row["evoked_rate_active_hz"] == pytest.approx(4)
    assert row["response_index_active"] == 0
    assert row["p_value"] == 1
    assert row["sign"] == 0
    assert not row["is_responsive"]


def test_a_fall_is_a_response_with_the_sign_minus_1():
    table = session(12)
    at = omissions(table)
    row = measured(table, np.concatenate([at - 0.3, at - 0.1])).iloc[0]
    assert row["response_index_active"] == -1
    assert row["sign"] == -1
    assert row["is_responsive"]


def test_both_conditions_together_give_the_p_value():
    table = session(5, 5)
    train = np.concatenate([omissions(table), omissions(table, active=False)]) + 0.2
    row = measured(table, train).iloc[0]
    assert row["p_value_active"] == row["p_value_passive"] == pytest.approx(2 / 2**5)
    assert row["p_value"] == pytest.approx(2 / 2**10)


def test_p_values_are_scipys():
    table = session(60)
    spikes = np.sort(np.random.default_rng(0).uniform(9, 150, size=3000))
    at = omissions(table)
    first, second, evoked = (
        np.array([np.sum((spikes >= t + start) & (spikes < t + stop)) for t in at])
        for start, stop in WINDOWS_S.values()
    )
    contrasts = evoked - second, evoked - second - 1.2 * (second - first)
    rise, fall = (
        max(stats.ttest_1samp(contrast, 0, alternative=side).pvalue for contrast in contrasts)
        for side in ("greater", "less")
    )
    assert measured(table, spikes)["p_value_active"][0] == pytest.approx(min(1, 2 * min(rise, fall)))


TAILS = {"tail of .15 s": (15, 0.15), "tail of .6 s": (10, 0.6), "dip": (-0.9, 0.3)}


def decaying(rng, table, hz, decay_s):
    """A unit of 3 Hz (with a dip 10 Hz) whose rate each flash raises, or lowers by a share, for a while."""
    shown = table.loc[~table["omitted"].to_numpy(bool), "start_time"].to_numpy() + 0.05
    end_s = shown[-1] + 2
    if hz > 0:
        added = np.repeat(shown, rng.poisson(hz * decay_s, shown.size))
        own = rng.uniform(0, end_s, rng.poisson(3 * end_s))
        return np.sort(np.concatenate([own, added + rng.exponential(decay_s, added.size)]))
    train = np.sort(rng.uniform(0, end_s, rng.poisson(10 * end_s)))
    since = train - shown[np.maximum(np.searchsorted(shown, train, side="right") - 1, 0)]
    return train[rng.random(train.size) > -hz * np.exp(-np.abs(since) / decay_s)]


@pytest.mark.parametrize(("hz", "decay_s"), TAILS.values(), ids=TAILS)
def test_what_a_flash_leaves_behind_is_no_response_to_an_omission(hz, decay_s):
    """Against the 350 ms before, as in method version 1, a quarter to all of these units had one."""
    table, rng = session(180), np.random.default_rng(1)
    trains = [decaying(rng, table, hz, decay_s) for _ in range(60)]
    result = measured(table, *trains)
    assert (result["p_value"] <= 0.05).sum() <= 60 * 0.07
    at = omissions(table)
    old = [np.searchsorted(train, at + 0.4) - np.searchsorted(train, at + 0.05) for train in trains]
    before = [np.searchsorted(train, at) - np.searchsorted(train, at - 0.35) for train in trains]
    assert (exact_signed_rank_p_values(np.array(old) - before) <= 0.05).sum() > 60 * 0.2


def test_a_rise_of_2_hz_is_found_in_most_units_and_never_as_a_fall():
    table, rng = session(180), np.random.default_rng(2)
    at = omissions(table)
    trains = []
    for _ in range(60):
        more = at[rng.random(at.size) < 2 * 0.25] + rng.uniform(0.05, 0.3)
        trains.append(np.concatenate([rng.uniform(0, 420, rng.poisson(3 * 420)), more]))
    result = measured(table, *trains)
    assert (result["p_value"] <= 0.05).mean() > 0.6
    assert (result["response_index_active"] < 0).sum() <= 1


def test_omissions_with_a_lick_in_any_window_are_left_out_unless_they_may_have_one():
    table = session(8)
    at = omissions(table)
    licks = [at[0] - 0.5, at[1] - 0.01, at[2] + 0.29, at[3] + 0.3, at[4] - 0.51]
    assert measured(table, [1.0], licks=licks)["n_tested_active"][0] == 5
    assert measured(table, [1.0], licks=licks, lick_free=False)["n_tested_active"][0] == 8
    # Spikes with licks are no response then.
    train = np.concatenate([licks[:3], at + 0.1])
    assert measured(table, train, licks=licks)["evoked_rate_active_hz"][0] == pytest.approx(4)


def test_engagement_is_a_parameter():
    """Engaged by nearby hits: at the first changes only."""
    table = session(40)
    table.loc[[4, 7], "is_change"] = True
    changes = table.loc[[4, 7], "start_time"].to_numpy()
    trials = pd.DataFrame(
        {"trial_id": [0, 1], "start_time": changes - 1, "stop_time": changes + 1, "hit": True}
    )
    for name in ("miss", "false_alarm", "correct_reject", "auto_rewarded", "aborted"):
        trials[name] = False
    parameters = OmissionResponseParameters(engagement="siegle_2021")
    spikes = spikes_at([1.0])
    row = omission_response(*spikes, table, [], trials, parameters).iloc[0]
    n_near = np.sum((omissions(table) < changes[0] + 60) & (omissions(table) > changes[1] - 60))
    assert row["n_tested_active"] == n_near < row["n_omissions_active"] == 40
    with pytest.raises(ValueError, match="not known without trials"):
        omission_response(*spikes, table, [], parameters=parameters)


def test_an_omission_right_after_an_omission_is_not_measured():
    table = session(3)
    table.loc[1, ["omitted", "image_name"]] = [True, "omitted"]
    row = measured(table, omissions(table) - PERIOD_S + 0.1).iloc[0]
    assert (row["n_omissions_active"], row["n_tested_active"]) == (4, 3)
    assert row["flash_rate_active_hz"] == pytest.approx(1 / 0.25)


def test_the_flash_before_is_compared_with_unless_it_is_a_change():
    table = session(2)
    table.loc[1, "is_change"] = True
    first, second = omissions(table)
    train = [first - PERIOD_S + 0.1, first - PERIOD_S + 0.2, second - PERIOD_S + 0.1]
    assert measured(table, train)["flash_rate_active_hz"][0] == pytest.approx(1 / 0.25)


def test_what_was_not_tested_is_missing():
    few = session(MIN_OMISSIONS - 1)
    row = measured(few, omissions(few) + 0.1).iloc[0]
    assert row["evoked_rate_active_hz"] == pytest.approx(4)
    for name in ("p_value_active", "p_value", "q_value", "sign", "is_responsive"):
        assert pd.isna(row[name]), name
    none = measured(few[~few["omitted"].to_numpy(bool)], [1.0, 2.0], [])
    counts = [name for name in none if name.startswith("n_")]
    assert (none[counts] == 0).all(axis=None)
    assert none.drop(columns=counts).isna().all(axis=None)


def test_a_silent_unit_was_tested_and_has_no_response():
    table = session(MIN_OMISSIONS)
    silent = measured(table, []).iloc[0]
    assert silent["evoked_rate_active_hz"] == 0
    assert silent["p_value"] == 1
    assert silent["sign"] == 0
    assert not silent["is_responsive"]
    assert np.isnan(silent["response_index_active"])
    assert omission_response([], [], [], table, []).shape[0] == 0
    assert len(omission_response(*spikes_at([1.0]), table.iloc[:0], [])) == 1


def test_unit_order_does_not_matter():
    table, rng = session(8, 8), np.random.default_rng(1)
    trains = [rng.uniform(9, 30, size=n) for n in (50, 0, 90)]
    forth = measured(table, *trains)
    back = measured(table, *trains[::-1])[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(forth, back)


def test_parameters_survive_json_and_refuse_what_cannot_be():
    parameters = OmissionResponseParameters(max_q_value=0.1, engagement="allensdk")
    assert OmissionResponseParameters(**json.loads(json.dumps(asdict(parameters)))) == parameters
    for wrong, problem in (
        ({"evoked_window_s": (0.05, 0.2)}, "equally long"),
        ({"first_gray_window_s": (-0.25, 0.0)}, "follow one another"),
        ({"engagement": "always"}, "engagement must be one of allensdk"),
        ({"max_q_value": 1.0}, "max_q_value"),
    ):
        with pytest.raises(ValueError, match=problem):
            OmissionResponseParameters(**wrong)
