"""The columns by which flashes are chosen, against the published construction written out in loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vbn.analysis.conftest import Expected
from tests.vbn.analysis.flashes import NO_TRIALS
from vbn.analysis.task.flash_behavior import SHARED_IMAGES, flash_behavior
from vbn.analysis.task.presentations import TRIAL_OUTCOMES
from vbn.analysis.task.task_statistics import pooled_statistics
from vbn.calibration.events import simulate_events

CORPORA = ("corpus", "corpus_hard")


def published(
    presentations: pd.DataFrame, trials: pd.DataFrame, licks: Any, gap_s: float = 0.5
) -> pd.DataFrame:
    """Return the rows of the task by ``build_master_stim_table`` of Bennett et al. 2025, in plain loops."""
    task = presentations[presentations["active"].astype(bool) & presentations["image_name"].notna()]
    rows = [dict(row) for row in task.sort_values("start_time").to_dict("records")]
    for row in rows:
        row["bouts"] = []
        row["omitted"] = row["omitted"] is True or row["omitted"] == 1
        row["is_change"] = (row["is_change"] is True or row["is_change"] == 1) and not row["omitted"]
    _add_bouts(rows, sorted(licks), gap_s)
    _add_distances(rows)
    _add_trials(rows, trials)
    last_counted = -np.inf
    for row in rows:
        row["lick_for_flash"] = bool(row["bouts"])
        row["lick_time"] = row["bouts"][-1][0] if row["bouts"] else np.nan
        row["time_from_last_bout"] = row["bouts"][-1][1] if row["bouts"] else np.nan
        row["reaction_time"] = row["lick_time"] - row["start_time"]
        row["bout_start"] = row["lick_for_flash"] and row["lick_time"] - last_counted > 2
        if row["bout_start"]:
            last_counted = row["lick_time"]
        inside = row["lick_for_flash"] and 0.1 < row["reaction_time"] < 0.75
        row["lick_in_window"], row["bout_in_window"] = inside, inside and row["bout_start"]
        row["is_shared"] = row["image_name"] in SHARED_IMAGES
    return pd.DataFrame(rows, index=task.sort_values("start_time").index)


def _row_before(rows: list[dict[str, Any]], time: float) -> int:
    """Return the number of the last row that started before a time; -1 without one."""
    found = -1
    for number, row in enumerate(rows):
        if row["start_time"] < time:
            found = number
        else:
            break
    return found


def _add_bouts(rows: list[dict[str, Any]], licks: list[float], gap_s: float) -> None:
    starts, ends = [], []
    for number, lick in enumerate(licks):
        if number == 0 or lick - licks[number - 1] > gap_s:
            starts.append(lick)
        if number == len(licks) - 1 or licks[number + 1] - lick > gap_s:
            ends.append(lick)
    assert len(starts) == len(ends)
    kept = [(start, end) for start, end in zip(starts, ends, strict=True) if _row_before(rows, start) >= 0]
    for number, (start, _) in enumerate(kept):
        since = -1.0 if number == 0 else start - kept[number - 1][1]
        rows[_row_before(rows, start)]["bouts"].append((start, since))
    for row in rows:
        row["n_licks"] = 0
    for lick in licks:
        if (number := _row_before(rows, lick)) >= 0:
            rows[number]["n_licks"] += 1


def _add_distances(rows: list[dict[str, Any]]) -> None:
    since_change, last_lick, last_bout, had_bout = 0, None, None, False
    for number, row in enumerate(rows):
        if row["is_change"]:
            since_change = 0
        elif number > 0 and not row["omitted"]:
            since_change += 1
        row["flashes_since_change"] = since_change
        row["flashes_since_lick"] = number - last_lick if had_bout and last_lick is not None else np.nan
        row["flashes_since_bout"] = np.nan if last_bout is None else number - last_bout
        if row["n_licks"]:
            last_lick = number
        if row["bouts"]:
            last_bout, had_bout = number, True
        row["previous_omitted"] = number > 0 and rows[number - 1]["omitted"]
        row["is_prechange"] = number + 1 < len(rows) and rows[number + 1]["is_change"]
        row["is_repeat"] = number > 0 and not row["is_change"] and not row["omitted"]


def _add_trials(rows: list[dict[str, Any]], trials: pd.DataFrame) -> None:
    ids = trials.get("trials_id", trials.index)
    hits = dict(zip(ids, trials["hit"], strict=True))
    changed: dict[int, float] = {}
    for row in rows:
        if row["is_change"] and row["trials_id"] >= 0:
            changed.setdefault(row["trials_id"], row["start_time"])
    seen: dict[int, int] = {}
    for row in rows:
        trial = row["trials_id"]
        if pd.isna(trial) or trial < 0:
            row["trial_flash"], row["after_hit"], row["is_eligible"] = -1, False, False
            continue
        row["trial_flash"] = seen.get(trial, -1) + 1
        seen[trial] = row["trial_flash"]
        after = trial in changed and row["start_time"] > changed[trial]
        row["after_hit"] = bool(hits[trial]) and after and row["flashes_since_change"] > 0
        row["is_eligible"] = row["trial_flash"] >= 4 and not row["after_hit"]


def check(presentations: pd.DataFrame, trials: pd.DataFrame, licks: Any) -> pd.DataFrame:
    """Compare the rows of the task, and return all."""
    table = flash_behavior(presentations, trials, licks)
    expected = published(presentations, trials, licks)
    task = table[table["active"]]
    assert task.index.tolist() == expected.index.tolist()
    for name in expected.columns.intersection(table.columns).difference(
        ["active", "rewarded", "is_image_novel"]
    ):
        np.testing.assert_array_equal(
            task[name].to_numpy(), expected[name].to_numpy(task[name].dtype), err_msg=str(name)
        )
    sums = task["rewarded"].astype(float).rolling(80, center=True).sum()
    np.testing.assert_array_equal(task["engaged_bennett_2025"], sums >= 2)
    return table


@pytest.mark.simulation
@given(st.lists(st.sampled_from(TRIAL_OUTCOMES), max_size=30), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_made_up_sessions_are_as_published(make_session: Any, kinds: list[str], seed: int) -> None:
    session = make_session(kinds, seed)
    rng = np.random.default_rng(seed)
    more = rng.uniform(5, 15 + 6 * len(kinds), size=rng.integers(0, 40))  # also before the first flash
    licks = np.concatenate([session.lick_times, more, session.presentations["start_time"].to_numpy()[:3]])
    table = check(session.presentations, session.trials, licks)
    assert table["n_licks"].sum() == (licks > table["start_time"].min()).sum() if len(table) else True


def test_a_simulated_session_is_as_published() -> None:
    events = simulate_events(3, 0, 15.0)
    table = check(events.presentations, events.trials, events.lick_times_s)
    assert table["bout_in_window"].sum() > 10
    # the bouts are those of the licks, and none is counted twice
    assert table["lick_for_flash"].sum() <= 1 + (np.diff(events.lick_times_s) > 0.5).sum()
    assert (table.loc[table["lick_for_flash"], "n_licks"] > 0).all()


def test_response_matrices_and_engaged_dprime_are_the_same_by_flashes_and_by_trials() -> None:
    """The objects of Figure 7 of Bennett et al. 2025: images before by images after changes, and d'."""
    events = simulate_events(5, 0, 60.0)
    trials, shown = events.trials, events.presentations
    table = flash_behavior(shown, trials, events.lick_times_s)
    task = table[table["active"]]
    changes = task.assign(before=task["image_name"].shift())[task["is_change"]]
    matrix = changes.pivot_table("rewarded", "before", "image_name", ["mean", "count"])
    go = trials[trials["go"] | trials["auto_rewarded"]]
    go = go.assign(rewarded=(go["hit"] | go["auto_rewarded"]).astype(float))
    expected = go.pivot_table("rewarded", "initial_image_name", "change_image_name", ["mean", "count"])
    assert matrix.shape == (8, 16)
    np.testing.assert_array_equal(matrix, expected)
    # A trial is engaged if its first flash is.
    engaged = task[task.groupby("trial")["engaged_bennett_2025"].transform("first")]
    is_sham = shown.loc[engaged.index, "is_sham_change"].eq(True)
    z = []
    for rows, outcome, of in (
        (engaged[engaged["is_change"]], "hit", "go"),
        (engaged[is_sham], "false_alarm", "catch"),
    ):
        kinds = trials.iloc[rows["trial"]]
        n = kinds[of].sum()
        assert 0 < n < trials[of].sum()
        z.append(scipy.special.ndtri(np.clip(kinds[outcome].sum() / n, 0.5 / n, 1 - 0.5 / n)))
    pooled = pooled_statistics(trials, shown)
    assert pooled["bennett_2025_dprime"] == pytest.approx(z[0] - z[1], rel=1e-12)


