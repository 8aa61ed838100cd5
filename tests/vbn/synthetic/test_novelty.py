"""Mice of the novelty data sets: what is injected is what the truth says, and the atlas agrees with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vbn.anatomy.annotation import read_volume, require_annotation
from vbn.anatomy.layers import COORDINATES, LAYERS, site_layers
from vbn.synthetic import SyntheticSettings, write_sessions
from vbn.synthetic.novelty import ATLAS_FILE, OF_AREA, OF_CELL_TYPE, OF_LAYER, effects
from vbn.synthetic.simulate import SimulatedSession, simulate_session
from vbn.synthetic.timeline import image_stimulus_name

SETTINGS = SyntheticSettings(
    sessions=6, seed=2, minutes=6, probes=2, units_per_probe=30, novelty_hz=20, laser=False,
    waveforms=False, eye_tracking=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def sessions() -> list[SimulatedSession]:
    return [simulate_session(SETTINGS, index) for index in range(6)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one session, as the command writes it."""
    folder = tmp_path_factory.mktemp("novelty")
    write_sessions(folder, SyntheticSettings(**{**vars(SETTINGS), "sessions": 1, "minutes": 2}))
    return folder


def test_mice_are_trained_in_three_ways(sessions: list[SimulatedSession]) -> None:
    of_mouse = [(each.identity.image_set, each.identity.experience_level) for each in sessions]
    levels = ["Familiar", "Novel"]
    assert of_mouse == list(zip("GHHGHG", [*levels * 2, *levels[::-1]], strict=True))


def test_channels_have_the_layers_of_the_atlas_in_the_truth(
    sessions: list[SimulatedSession], written: Path
) -> None:
    volume = read_volume(written / ATLAS_FILE)
    require_annotation(written / ATLAS_FILE, volume)
    for session in sessions:
        channels = session.channels.rename(columns=dict(zip("xyz", COORDINATES, strict=True))).assign(
            probe_name=session.channels["group_name"],
            structure_acronym=session.channels["location"].replace({"None": None, "root": None}),
        )
        found = site_layers(channels, volume).set_index(channels["id"])
        assert set(found["cortical_layer"].dropna()) == {*LAYERS, "none"}
        truth = {unit.peak_channel_id: unit.parameters["layer"] for unit in session.units}
        in_brain = [unit.peak_channel_id for unit in session.units if unit.structure in OF_AREA]
        assert found.loc[in_brain, "cortical_layer"].tolist() == [truth[number] for number in in_brain]
        agrees = found.loc[in_brain, "area_agrees"]
        assert agrees.all()


def responses(session: SimulatedSession, of_role: str) -> tuple[list[dict[str, object]], pd.DataFrame]:
    """Rate from 20 to 100 ms after repeated images, unit by unit, of shared and of other images."""
    table = session.presentations[image_stimulus_name(session.identity.image_set)]
    shown = table[(table["omitted"] == 0) & (table["is_change"] == 0)]
    starts = shown["start_time"].to_numpy()
    shared = shown["image_name"].isin(["im083_r", "im111_r"]).to_numpy()
    rows, units = [], []
    for unit, train in zip(session.units, session.spike_trains(), strict=True):
        if unit.role == of_role:
            count = np.searchsorted(train, starts + 0.1) - np.searchsorted(train, starts + 0.02)
            before = np.searchsorted(train, starts) - np.searchsorted(train, starts - 0.08)
            rows.append({"shared": (count - before)[shared].mean() / 0.08,
                         "other": (count - before)[~shared].mean() / 0.08})  # fmt: skip
            units.append(unit.parameters)
    return units, pd.DataFrame(rows)


def test_novel_images_add_what_the_truth_says_and_shared_ones_nothing(
    sessions: list[SimulatedSession],
) -> None:
    excess: dict[bool, list[np.ndarray]] = {False: [], True: []}
    for session in sessions:
        units, rates = responses(session, "novelty")
        effect = np.array([unit["effect_hz"] for unit in units], dtype=float)
        expected = effect if session.identity.is_novel else 0 * effect
        excess[session.identity.is_novel].append(
            rates["other"].to_numpy() - rates["shared"].to_numpy() - expected
        )
        base = np.array([unit["image_hz"] for unit in units], dtype=float)
        assert np.abs(rates["shared"] - base).mean() < 6
        assert effect.any()
    for values in excess.values():
        assert abs(np.concatenate(values).mean()) < 1.5


def test_some_units_follow_licks_and_some_fall_silent(sessions: list[SimulatedSession]) -> None:
    session = sessions[0]
    licks = session.behavior.lick_times_s
    for unit, train in zip(session.units, session.spike_trains(), strict=True):
        if unit.role == "lick":
            near = np.searchsorted(train, licks + 0.1) - np.searchsorted(train, licks - 0.1)
            assert near.mean() > 1.2
    _, rates = responses(session, "suppressed")
    assert (rates.mean(axis=1) < 0).all()


def test_the_truth_has_the_effect_of_each_area_layer_and_cell_type(written: Path) -> None:
    truth = json.loads((written / "ground_truth.json").read_text())
    assert truth["novelty"]["effect_hz"] == effects(SETTINGS)
    assert effects(SETTINGS)["VISam"]["2/3"] == {"RS": 37.5, "FS": 18.75}
    assert {*effects(SETTINGS)} == {*OF_AREA}
    assert {*effects(SETTINGS)["VISp"]} == {*OF_LAYER}
    without = SyntheticSettings(novelty_hz=0)
    assert {value for area in effects(without).values() for of in area.values() for value in of.values()} == {
        0
    }
    assert set(OF_CELL_TYPE) == {"RS", "FS"}


@pytest.mark.parametrize("value", [-1, 101, float("nan"), "much"])
def test_an_impossible_effect_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="novelty_hz must be None or a number"):
        SyntheticSettings(novelty_hz=value)
