from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal, stats

from tests.vbn.analysis.responses.spike_trains import spikes_at
from vbn.analysis.responses.running_modulation import (
    StateModulationParameters,
    _mean_ranks,
    linear_shift_p_values,
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
    assert table["allensdk_modulation_index"].tolist() == pytest.approx([2 / 3, -2 / 3])
    assert table["high_rate_hz"].tolist() == pytest.approx([12, 4])
    assert table[["n_high", "n_low"]].iloc[0].tolist() == [2, 2]


def test_allensdks_p_is_welchs():
    rng = np.random.default_rng(0)
    counts, is_high = rng.poisson(3, size=(4, 50)), rng.random(50) < 0.3
    expected = stats.ttest_ind(counts[:, is_high], counts[:, ~is_high], axis=1, equal_var=False).pvalue
    assert state_modulation(counts, is_high, 0.25)["allensdk_p_value"].to_numpy() == pytest.approx(expected)


def test_a_least_number_of_events_may_be_asked_for():
    counts, is_high = [[1, 2, 3, 4, 5]], [True, True, True, False, False]
    assert state_modulation(counts, is_high, 0.25)["allensdk_p_value"].notna().all()
    table = state_modulation(counts, is_high, 0.25, min_events=3)
    assert table[["allensdk_modulation_index", "allensdk_p_value"]].isna().all(axis=None)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=30))
def test_swapping_the_states_swaps_the_sign(events):
    counts, is_high = np.array([[c for c, _ in events]]), np.array([h for _, h in events])
    one, other = state_modulation(counts, is_high, 0.25), state_modulation(counts, ~is_high, 0.25)
    index, turned = (each["allensdk_modulation_index"][0] for each in (one, other))
    assert index == pytest.approx(-turned, nan_ok=True)
    assert one["allensdk_p_value"][0] == pytest.approx(other["allensdk_p_value"][0], nan_ok=True)
    assert np.isnan(index) or abs(index) <= 1


def test_too_few_events_silence_and_constant_counts_are_nan():
    few = state_modulation([[1, 2, 3]], [True, False, False], 0.25).iloc[0]
    assert np.isnan(few[["allensdk_modulation_index", "allensdk_p_value"]].to_numpy(float)).all()
    silent = state_modulation([[0, 0, 0, 0]], [True, True, False, False], 0.25).iloc[0]
    assert np.isnan(silent["allensdk_modulation_index"])
    constant = state_modulation([[1, 1, 2, 2]], [True, True, False, False], 0.25).iloc[0]
    assert constant["allensdk_modulation_index"] == -0.5
    assert np.isnan(constant["allensdk_p_value"])
    nothing = state_modulation(np.empty((2, 0), int), [], 0.25)
    assert nothing[["high_rate_hz", "low_rate_hz", "allensdk_p_value"]].isna().all(axis=None)
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
    assert row["allensdk_modulation_index"] == 1


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
    assert row["allensdk_modulation_index"] == 1
    all_blinks = pupil_modulation(*spikes_at(starts + 0.1), table, (times, area, np.ones(times.size, bool)))
    assert (all_blinks[["n_high", "n_low", "n_bins_active"]] == 0).all(axis=None)


@pytest.mark.parametrize("pupil", [None, ([0.0, 99.0], [np.nan, np.nan], [False, False])])
def test_no_eye_tracking_and_a_pupil_of_nan_give_nan(pupil):
    table = pupil_modulation(*spikes_at([10.1], []), image_table(4), pupil)
    counts = [name for name in table if str(name).startswith("n_")]
    numbers = table.drop(columns=counts)
    assert len(table) == 2
    assert numbers.isna().all(axis=None)
    assert table[counts].eq(0).all(axis=None)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.3, 2.5]), max_size=30))
def test_ranks_are_scipys(values):
    assert _mean_ranks(np.array(values)).tolist() == stats.rankdata(values).tolist()


