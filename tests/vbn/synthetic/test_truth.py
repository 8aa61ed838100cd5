"""What the truth says of a unit can be seen in its spikes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from vbn.synthetic import SyntheticSettings
from vbn.synthetic.simulate import SimulatedSession, simulate_session
from vbn.synthetic.units import Unit

Recorded = list[tuple[Unit, np.ndarray]]


@pytest.fixture(scope="module")
def session() -> SimulatedSession:
    return simulate_session(SyntheticSettings(sessions=1, seed=8, minutes=16, units_per_probe=60), 0)


@pytest.fixture(scope="module")
def of_role(session: SimulatedSession) -> Callable[[str], Recorded]:
    recorded = list(zip(session.units, session.spike_trains(), strict=True))
    return lambda role: [(unit, train) for unit, train in recorded if unit.role == role]


def rate_hz(train: np.ndarray, events: pd.Series, start_s: float, stop_s: float) -> float:
    """Mean rate in [event + start, event + stop)."""
    edges = np.searchsorted(train, np.asarray(events)[:, None] + [start_s, stop_s])
    return float(np.diff(edges, axis=1).mean() / (stop_s - start_s))


def test_change_units_answer_changes_and_half_as_strongly_in_the_replay(
    session: SimulatedSession, of_role: Callable[[str], Recorded]
) -> None:
    images = session.stimuli.images
    changes = images[images["is_change"] == 1]
    rates: dict[bool, list[float]] = {True: [], False: []}
    for unit, train in of_role("change"):
        window = (unit.parameters["latency_s"], unit.parameters["latency_s"] + unit.parameters["duration_s"])
        for active in (True, False):
            times = changes.loc[changes["active"] == active, "start_time"]
            rates[active].append(rate_hz(train, times, *window) - rate_hz(train, times, -0.25, 0))
    assert np.mean(rates[False]) / np.mean(rates[True]) == pytest.approx(0.5, abs=0.12)
    assert np.mean(rates[True]) > 20


def test_omission_units_answer_the_missing_image(
    session: SimulatedSession, of_role: Callable[[str], Recorded]
) -> None:
    images = session.stimuli.images
    times = images.loc[(images["omitted"] == 1) & images["active"], "start_time"]
    for _, train in of_role("omission"):
        assert rate_hz(train, times, 0.1, 0.5) > 3 * rate_hz(train, times, -0.25, 0.1)


def test_receptive_field_units_answer_at_their_place(
    session: SimulatedSession, of_role: Callable[[str], Recorded]
) -> None:
    gabors = session.stimuli.gabors
    for unit, train in of_role("rf"):
        here = (gabors["position_x"] == unit.parameters["position_x"]) & (
            gabors["position_y"] == unit.parameters["position_y"]
        )
        inside = rate_hz(train, gabors.loc[here, "start_time"], 0.05, 0.2)
        assert inside > 2 * rate_hz(train, gabors.loc[~here, "start_time"], 0.05, 0.2)


def test_tagged_units_follow_the_laser_after_1_5_ms(
    session: SimulatedSession, of_role: Callable[[str], Recorded]
) -> None:
    laser = session.laser
    pulses = laser.loc[laser["stimulus_name"] == "pulse"]
    strongest = pulses.loc[pulses["level"] == pulses["level"].max(), "start_time"]
    assert of_role("opto")
    for _, train in of_role("opto"):
        assert rate_hz(train, strongest, 0.0015, 0.0085) > 60
        assert rate_hz(train, strongest, -0.01, -0.002) < 25


def test_artefacts_lie_within_1_ms_of_the_edges(
    session: SimulatedSession, of_role: Callable[[str], Recorded]
) -> None:
    pulses = session.laser.loc[session.laser["stimulus_name"] == "pulse", "start_time"]
    for _, train in of_role("opto_artifact"):
        assert rate_hz(train, pulses, -0.001, 0.001) > 300
        assert rate_hz(train, pulses, 0.009, 0.011) > 300
        assert rate_hz(train, pulses, 0.0015, 0.0085) < 25


def test_running_units_fire_with_the_speed(
    session: SimulatedSession, of_role: Callable[[str], Recorded]
) -> None:
    running = session.running
    bins = np.arange(running.timestamps_s[0], running.timestamps_s[-1], 2.0)
    centres = bins[:-1] + 1
    speed = np.interp(centres, running.timestamps_s, running.speed)
    correlations = [np.corrcoef(np.histogram(train, bins)[0], speed)[0, 1] for _, train in of_role("running")]
    assert np.mean(correlations) > 0.2


def test_drifting_units_are_there_in_one_half(
    session: SimulatedSession, of_role: Callable[[str], Recorded]
) -> None:
    for unit, train in of_role("drift"):
        in_first = train < session.end_s / 2 + 0.01
        assert in_first.all() if unit.parameters["present"] == "first half" else not in_first.any()


def test_rare_units_have_the_number_of_spikes_they_were_given(of_role: Callable[[str], Recorded]) -> None:
    for unit, train in of_role("rare"):
        assert 3 <= len(train) <= 8
        assert len(train) <= unit.parameters["n_spikes"]


def test_visual_units_prefer_the_image_with_the_greatest_gain(
    session: SimulatedSession, of_role: Callable[[str], Recorded]
) -> None:
    images = session.stimuli.images
    agreement = []
    for unit, train in of_role("visual"):
        rates = [
            rate_hz(train, images.loc[images["image_name"] == name, "start_time"], 0.04, 0.25)
            for name in session.stimuli.image_names
        ]
        agreement.append(np.corrcoef(rates, unit.parameters["add_hz_by_image"])[0, 1])
    assert np.median(agreement) > 0.9


def test_the_mouse_slows_down_to_drink_and_the_pupil_widens_after_a_change(session: SimulatedSession) -> None:
    rewards = session.behavior.rewards["timestamps"].to_numpy()
    running, eye = session.running, session.eye
    assert eye is not None

    def mean_at(times: np.ndarray, trace: np.ndarray, events: np.ndarray, delay_s: float) -> float:
        return float(np.interp(events + delay_s, times, trace).mean())

    before, after = (mean_at(running.timestamps_s, running.speed, rewards, d) for d in (-1.0, 0.6))
    assert after < 0.6 * before
    seen = ~np.isnan(eye.pupil.area)
    areas = [mean_at(eye.timestamps_s[seen], eye.pupil.area[seen], rewards, d) for d in (-1.0, 1.0)]
    assert areas[1] > 1.03 * areas[0]
