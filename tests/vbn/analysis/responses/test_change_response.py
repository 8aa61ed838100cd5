from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats

from tests.vbn.analysis.responses.spike_trains import spikes_at
from vbn.analysis.responses.change_response import ChangeResponseParameters, _decaying, change_response
from vbn.analysis.responses.flash_selection import outcome_of_change

PERIOD_S = 0.75


def image_table(images, *, active=True, start_s=10.0):
    """Flashes every 0.75 s; ``omitted`` is an omission; a change is another image than the last one shown."""
    last, changes = images[0], []
    for image in images:
        changes.append(image not in (last, "omitted"))
        last = last if image == "omitted" else image
    n = len(images)
    return pd.DataFrame(
        {
            "start_time": start_s + PERIOD_S * np.arange(n),
            "image_name": images,
            "active": active,
            "is_change": pd.array(changes, dtype="boolean"),
            "omitted": pd.array([image == "omitted" for image in images], dtype="boolean"),
            "trials_id": pd.array([pd.NA] * n, dtype="Int64"),
        }
    )


def burst(start_s, n):
    """n spikes within 20 to 100 ms after a flash."""
    return start_s + 0.03 + 0.01 * np.arange(n)


@pytest.fixture
def two_images():
    """A A B B A A: changes to B (flash 2) and to A (flash 4); pre-change flashes show A (1) and B (3)."""
    return image_table(["a", "a", "b", "b", "a", "a"])


MANY = [*"aabb" * 4, *"aa"]
"""Eight changes, half of them to b, half to a."""


def bursts_by_image(table, rows=None):
    """3 spikes at changes to b and 1 at flashes of b before a change; 2 at both of a."""
    names, starts = table["image_name"].to_numpy(), table["start_time"].to_numpy()
    changes = np.flatnonzero(table["is_change"]) if rows is None else rows
    n_at = {row: 3 if names[row] == "b" else 2 for row in changes}
    n_at |= {row - 1: 1 if names[row - 1] == "b" else 2 for row in changes}
    return np.concatenate([burst(starts[row], n) for row, n in sorted(n_at.items())])


def test_the_change_modulation_index_is_of_means_over_images_and_the_sources_a_mean_over_images():
    """No baseline spikes. To b: 3 spikes at the change, 1 at its pre-change flash: (3 - 1) / 4 = 1/2.

    To a: 2 spikes at the change and 2 before a change: 0. The source's mean is 1/4; ours (2.5 - 1.5) / 2.5.
    """
    table = image_table(MANY)
    row = change_response(*spikes_at(bursts_by_image(table)), table).iloc[0]
    assert row["siegle_2021_modulation_active"] == pytest.approx(0.25)
    assert row["change_modulation_active"] == pytest.approx(0.4)
    assert row["n_changes_active"] == row["n_pairs_active"] == 8
    assert row["change_rate_active_hz"] == pytest.approx(5 / 2 / 0.25)
    assert row["pre_change_rate_active_hz"] == pytest.approx(3 / 2 / 0.25)


def suppressed_train(table, *, change, pre):
    """40 Hz, without the given share of the spikes in the 250 ms of changes and of pre-change flashes."""
    train = np.arange(5, 5 + len(table), 0.025) + 0.0125
    for row in np.flatnonzero(table["is_change"]):
        for start, share in ((table["start_time"][row], change), (table["start_time"][row - 1], pre)):
            inside = np.flatnonzero((train >= start) & (train < start + 0.25))
            train = np.delete(train, inside[: round(share * inside.size)])
    return train


def test_units_that_changes_suppress_fire_less_to_them_and_have_no_index_of_the_source():
    """-6 of 10 spikes to changes, -2 to the flash before: (-6 + 2) / -8 would be +1/2, more to changes."""
    table = image_table(list(np.repeat(list("ab" * 10), 2)))
    row = change_response(*spikes_at(suppressed_train(table, change=0.6, pre=0.2)), table).iloc[0]
    assert row["change_modulation_active"] == pytest.approx((-6 + 2) / 6)
    assert row["response_sign_active"] == -1
    assert np.isnan(row["siegle_2021_modulation_active"])
    assert row["is_change_modulated"]
    excited = change_response(*spikes_at(suppressed_train(table, change=-0.0, pre=1.0)), table).iloc[0]
    assert excited["change_modulation_active"] == pytest.approx(1)  # 0 against a fall of 40 Hz
    assert np.isnan(excited["siegle_2021_modulation_active"])


