from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.vbn.analysis.responses.spike_trains import spikes_at
from vbn.analysis.responses.running_modulation import (
    StateModulationParameters,
    pupil_modulation,
    running_modulation,
    state_correlation,
    state_modulation,
)

PERIOD_S = 0.75


def image_table(n, start_s=10.0):
    """n flashes of one image in the active block."""
    return pd.DataFrame(
        {
            "start_time": start_s + PERIOD_S * np.arange(n),
            "image_name": pd.Series(["a"] * n, dtype=object),
            "active": True,
            "is_change": pd.array(np.zeros(n, bool), dtype="boolean"),
            "omitted": pd.array(np.zeros(n, bool), dtype="boolean"),
        }
    )


def trace(times, values):
    """Sixty samples per second, each with the value of the latest time."""
    samples = np.arange(0, times[-1] + 1, 1 / 60)
    return samples, np.asarray(values, dtype=float)[np.searchsorted(times, samples, side="right") - 1]


def test_the_index_is_relative_to_the_greater_mean():
    """Mean counts 3 and 1: (3 - 1) / 3; the other way round -(3 - 1) / 3."""
    counts = np.array([[4, 2, 1, 1], [1, 1, 4, 2]])
    table = state_modulation(counts, [True, True, False, False], 0.25)
    assert table["modulation_index"].tolist() == pytest.approx([2 / 3, -2 / 3])
    assert table["high_rate_hz"].tolist() == pytest.approx([12, 4])
    assert table[["n_high", "n_low"]].iloc[0].tolist() == [2, 2]


def test_p_is_welchs():
    rng = np.random.default_rng(0)
    counts, is_high = rng.poisson(3, size=(4, 50)), rng.random(50) < 0.3
    expected = stats.ttest_ind(counts[:, is_high], counts[:, ~is_high], axis=1, equal_var=False).pvalue
    assert state_modulation(counts, is_high, 0.25)["p_value"].to_numpy() == pytest.approx(expected)


def test_the_rank_sum_test_is_scipys():
    rng = np.random.default_rng(0)
    counts, is_high = rng.poisson(3, size=(4, 50)), rng.random(50) < 0.3
    expected = stats.mannwhitneyu(
        counts[:, is_high], counts[:, ~is_high], axis=1, method="asymptotic", use_continuity=False
    ).pvalue
    assert state_modulation(counts, is_high, 0.25)["p_rank_sum"].to_numpy() == pytest.approx(expected)


def test_three_silent_flashes_fool_welchs_test_only():
    """No variance among the three, so that the mean of the others decides alone."""
    counts, is_high = np.array([[0] * 3 + [0, 1, 0, 2, 0, 1, 0, 3, 0, 1] * 5]), np.arange(53) >= 3
    row = state_modulation(counts, is_high, 0.25).iloc[0]
    assert row["p_value"] < 1e-4
    assert row["p_rank_sum"] > 0.05


def test_a_least_number_of_events_may_be_asked_for():
    counts, is_high = [[1, 2, 3, 4, 5]], [True, True, True, False, False]
    assert state_modulation(counts, is_high, 0.25)["p_value"].notna().all()
    table = state_modulation(counts, is_high, 0.25, min_events=3)
    assert table[["modulation_index", "p_value", "p_rank_sum"]].isna().all(axis=None)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=30))
def test_swapping_the_states_swaps_the_sign(events):
    counts, is_high = np.array([[c for c, _ in events]]), np.array([h for _, h in events])
    one, other = state_modulation(counts, is_high, 0.25), state_modulation(counts, ~is_high, 0.25)
    assert one["modulation_index"][0] == pytest.approx(-other["modulation_index"][0], nan_ok=True)
    assert one["p_value"][0] == pytest.approx(other["p_value"][0], nan_ok=True)
    assert np.isnan(one["modulation_index"][0]) or abs(one["modulation_index"][0]) <= 1


