"""Responses to own and shared images, by two routes; and a mouse's sessions compared group by group."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vbn.analysis.contrasts import paired_contrast
from vbn.analysis.responses.novelty_response import (
    KINDS,
    MIN_FLASHES,
    NoveltyResponseParameters,
    mouse_novelty,
    novelty_response,
)
from vbn.analysis.task.flash_behavior import flash_behavior
from vbn.analysis.task.flash_sets import FLASH_SETS
from vbn.calibration.columns import as_spikes
from vbn.synthetic import SyntheticSettings
from vbn.synthetic.simulate import SimulatedSession, simulate_session
from vbn.synthetic.timeline import image_stimulus_name

SETTINGS = SyntheticSettings(
    sessions=2, seed=4, minutes=14, probes=1, units_per_probe=25, novelty_hz=10, laser=False,
    waveforms=False, eye_tracking=False,
)  # fmt: skip
SETS = (FLASH_SETS["bennett_2025_changes"], FLASH_SETS["bennett_2025_novelty"])


def behavior_of(session: SimulatedSession) -> tuple[pd.DataFrame, pd.DataFrame]:
    shown = session.presentations[image_stimulus_name(session.identity.image_set)]
    trials = session.behavior.trials
    return flash_behavior(shown, trials, session.behavior.lick_times_s), trials


@pytest.fixture(scope="module")
def measured() -> list[tuple[SimulatedSession, list[np.ndarray], pd.DataFrame]]:
    found = []
    for index in range(2):
        session = simulate_session(SETTINGS, index)
        trains = list(session.spike_trains())
        found.append((session, trains, novelty_response(*as_spikes(trains), *behavior_of(session), SETS)))
    return found


def test_responses_are_those_of_the_published_rules_flash_by_flash(
    measured: list[tuple[SimulatedSession, list[np.ndarray], pd.DataFrame]],
) -> None:
    """The rules of Bennett et al. 2025, written out; rates from single spikes."""
    for session, trains, table in measured:
        behavior, trials = behavior_of(session)
        task = behavior[behavior["active"]]
        hit = trials["hit"].to_numpy()[task["trial"]] & (task["trial"] >= 0).to_numpy()
        own = ~task["is_shared"]
        engaged = task["engaged_bennett_2025"]
        change = task[task["is_change"] & hit & own & engaged]
        repeat = task[
            ~task["is_change"] & ~task["omitted"] & ~task["previous_omitted"] & engaged & own
            & (task["flashes_since_change"] > 5) & (task["flashes_since_lick"] > 1) & ~task["bout_in_window"]
        ]  # fmt: skip
        assert min(len(change), len(repeat)) >= MIN_FLASHES
        assert (table["n_change_nonshared_active"] == len(change)).all()
        assert (table["n_repeat_nonshared_active"] == len(repeat)).all()
        for unit in (0, 7, 20):
            train = trains[unit]

            def response(starts: pd.Series, train: np.ndarray = train) -> float:
                after = [np.sum((train >= s + 0.02) & (train < s + 0.1)) / 0.08 for s in starts]
                before = [np.sum((train >= s - 0.05) & (train < s)) / 0.05 for s in starts]
                return float(np.mean(after) - np.mean(before))

            of_images = [response(of["start_time"]) for _, of in change.groupby("image_name")]
            assert table["change_nonshared_active_hz"][unit] == pytest.approx(
                np.mean(of_images), rel=1e-12, abs=1e-12
            )
            expected = response(repeat["start_time"])
            assert table["repeat_nonshared_active_hz"][unit] == pytest.approx(expected, rel=1e-12, abs=1e-12)
            replayed = behavior.loc[repeat["replay"], "start_time"]
            assert table["repeat_nonshared_passive_hz"][unit] == pytest.approx(
                response(replayed), rel=1e-12, abs=1e-12
            )


def test_misses_count_where_hits_are_not_asked_for_and_few_flashes_give_nothing(
    measured: list[tuple[SimulatedSession, list[np.ndarray], pd.DataFrame]],
) -> None:
    session, trains, table = measured[0]
    behavior, trials = behavior_of(session)
    every = novelty_response(
        *as_spikes(trains), behavior, trials, SETS, NoveltyResponseParameters(hits_only=False)
    )
    assert (every["n_change_nonshared_active"] >= table["n_change_nonshared_active"]).all()
    assert every["n_change_nonshared_active"].sum() > table["n_change_nonshared_active"].sum()
    none = tuple(replace(each, min_flashes_since_change=99) for each in SETS)
    empty = novelty_response(*as_spikes(trains), behavior, trials, none)
    assert empty[[f"{kind}_hz" for kind in KINDS]].isna().all(axis=None)
    assert len(novelty_response([], [], [], behavior, trials, SETS)) == 0
    nobody = novelty_response(*as_spikes(trains), behavior.iloc[:0], trials.iloc[:0], SETS)
    assert len(nobody) == len(trains)


def test_the_rows_of_mice_are_what_a_contrast_over_them_is_of() -> None:
    """Two routes: the rows' differences, averaged over mice, and the contrast of all units."""
    rng = np.random.default_rng(0)
    frames = []
    for mouse in range(7):
        for is_novel in (False, True):
            n = int(rng.integers(4, 15))
            values = rng.normal(mouse + 2 * is_novel, 1, (n, len(KINDS)))
            frames.append(
                pd.DataFrame(values, columns=list(KINDS)).assign(
                    mouse_id=mouse, session_id=10 * mouse + is_novel, is_novel=is_novel, area="VISp"
                )
            )
    frames[0].loc[:, KINDS[1]] = np.nan
    units = pd.concat(frames, ignore_index=True)
    units.loc[3, "area"] = None
    units = units.dropna(subset=["area"])
    rows = pd.concat(
        [mouse_novelty(of, ["area"]).assign(mouse_id=mouse) for mouse, of in units.groupby("mouse_id")]
    )
    for kind in KINDS:
        of_kind = rows[rows["flashes"] == kind]
        value = units.rename(columns={kind: "value", "is_novel": "is_second"})
        for column, index in (("difference_hz", "difference"), ("index", "bennett_2025")):
            found = paired_contrast(value, index=index, n_resamples=2)
            assert of_kind[column].mean() == pytest.approx(found.estimate)
            assert of_kind[column].notna().sum() == found.n_mice
            assert found.mice.split() == of_kind.loc[of_kind[column].notna(), "mouse_id"].astype(str).tolist()
    alone = rows[(rows["flashes"] == KINDS[1]) & (rows["mouse_id"] == 0)].iloc[0]
    assert (alone["n_familiar"], np.isnan(alone["difference_hz"])) == (0, True)
    assert (rows[["n_familiar", "n_novel"]].sum(axis=1) > 0).all()
