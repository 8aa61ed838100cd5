"""Worlds that are not in the list: what real recordings have, and no column may mistake for an effect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.fixtures.simulated import simulated
from vbn.analysis.spikes.trains import Floats
from vbn.calibration import run
from vbn.calibration.columns import INDEX, MEASURES, P, as_spikes
from vbn.calibration.events import GRID_S, SimulatedEvents
from vbn.calibration.run import FALSE_POSITIVE, CalibrationSettings, session_scores, summarize
from vbn.calibration.trains import poisson_train
from vbn.calibration.worlds import WORLDS, Draw, World, base_rate_hz

pytestmark = [pytest.mark.usefixtures("simulated_once"), pytest.mark.simulation]

COLUMNS = (
    "ChangeResponse.p_response_active", "ChangeResponse.p_modulation_active", "OmissionResponse.p_value",
    "ImageSelectivity.p_response", "ImageSelectivity.p_selectivity", "RunningModulation.p_shift_active",
)  # fmt: skip


def replay_start_s(events: SimulatedEvents) -> float:
    images = events.images()
    return float(images.loc[images["active"] == 0, "start_time"].min())


def sorted_twice(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    """A third of the spikes have a second one within a millisecond."""
    train = poisson_train(rng, base_rate_hz(rng), events.end_s)
    twice = train[rng.random(train.size) < 0.3]
    return np.sort(np.concatenate([train, twice + rng.uniform(2e-4, 1e-3, twice.size)]))


def fading(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    """The electrode drifts away from the unit in the middle of the task, and loses four spikes of five."""
    train = poisson_train(rng, base_rate_hz(rng), events.end_s)
    since = (train - replay_start_s(events) / 3) / 1200.0
    return train[rng.random(train.size) >= 0.8 * np.clip(since, 0, 1)]


@pytest.mark.parametrize("draw", [sorted_twice, fading])
def test_spikes_sorted_twice_or_lost_make_no_effect(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORLDS, "unkind", World("", draw))
    settings = CalibrationSettings(4, 12, seed=2, worlds=("unkind",), columns=COLUMNS)
    cells = summarize([session_scores(settings, index) for index in range(settings.sessions)])
    rates = {cell.key.column: cell.value for cell in cells if cell.key.what == FALSE_POSITIVE}
    assert len(rates) == len(COLUMNS)
    assert max(rates.values()) <= 0.17, rates
    assert np.mean(list(rates.values())) <= 0.07, rates


def test_of_a_recording_that_ends_before_the_replay_nothing_is_said_of_the_replay() -> None:
    events = simulated(2, 0)
    end_s = replay_start_s(events) - 1
    table, n = events.presentations, int(end_s / GRID_S)
    cut = replace(
        events,
        presentations=table[table["start_time"] < end_s].reset_index(drop=True),
        speed=events.speed[:n],
        pupil_area=events.pupil_area[:n],
        blink=events.blink[:n],
        engaged=events.engaged[:n],
    )
    spikes = as_spikes(run.draw_trains(2, "bursty", ["bursty"] * 3, cut))
    of_replay = 0
    for measure in MEASURES:
        if measure.table in ("ReceptiveField", "Optotagging"):
            continue
        found = measure.function(spikes, cut, 0)
        for column in measure.columns:
            if "passive" in column.name and column.kind in (P, INDEX):
                assert found[column.name].isna().all(), column.name
                of_replay += 1
    assert of_replay >= 10