def test_too_few_events_silence_and_constant_counts_are_nan():
    few = state_modulation([[1, 2, 3]], [True, False, False], 0.25).iloc[0]
    assert np.isnan(few[["modulation_index", "p_value", "q_value"]].to_numpy(float)).all()
    silent = state_modulation([[0, 0, 0, 0]], [True, True, False, False], 0.25).iloc[0]
    assert np.isnan(silent["modulation_index"])
    constant = state_modulation([[1, 1, 2, 2]], [True, True, False, False], 0.25).iloc[0]
    assert constant["modulation_index"] == -0.5
    assert np.isnan(constant["p_value"])
    nothing = state_modulation(np.empty((2, 0), int), [], 0.25)
    assert nothing[["high_rate_hz", "low_rate_hz", "p_value"]].isna().all(axis=None)
    with pytest.raises(ValueError, match="is_high"):
        state_modulation([[1, 2]], [True], 0.25)


def test_running_is_a_mean_speed_over_the_flash_of_1_cm_s_or_more():
    """Of 8 repeats the mouse runs in the last 4, at exactly 1 cm/s; one spike in each of them."""
    table = image_table(9)
    starts = table["start_time"].to_numpy()
    speed = trace(starts, [0, 0, 0, 0, 0.99, 1, 1, 1, 1])
    row = running_modulation(*spikes_at(starts[5:] + 0.1), table, speed).iloc[0]
    assert (row["n_high"], row["n_low"]) == (4, 4)
    assert row["high_rate_hz"] == pytest.approx(4)
    assert row["modulation_index"] == 1


def test_changes_and_omissions_are_not_used():
    table = image_table(8)
    table.loc[2, "is_change"] = True
    table.loc[5, ["omitted", "image_name"]] = [True, "omitted"]
    row = running_modulation(*spikes_at([10.0]), table, trace([10.0, 20.0], [5.0, 5.0])).iloc[0]
    assert row["n_high"] == 4  # without the first, the change, the omission, and the flash after it


def test_flashes_without_a_sample_are_left_out():
    table = image_table(8)
    times = np.arange(table["start_time"][4], 30, 0.01)
    row = running_modulation(*spikes_at([10.0]), table, (times, np.full(times.size, 5.0))).iloc[0]
    assert (row["n_high"], row["n_low"]) == (4, 0)


def test_a_wide_pupil_is_wider_than_the_median_and_blinks_do_not_count():
    table = image_table(9)
    starts = table["start_time"].to_numpy()
    times, area = trace(starts, [0, 1, 2, 3, 4, 5, 6, 7, 8])
    blink = (times >= starts[8]) & (times < starts[8] + 0.1)
    area = np.where(blink, 1e6, area)
    row = pupil_modulation(*spikes_at(starts[5:] + 0.1), table, (times, area, blink)).iloc[0]
    assert (row["n_high"], row["n_low"]) == (4, 4)
    assert row["modulation_index"] == 1
    all_blinks = pupil_modulation(*spikes_at(starts + 0.1), table, (times, area, np.ones(times.size, bool)))
    assert (all_blinks["n_high"][0], all_blinks["n_low"][0], all_blinks["n_bins"][0]) == (0, 0, 0)


@pytest.mark.parametrize("pupil", [None, ([0.0, 99.0], [np.nan, np.nan], [False, False])])
def test_no_eye_tracking_and_a_pupil_of_nan_give_nan(pupil):
    table = pupil_modulation(*spikes_at([10.1], []), image_table(4), pupil)
    numbers = table.drop(columns=["n_high", "n_low", "n_bins"])
    assert len(table) == 2
    assert numbers.isna().all(axis=None)
    assert table[["n_high", "n_low", "n_bins"]].eq(0).all(axis=None)


def test_correlations_are_scipys():
    rng = np.random.default_rng(1)
    state = rng.normal(size=80)
    counts = rng.poisson(np.exp(0.5 * state), size=(3, 80))
    table = state_correlation(counts, state)
    assert table["pearson_r"].tolist() == pytest.approx([stats.pearsonr(c, state).statistic for c in counts])
    expected = [stats.spearmanr(c, state).statistic for c in counts]
    assert table["spearman_r"].tolist() == pytest.approx(expected)


def p_by_shifting(counts, state, min_shift):
    """One shift at a time."""
    n = len(counts)
    r = [abs(stats.spearmanr(counts, np.roll(state, -k)).statistic) for k in range(n)]
    others = r[min_shift : n - min_shift + 1]
    return (1 + sum(x >= r[0] - 1e-9 for x in others)) / (1 + len(others))