def test_correlations_are_scipys_over_the_bins_that_are_used_and_known():
    rng = np.random.default_rng(1)
    state = rng.normal(size=80)
    counts = rng.poisson(np.exp(0.5 * state), size=(3, 80))
    expected = [stats.spearmanr(c, state).statistic for c in counts]
    assert state_correlation(counts, state)["spearman_r"].tolist() == pytest.approx(expected)
    used, known = rng.random(80) < 0.8, rng.random(80) < 0.8
    both = used & known
    table = state_correlation(counts, np.where(known, state, np.nan), used)
    expected = [stats.spearmanr(c[both], state[both]).statistic for c in counts]
    assert table["spearman_r"].tolist() == pytest.approx(expected)
    assert set(table["n_bins"]) == {both.sum()}


def p_by_shifting(values, trace, n_shifts):
    """One shift at a time, of the bins that both have."""
    length = len(trace) - 2 * n_shifts
    part, strength = trace[n_shifts : n_shifts + length], []
    for shift in range(2 * n_shifts + 1):
        x = values[shift : shift + length]
        both = np.isfinite(x) & np.isfinite(part)
        strength.append(abs(np.corrcoef(x[both], part[both])[0, 1]))
    return min(sum(r >= strength[n_shifts] - 1e-9 for r in strength) / (n_shifts + 1), 1)


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("n", [80, 133])
def test_the_p_value_is_the_rank_among_linear_shifts(n, missing):
    rng = np.random.default_rng(n)
    trace, values = np.cumsum(rng.normal(size=n)), rng.poisson(2, size=(4, n)).astype(float)
    trace[rng.random(n) < missing] = np.nan
    values[:, rng.random(n) < missing] = np.nan
    expected = [p_by_shifting(each, trace, n // 4) for each in values]
    assert linear_shift_p_values(values, trace, n // 4).tolist() == pytest.approx(expected)


def circular_p(counts, state, min_shift=10):
    """The test of method version 1: the share of circular shifts with as strong a correlation."""
    x, y = (stats.rankdata(each) - (len(each) + 1) / 2 for each in (counts, state))
    products = np.fft.irfft(np.fft.rfft(x).conj() * np.fft.rfft(y), len(x))
    others = np.abs(products[min_shift : len(x) - min_shift + 1])
    return (1 + np.count_nonzero(others >= abs(products[0]))) / (1 + len(others))


def slow(rng, n, time_constant):
    """A fluctuation of unit variance."""
    keep = np.exp(-1 / time_constant)
    return signal.lfilter([np.sqrt(1 - keep**2)], [1, -keep], rng.normal(size=n + 2000))[2000:]


@pytest.mark.parametrize("fluctuation", ["slow", "random walk", "trend"])
def test_signals_that_have_nothing_to_do_with_each_other_are_rarely_significant(fluctuation):
    """Of the test before, by circular shifts, a fifth to a half are, but for the first."""
    rng, n = np.random.default_rng(7), 1200

    def draw():
        if fluctuation == "slow":
            return slow(rng, n, 60)
        noise = np.cumsum(rng.normal(size=n)) / 20 if fluctuation == "random walk" else slow(rng, n, 12)
        return noise if fluctuation == "random walk" else noise + rng.uniform(-3, 3) * np.linspace(-1, 1, n)

    pairs = [(rng.poisson(3 * np.exp(0.3 * draw())), draw()) for _ in range(150)]
    before = np.mean([circular_p(counts, state) <= 0.05 for counts, state in pairs])
    now = np.mean(
        [state_correlation(counts[np.newaxis], state)["p_shift"] <= 0.05 for counts, state in pairs]
    )
    assert now <= 0.07
    assert before > 0.15 or fluctuation == "slow"


def test_a_weak_modulation_is_found():
    """A rate that varies by a tenth with a state that is slow itself: the test finds most of the units."""
    rng, n = np.random.default_rng(3), 3600
    state = slow(rng, n, 12)
    counts = rng.poisson(8 * np.exp(0.1 * state), size=(60, n))
    assert np.mean(state_correlation(counts, state)["p_shift"] <= 0.05) >= 0.8


def block(start_s, *, active):
    return image_table(400, start_s).assign(active=active)


def test_blocks_are_never_joined():
    """Fires and runs twice as much in the task as in the replay, and within each at random."""
    rng = np.random.default_rng(5)
    table = pd.concat([block(10.0, active=True), block(400.0, active=False)], ignore_index=True)
    times = np.arange(0, 720, 0.1)
    high = times < 350
    speed = np.where(high, 20.0, 10.0) + rng.normal(0, 2, size=times.size)
    trains = [times[rng.random(times.size) < np.where(high, 0.6, 0.3)] for _ in range(40)]
    found = running_modulation(*spikes_at(*trains), table, (times, speed))
    starts = 10.0 + np.arange(690)
    counts = [np.histogram(train, np.append(starts, 700.0))[0] for train in trains]
    means = speed[100:7000].reshape(690, 10).mean(axis=1)
    assert np.mean([circular_p(each, means) <= 0.05 for each in counts]) > 0.9
    for condition in ("active", "passive"):
        assert found[f"n_bins_{condition}"].iloc[0] == 299
        assert found[f"n_shifts_{condition}"].iloc[0] == 74
        assert np.mean(found[f"p_shift_{condition}"] <= 0.05) <= 0.1
        assert found[f"spearman_r_{condition}"].abs().mean() < 0.1


def test_spikes_to_changes_are_not_correlated_with_the_stop_for_the_reward():
    """Fires after changes only, after which the mouse stands for four seconds."""
    table = image_table(1600)
    rng = np.random.default_rng(6)
    table.loc[10 + np.cumsum(rng.integers(8, 30, size=80)), "is_change"] = True
    changes = table.loc[table["is_change"].astype(bool), "start_time"].to_numpy()
    times = np.arange(0, 1220, 0.1)
    since = times - changes[np.searchsorted(changes, times).clip(1) - 1]
    speed = np.where((since >= 0) & (since < 4), 0.0, 20.0) + rng.normal(0, 1, size=times.size)
    trains = [np.sort(np.concatenate([changes + 0.1, rng.uniform(10, 1200, 60)])) for _ in range(20)]
    found = running_modulation(*spikes_at(*trains), table, (times, speed))
    assert np.mean(found["p_shift_active"] <= 0.05) <= 0.1
    counts = [np.histogram(train, 10.0 + np.arange(1200))[0] for train in trains]
    everywhere = state_correlation(counts, speed[100:12090].reshape(1199, 10).mean(axis=1))
    assert np.mean(everywhere["p_shift"] <= 0.05) > 0.9


def test_what_does_not_vary_or_is_too_short_has_no_p_value():
    rng = np.random.default_rng(2)
    state, counts = rng.normal(size=80), np.stack([np.ones(80, int), rng.poisson(2, size=80)])
    table = state_correlation(counts, state)
    assert table["spearman_r"].isna().tolist() == table["p_shift"].isna().tolist() == [True, False]
    assert table["q_shift"][1] == table["p_shift"][1]
    short = state_correlation(counts[:, :75], state[:75])  # 18 shifts: no p could be .05
    assert short["p_shift"].isna().all()
    assert short["spearman_r"].notna()[1]
    assert set(short["n_shifts"]) == {0}
    unseen = state_correlation(counts, np.where(np.arange(80) < 25, state, np.nan))
    assert unseen["p_shift"].isna().all()
    assert state_correlation(counts, np.full(80, 5.0))["spearman_r"].isna().all()
    assert state_correlation(np.empty((2, 0), int), [])["p_shift"].isna().all()
    assert len(state_correlation(np.empty((0, 3), int), [1.0, 2.0, 3.0])) == 0


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="counts must be"):
        state_correlation([[1, 2]], [1.0])
    with pytest.raises(ValueError, match="counts must be"):
        state_correlation([[1, 2]], [1.0, 2.0], [True])
    with pytest.raises(ValueError, match="one length"):
        pupil_modulation(*spikes_at([1.0]), image_table(2), ([0.0], [1.0], [False, False]))


@pytest.mark.parametrize("n_flashes", [0, 1])
def test_sessions_without_flashes_are_defined(n_flashes):
    table = running_modulation(*spikes_at([10.1], []), image_table(n_flashes), ([], []))
    assert len(table) == 2
    assert table["allensdk_modulation_index"].isna().all()
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
    with pytest.raises(ValueError, match="running_threshold_cm_s"):
        StateModulationParameters(running_threshold_cm_s=np.nan)
