from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vbn.analysis.task.flash_behavior import flash_behavior
from vbn.analysis.task.flash_sets import FLASH_SETS, FlashSet, select_flashes
from vbn.calibration.events import simulate_events

ANY = FlashSet("either", "none", "none", 0, not_after_omission=False)


@pytest.fixture(scope="module")
def behavior() -> pd.DataFrame:
    events = simulate_events(3, 1, 30.0)
    return flash_behavior(events.presentations, events.trials, events.lick_times_s)


def test_the_default_is_the_published_set(behavior: pd.DataFrame) -> None:
    """Bennett et al. 2025, ``make_unit_responsiveness_table``: the flashes that are not changes."""
    expected = [
        row["active"]
        and not row["lick_for_flash"]
        and row["flashes_since_lick"] >= 2
        and not row["is_change"]
        and row["engaged_bennett_2025"]
        and not row["previous_omitted"]
        and row["flashes_since_change"] > 5
        and row["image_name"] != "omitted"
        for row in behavior.to_dict("records")
    ]
    chosen = select_flashes(behavior, FlashSet())
    assert chosen.tolist() == expected
    assert chosen.sum() > 50
    assert FLASH_SETS["bennett_2025"] == FlashSet()
    changes = behavior["is_change"] & behavior["engaged_bennett_2025"]
    assert (select_flashes(behavior, FLASH_SETS["bennett_2025_changes"]) == changes).all()


def test_omissions_are_chosen_by_the_conditions_of_flashes(behavior: pd.DataFrame) -> None:
    """The condition "omitted" of the published responsiveness."""
    shown_instead = behavior.assign(omitted=False, is_repeat=behavior["omitted"])
    expected = select_flashes(shown_instead, FlashSet())
    assert (select_flashes(behavior, FLASH_SETS["bennett_2025_omissions"]) == expected).all()
    assert 0 < expected.sum() < behavior["omitted"].sum()
    with pytest.raises(ValueError, match="No change is omitted"):
        FlashSet(images="omitted", changes="only")


def test_lick_free_flashes_are_far_from_any_lick(behavior: pd.DataFrame) -> None:
    events = simulate_events(3, 1, 30.0)
    chosen = behavior[select_flashes(behavior, FLASH_SETS["lick_free"])]
    start = chosen["start_time"].to_numpy()
    away = start[:, np.newaxis] - events.lick_times_s
    assert len(chosen) > 100
    assert not ((away < 2.2) & (away > -1.45)).any()


@pytest.mark.parametrize(
    ("conditions", "column", "value"),
    [
        ({"engaged": "allensdk"}, "engaged_allensdk", True),
        ({"engaged": "siegle_2021"}, "engaged_siegle_2021", True),
        ({"lick_free": "no_bout_in_row"}, "lick_for_flash", False),
        ({"lick_free": "no_bout_in_window"}, "bout_in_window", False),
        ({"not_after_omission": True}, "previous_omitted", False),
        ({"images": "shared"}, "is_shared", True),
        ({"images": "nonshared"}, "is_shared", False),
        ({"changes": "only"}, "is_change", True),
        ({"block": "passive"}, "active", False),
    ],
)
def test_a_condition_is_met_by_all_that_are_chosen(
    behavior: pd.DataFrame, conditions: dict[str, Any], column: str, value: bool
) -> None:
    chosen = select_flashes(behavior, replace(ANY, **{"block": "active", **conditions}))
    assert 0 < chosen.sum() < (~behavior["omitted"]).sum()
    assert (behavior.loc[chosen, column] == value).all()
    assert not behavior.loc[chosen, "omitted"].any()


def test_the_replay_has_the_counterparts_of_what_is_chosen_in_the_task(behavior: pd.DataFrame) -> None:
    for name in ("bennett_2025", "lick_free", "repeated_active"):
        task = behavior[select_flashes(behavior, FLASH_SETS[name])]
        replay = select_flashes(behavior, replace(FLASH_SETS[name], block="passive"))
        assert behavior.index[replay].tolist() == task["replay"].tolist() != []
        either = select_flashes(behavior, replace(FLASH_SETS[name], block="either"))
        assert either.sum() == 2 * len(task)
    alone = behavior[~behavior["active"]].assign(replay=-1)
    assert select_flashes(alone, FLASH_SETS["repeated_passive"]).sum() > 100
    assert not select_flashes(alone, replace(FLASH_SETS["lick_free"], block="passive")).any()


def test_neither_a_change_nor_the_first_flash_repeats_an_image(behavior: pd.DataFrame) -> None:
    repeated = behavior[select_flashes(behavior, replace(ANY, block="either"))]
    shown = behavior[~behavior["omitted"]]
    before = shown["image_name"].shift().where(shown["active"] == shown["active"].shift())
    assert repeated.index.tolist() == shown.index[shown["image_name"] == before].tolist()


def test_sets_survive_json_and_refuse_nonsense() -> None:
    for chosen in FLASH_SETS.values():
        assert FlashSet(**json.loads(json.dumps(asdict(chosen)))) == chosen
    with pytest.raises(ValueError, match=r"engaged must be one of 'none', 'allensdk'.*, got 'sdk'"):
        FlashSet(engaged="sdk")
    with pytest.raises(ValueError, match="min_flashes_since_change"):
        FlashSet(min_flashes_since_change=-1)