@pytest.mark.parametrize("n", [20, 33, 50])
def test_the_p_value_is_the_share_of_shifts_at_least_as_strong(n):
    rng = np.random.default_rng(n)
    state = np.cumsum(rng.normal(size=n))
    counts = rng.poisson(2, size=(4, n))
    expected = [p_by_shifting(c, state, 5) for c in counts]
    assert state_correlation(counts, state, 5)["p_correlation"].tolist() == pytest.approx(expected)


def test_independent_slow_signals_are_rarely_significant():
    """Both drift over tens of bins: the naive test of Spearman's r would reject a third of these."""
    rng = np.random.default_rng(7)
    kernel = np.exp(-np.arange(200) / 20)
    state = np.convolve(rng.normal(size=1200), kernel)[200:1200]
    rates = np.array([np.convolve(rng.normal(size=1200), kernel)[200:1200] for _ in range(120)])
    counts = rng.poisson(np.exp(0.3 * rates / rates.std()) * 3)
    naive = np.mean([stats.spearmanr(c, state).pvalue < 0.05 for c in counts])
    ours = np.mean(state_correlation(counts, state)["p_correlation"] < 0.05)
    assert naive > 0.2
    assert ours < 0.12


def test_what_does_not_vary_has_no_correlation():
    table = state_correlation([[1, 1, 1, 1], [0, 1, 2, 3]], [1.0, 2.0, 3.0, 4.0], 2)
    assert np.isnan(table["pearson_r"][0])
    assert table["pearson_r"][1] == pytest.approx(1)
    assert np.isnan(state_correlation([[0, 1, 2]], [5.0, 5.0, 5.0])["spearman_r"]).all()
    assert state_correlation([[0, 1]], [1.0, 2.0], 5)["p_correlation"].isna().all()
    assert state_correlation(np.empty((2, 0), int), [])["pearson_r"].isna().all()
    assert len(state_correlation(np.empty((0, 3), int), [1.0, 2.0, 3.0])) == 0


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="finite"):
        state_correlation([[1, 2]], [1.0, np.nan])
    with pytest.raises(ValueError, match="min_shift"):
        state_correlation([[1, 2]], [1.0, 2.0], 0)
    with pytest.raises(ValueError, match="one length"):
        pupil_modulation(*spikes_at([1.0]), image_table(2), ([0.0], [1.0], [False, False]))


@pytest.mark.parametrize("n_flashes", [0, 1])
def test_sessions_without_flashes_are_defined(n_flashes):
    table = running_modulation(*spikes_at([10.1], []), image_table(n_flashes), ([], []))
    assert len(table) == 2
    assert table["modulation_index"].isna().all()
    assert running_modulation([], [], [], image_table(n_flashes), ([], [])).shape[0] == 0


def test_unit_order_does_not_matter():
    rng = np.random.default_rng(8)
    table = image_table(60)
    speed = np.arange(9, 60, 1 / 60), rng.normal(1, 1, size=3060)
    trains = [rng.uniform(9, 60, size=n) for n in (100, 0, 40)]
    forth = running_modulation(*spikes_at(*trains), table, speed)
    back = running_modulation(*spikes_at(*trains[::-1]), table, speed)[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(forth, back)


def test_parameters_survive_json_and_refuse_nonsense():
    parameters = StateModulationParameters(condition="either", bin_s=2.0)
    assert StateModulationParameters(**json.loads(json.dumps(asdict(parameters)))) == parameters
    with pytest.raises(ValueError, match="Unknown condition"):
        StateModulationParameters(condition="all")
    with pytest.raises(ValueError, match="min_events"):
        StateModulationParameters(min_events=1)
    with pytest.raises(ValueError, match="bin_s"):
        StateModulationParameters(bin_s=0)
    with pytest.raises(ValueError, match="bin_s"):
        StateModulationParameters(bin_s=20.0)
    with pytest.raises(ValueError, match="running_threshold_cm_s"):
        StateModulationParameters(running_threshold_cm_s=np.nan)