@pytest.mark.corpus
@pytest.mark.parametrize("corpus_name", CORPORA)
def test_the_corpora_are_as_published(corpus_name: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(corpus_name)
    for session in sorted(folder.glob("behavior*_sessions/*/expected")):
        expected = Expected(session)
        trials, shown = expected.table("trials"), expected.table("stimulus_presentations")
        licks = expected.table("licks")["timestamps"]
        if "trials_id" not in shown:
            continue
        table = check(shown, trials, licks)
        stored = shown["flashes_since_change"].loc[table.index]
        assert (table["flashes_since_change"] == stored).all()
        n_auto = trials["auto_rewarded"].sum()
        assert table["rewarded"].sum() == trials["hit"].sum() + n_auto
        assert table.loc[table["active"], "is_change"].sum() == trials["go"].sum() + n_auto
        first = table[~table["active"].duplicated()]
        assert not first["is_repeat"].any()
        assert not first["is_change"].any()


def test_the_replay_is_paired_with_the_task_where_it_repeats_it(make_session: Any) -> None:
    session = make_session(["hit", "miss", "aborted"])
    table = flash_behavior(session.presentations, session.trials, session.lick_times)
    task, replay = table[table["active"]], table[~table["active"]]
    assert task["replay"].tolist() == replay.index.tolist()
    assert replay["replay"].tolist() == task.index.tolist()
    for name in ("image_name", "trial", "trial_flash", "is_change", "is_repeat", "flashes_since_change"):
        assert task[name].tolist() == replay[name].tolist()
    assert not replay[["rewarded", "after_hit", "engaged_siegle_2021"]].any(axis=None)
    assert not replay["n_licks"].any()
    assert (replay["run"] - task["run"].to_numpy() == task["run"].max() + 1).all()
    other = session.presentations.copy()
    other.loc[task.index[-1], "image_name"] = "im_other"
    assert set(flash_behavior(other, session.trials, [])["replay"]) == {-1}


def test_order_of_the_presentations_does_not_matter(make_session: Any) -> None:
    session = make_session(["hit", "aborted", "hit", "miss"] * 3)
    shuffled = session.presentations.sample(frac=1, random_state=0)
    one, other = (
        flash_behavior(table, session.trials, session.lick_times)
        for table in (session.presentations, shuffled)
    )
    pd.testing.assert_frame_equal(one, other)


def test_runs_go_from_a_change_to_the_next_and_not_beyond_their_block() -> None:
    images = ["a", "a", "omitted", "a", "b", "b", "a"]
    change = [False, False, False, False, True, False, True]
    active = pd.DataFrame({"start_time": 10.0 + np.arange(7), "image_name": images, "is_change": change})
    passive = pd.DataFrame(
        {"start_time": [100.0, 101.0], "image_name": ["a", "b"], "is_change": [False, True]}
    )
    gray = pd.DataFrame({"start_time": [50.0], "image_name": [None], "is_change": [None]})
    table = pd.concat([passive.assign(active=False), gray.assign(active=False), active.assign(active=True)])
    table = table.reset_index(drop=True).assign(omitted=lambda each: each["image_name"] == "omitted")
    found = flash_behavior(table, NO_TRIALS, [])
    assert found["run"].tolist() == [0, 0, 0, 0, 1, 1, 2, 3, 4]
    assert found.index.tolist() == [3, 4, 5, 6, 7, 8, 9, 0, 1]


@pytest.mark.parametrize("unknown", [None, np.nan, pd.NA])
def test_without_a_task_runs_go_from_an_image_to_the_next_and_nothing_is_a_change(unknown: Any) -> None:
    images = ["a", "a", "omitted", "a", "b", "b", "a"]
    presentations = pd.DataFrame(
        {
            "start_time": np.arange(7.0),
            "active": False,
            "image_name": images,
            "is_change": pd.Series([unknown] * 7, dtype=object),
            "omitted": [name == "omitted" for name in images],
        }
    )
    found = flash_behavior(presentations, NO_TRIALS, [])
    assert not found["is_change"].any()
    assert not found["is_prechange"].any()
    assert found["run"].tolist() == [0, 0, 0, 0, 1, 1, 2]
    assert found["is_repeat"].tolist() == [False, True, False, True, False, True, False]
    assert found["flashes_since_change"].tolist() == [0, 1, 1, 2, 0, 1, 0]
    assert "switch" not in found


def test_a_session_without_flashes_has_no_rows(make_session: Any) -> None:
    session = make_session([])
    table = flash_behavior(session.presentations, session.trials, [1.0, 2.0])
    full = flash_behavior(make_session(["hit"]).presentations, make_session(["hit"]).trials, [])
    assert len(table) == 0
    assert table.columns.tolist() == full.columns.tolist()