def test_rates_and_first_spike_by_hand(two_images):
    """Spikes 50 and 60 ms after one change, 40 ms before it, and 90 ms after the other."""
    first, second = two_images["start_time"].to_numpy()[[2, 4]]
    train = [first - 0.04, first + 0.05, first + 0.06, second + 0.09]
    row = change_response(*spikes_at(train), two_images).iloc[0]
    assert row["evoked_rate_active_hz"] == pytest.approx(3 / 2 / 0.08)
    assert row["baseline_rate_active_hz"] == pytest.approx(1 / 2 / 0.08)
    assert row["siegle_2021_first_spike_latency_s"] == pytest.approx((0.05 + 0.09) / 2)


EVERY_CHANGE = ChangeResponseParameters(engaged="none")


def with_trials(images, *, hit, miss=(), auto=(), licks=None):
    """Return flashes with a trial every two, of which so many have these outcomes, and licks (s) by trial."""
    table = image_table(images)
    table["trials_id"] = pd.array(np.arange(len(table)) // 2, dtype="Int64")
    starts = table["start_time"].to_numpy()[::2]
    n = starts.size
    trials = pd.DataFrame({"trials_id": range(n), "start_time": starts, "stop_time": starts + 2 * PERIOD_S})
    for name, of in (("hit", hit), ("miss", miss), ("auto_rewarded", auto)):
        trials[name] = np.isin(np.arange(n), of)
    of_trial = [np.asarray((licks or {}).get(k, ()), float) for k in range(n)]
    trials["lick_times"] = pd.Series(of_trial, dtype=object)
    return table, trials


def test_hits_and_misses_are_told_apart():
    """All changes are hits but the last two; the change to b at 18 is a miss (no common image)."""
    table, trials = with_trials([*MANY, *"bba"], hit=range(1, 9), miss=[9], auto=[10])
    train = bursts_by_image(table, np.arange(2, 17, 2))
    row = change_response(*spikes_at(train), table, trials, EVERY_CHANGE).iloc[0]
    assert row["change_modulation_hit"] == pytest.approx(0.4)
    assert row["siegle_2021_modulation_hit"] == pytest.approx(0.25)
    assert (row["n_pairs_hit"], row["n_pairs_miss"], row["n_pairs_active"]) == (8, 1, 10)
    assert np.isnan(row["change_modulation_miss"])


@pytest.mark.parametrize("few", [5, 6])
def test_there_is_no_index_without_a_response_in_its_pairs(few):
    """One unit fires at all changes, one at those of the task, one never but at random; few are hits."""
    table, trials = with_trials(MANY, hit=range(1, 1 + few), miss=range(1 + few, 9))
    passive = image_table(MANY, active=False, start_s=100.0)
    both = pd.concat([table, passive], ignore_index=True)
    random = np.random.default_rng(1).uniform(9, 120, 600)
    in_task = bursts_by_image(table)
    units = spikes_at(np.concatenate([in_task, bursts_by_image(passive)]), in_task, random)
    result = change_response(*units, both, trials, EVERY_CHANGE)
    given = {
        of: (result[f"change_modulation_{of}"].notna().tolist(), result[f"response_sign_{of}"].tolist())
        for of in ("active", "passive", "hit", "miss")
    }
    none, task_only = [pd.NA] * 3, [1, 1, pd.NA]
    assert given["active"] == ([True, True, False], task_only)
    assert given["passive"] == ([True, False, False], [1, pd.NA, pd.NA])
    assert given["hit"] == (([True, True, False], task_only) if few == 6 else ([False] * 3, none))
    assert given["miss"] == ([False] * 3, none)


def test_images_that_are_missed_more_often_do_not_make_an_index():
    """A unit that fires to b only, whether it has changed or not; seven of nine hits are changes to b."""
    table, trials = with_trials([*"aabb" * 8, *"aa"], hit=[1, 2, 3, 4, 5, 7, 9, 11, 13])
    starts = table["start_time"][table["image_name"] == "b"]
    train = np.concatenate([burst(start, 3) for start in starts])
    row = change_response(*spikes_at(train), table, trials, EVERY_CHANGE).iloc[0]
    assert row["change_modulation_hit"] == pytest.approx(0)


@pytest.mark.parametrize(
    ("lick_s", "margin_s", "n_pairs"),
    [(0.3, 0.1, 1), (0.36, 0.1, 2), (0.3, 0.0, 2), (0.3, None, 2), (-0.9, 0.1, 1), (-1.1, 0.1, 2)],
)
def test_changes_with_licks_near_them_are_not_compared(lick_s, margin_s, n_pairs):
    """From 250 ms before the flash before (-1 s) to 250 ms and the margin after the change."""
    table, trials = with_trials(list("aabbaa"), hit=[1, 2], licks={1: [11.5 + lick_s]})
    settings = ChangeResponseParameters(engaged="none", lick_margin_s=margin_s)
    row = change_response(*spikes_at([1.0]), table, trials, settings).iloc[0]
    assert row["n_pairs_active"] == n_pairs
    assert row["n_changes_active"] == (1 if lick_s == -0.9 else 2)  # to 200 ms: the response is over


def test_a_lick_in_the_window_of_the_response_leaves_the_change_out():
    table, trials = with_trials(list("aabbaa"), hit=[1, 2], licks={1: [11.5 + 0.19]})
    row = change_response(*spikes_at([1.0]), table, trials, EVERY_CHANGE).iloc[0]
    assert (row["n_pairs_active"], row["n_changes_active"]) == (1, 1)


def test_hits_and_misses_are_those_of_an_engaged_mouse():
    """Ten hits, then misses only; by Siegle's rule engagement ends a minute after the last two hits."""
    images = list(np.repeat(list("ab" * 50), 2))
    table, trials = with_trials(images, hit=range(1, 11), miss=range(11, 100))
    trials["change_time"] = trials["start_time"]
    settings = ChangeResponseParameters(engaged="siegle_2021")
    row = change_response(*spikes_at([1.0]), table, trials, settings).iloc[0]
    # The last hits are trials 9 and 10; at 1.5 s a trial, 40 trials are a minute, which is not within it.
    assert (row["n_pairs_hit"], row["n_pairs_miss"], row["n_pairs_active"]) == (10, 9 + 39 - 10, 99)
    row = change_response(*spikes_at([1.0]), table, trials, EVERY_CHANGE).iloc[0]
    assert (row["n_pairs_hit"], row["n_pairs_miss"], row["n_pairs_active"]) == (10, 89, 99)


def test_active_and_passive_changes_are_separate(two_images):
    passive = image_table(["a", "a", "b", "b", "a", "a"], active=False, start_s=100.0)
    table = pd.concat([two_images, passive], ignore_index=True)
    train = burst(two_images["start_time"][2], 3)
    row = change_response(*spikes_at(train), table).iloc[0]
    assert row["evoked_rate_active_hz"] > 0
    assert row["evoked_rate_passive_hz"] == 0
    assert row["n_changes_passive"] == 2


def test_a_change_after_an_omission_has_no_pair_and_a_blocks_first_flash_none_either():
    table = image_table(["a", "omitted", "b", "b", "a"])
    table.loc[0, "is_change"] = True
    row = change_response(*spikes_at([1.0]), table).iloc[0]
    assert (row["n_changes_active"], row["n_pairs_active"]) == (3, 1)


def index_by_loop(spikes, table):
    """Siegle's index, one image and one flash at a time."""
    starts, names = table["start_time"].to_numpy(), table["image_name"].to_numpy()
    changes = [k for k in range(1, len(table)) if table["is_change"][k]]

    def rate(k, start, stop):
        return np.sum((spikes >= starts[k] + start) & (spikes < starts[k] + stop)) / (stop - start)

    base_change = np.mean([rate(k, -0.25, 0) for k in changes])
    base_pre = np.mean([rate(k - 1, -0.25, 0) for k in changes])
    of_images = []
    for image in set(names):
        c = [rate(k, 0, 0.25) - base_change for k in changes if names[k] == image]
        p = [rate(k - 1, 0, 0.25) - base_pre for k in changes if names[k - 1] == image]
        if c and p:
            of_images.append((np.mean(c), np.mean(p)))
    if not of_images or min(np.mean(of_images, axis=0)) < -1e-9 or np.sum(of_images) < 1e-9:
        return np.nan
    indices = [(c - p) / (c + p) for c, p in of_images if min(c, p) > -1e-9 and c + p > 1e-9]
    return np.mean(indices) if indices else np.nan


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_the_index_agrees_with_a_loop_over_images(seed, n_images):
    rng = np.random.default_rng(seed)
    table = image_table(list(np.repeat(rng.choice(list("abcde")[:n_images], size=12), 2)))
    spikes = np.sort(rng.uniform(9, 30, size=200))
    row = change_response(*spikes_at(spikes), table).iloc[0]
    index = row["siegle_2021_modulation_active"]
    assert index == pytest.approx(index_by_loop(spikes, table), nan_ok=True)
    assert np.isnan(index) or -1 <= index <= 1
    assert np.isnan(row["change_modulation_active"]) or -2 <= row["change_modulation_active"] <= 2


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_units_do_not_influence_each_other_but_through_q(seed):
    rng = np.random.default_rng(seed)
    table = image_table(list(np.repeat(rng.choice(list("abc"), size=10), 2)))
    trains = [rng.uniform(9, 26, size=n) for n in (80, 0, 30)]
    together = change_response(*spikes_at(*trains), table)
    reverse = change_response(*spikes_at(*trains[::-1]), table)[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(together, reverse)
    alone = change_response(*spikes_at(trains[0]), table)
    of_q = ("q_", "is_", "response_sign", "change_modulation", "latency")
    same = [name for name in alone if not str(name).startswith(of_q)]
    pd.testing.assert_frame_equal(together.loc[:0, same], alone[same])


def test_p_values_are_scipys():
    """Some 40 pairs without many ties would be needed for the exact test; scipy's small-sample test is."""
    rng = np.random.default_rng(4)
    table = image_table(list(np.repeat(list("abababababab"), 2)))
    spikes = np.sort(rng.uniform(9, 30, size=600))
    row = change_response(*spikes_at(spikes), table).iloc[0]
    changes = np.flatnonzero(table["is_change"])
    starts = table["start_time"].to_numpy()

    def counts(at, start, stop):
        return [np.sum((spikes >= s + start) & (spikes < s + stop)) for s in at]

    evoked, base = counts(starts[changes], 0.02, 0.1), counts(starts[changes], -0.08, 0)
    expected = stats.wilcoxon(np.subtract(evoked, base).astype(float)).pvalue
    assert row["p_response_active"] == pytest.approx(expected)
    change, pre = counts(starts[changes], 0, 0.25), counts(starts[changes - 1], 0, 0.25)
    assert row["p_modulation_active"] == pytest.approx(
        stats.wilcoxon(np.subtract(change, pre).astype(float)).pvalue
    )


def test_the_responsive_units_of_the_source_are_excited(two_images):
    """A burst after each change is far above a steady rate before; a fall is not, however deep."""
    passive = two_images.assign(active=False, start_time=two_images["start_time"] + 20)
    table = pd.concat([two_images, passive], ignore_index=True)
    starts = table["start_time"].to_numpy()[[2, 4, 8, 10]]
    steady = np.arange(9, 40, 0.02)
    excited = np.sort(np.concatenate([steady, *(burst(start, 8) for start in starts)]))
    silenced = steady[~((steady[:, None] > starts) & (steady[:, None] < starts + 0.25)).any(axis=1)]
    result = change_response(*spikes_at(excited, silenced, steady, []), table)
    assert result["siegle_2021_responsive"].tolist() == [True, False, False, False]


OUTCOME_TRIALS = {
    "start_time": [9.0, 12.0],
    "stop_time": [12.0, 20.0],
    "hit": [True, False],
    "miss": [False, True],
}


@pytest.mark.parametrize("where", ["trials_id", "trial_id", "index"])
def test_outcomes_are_found_by_the_trials_id_wherever_it_is(two_images, where):
    two_images["trials_id"] = pd.array([7, 7, 7, 3, 3, 3], dtype="Int64")
    trials = pd.DataFrame(OUTCOME_TRIALS)
    ids = [7, 3]
    trials = trials.set_index(pd.Index(ids)) if where == "index" else trials.assign(**{where: ids})
    assert outcome_of_change(two_images, trials).tolist() == [None, None, "hit", None, "miss", None]


def test_outcomes_are_found_by_time_where_the_file_has_no_ids(two_images):
    """The changes are at 11.5 and 13 s."""
    outcome = outcome_of_change(two_images.drop(columns="trials_id"), pd.DataFrame(OUTCOME_TRIALS))
    assert outcome.tolist() == [None, None, "hit", None, "miss", None]


def test_no_trials_and_unknown_trials_have_no_outcome(two_images):
    none = pd.DataFrame(OUTCOME_TRIALS).iloc[:0]
    assert outcome_of_change(two_images, none).tolist() == [None] * 6


@pytest.mark.parametrize(
    "table",
    [
        image_table(["a", "a", "a"]),  # one image, no change: all trials aborted
        image_table(["a"]).iloc[:0],
        image_table(["a", "b"]),  # one change
    ],
)
def test_degenerate_sessions_give_rows_of_nan(table):
    result = change_response(*spikes_at([], [10.8], [1.0, 2.0]), table)
    assert len(result) == 3
    assert np.isnan(result["change_modulation_active"]).all() or len(table) == 2
    assert np.isnan(result["change_modulation_hit"]).all()
    if len(table) != 2:  # nothing was tested: not known, which is not no
        assert (
            result[["is_responsive", "is_change_modulated", "siegle_2021_responsive"]].isna().all(axis=None)
        )


def test_a_silent_unit_differs_in_nothing(two_images):
    row = change_response(*spikes_at([]), two_images).iloc[0]
    assert row["evoked_rate_active_hz"] == 0
    assert row["p_response_active"] == row["p_modulation_active"] == 1
    assert np.isnan(row["change_modulation_active"])
    assert np.isnan(row["siegle_2021_first_spike_latency_s"])
    assert np.isnan(row["latency_s"])
    assert row["response_sign_active"] is pd.NA
    assert not row["is_responsive"]


def test_no_units_give_no_rows(two_images):
    assert change_response([], [], [], two_images).shape[0] == 0


def test_parameters_survive_json_and_refuse_nonsense():
    parameters = ChangeResponseParameters(lick_margin_s=None)
    assert ChangeResponseParameters(**json.loads(json.dumps(asdict(parameters)))) == parameters
    with pytest.raises(ValueError, match="response_window_s must be"):
        ChangeResponseParameters(response_window_s=(0.1, 0.02))
    with pytest.raises(ValueError, match="equally long"):
        ChangeResponseParameters(response_window_s=(0.0, 0.25))
    with pytest.raises(ValueError, match="max_q_value"):
        ChangeResponseParameters(max_q_value=0)
    with pytest.raises(ValueError, match="Known: 'none', 'allensdk', 'bennett_2025', 'siegle_2021'"):
        ChangeResponseParameters(engaged="always")
    with pytest.raises(ValueError, match="lick_margin_s"):
        ChangeResponseParameters(lick_margin_s=-0.1)
    with pytest.raises(ValueError, match="n_resamples"):
        ChangeResponseParameters(n_resamples=1)


def test_spike_densities_are_those_of_scipys_filter():
    counts = np.random.default_rng(0).poisson(0.2, size=(5, 300)) / 7
    kept = np.exp(-0.2)
    expected = signal.lfilter([1 - kept], [1, -kept], counts, axis=1)
    np.testing.assert_allclose(_decaying(counts, kept), expected, rtol=1e-14, atol=1e-300)
