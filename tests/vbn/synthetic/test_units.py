"""Roles, places, waveforms and metrics of the units."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vbn.synthetic import SyntheticSettings
from vbn.synthetic.anatomy import CORTEX, REFERENCE_CHANNEL, in_cortex, probe_channels
from vbn.synthetic.settings import session_identity
from vbn.synthetic.simulate import simulate_session
from vbn.synthetic.units import NAN_METRICS, ROLES, draw_metrics, draw_roles, spike_metrics
from vbn.synthetic.waveforms import TROUGH_SAMPLE, draw_waveform, spread_over_probe, waveform_metrics


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
@settings(max_examples=60)
def test_every_role_is_there_from_15_units_on(seed: int, n_units: int) -> None:
    roles = draw_roles(np.random.default_rng(seed), n_units, has_channelrhodopsin=True)
    assert len(roles) == n_units
    assert set(roles) <= set(ROLES)
    assert n_units < 15 or set(roles) == set(ROLES)


def test_a_wild_type_has_no_tagged_units_but_artefacts() -> None:
    roles = draw_roles(np.random.default_rng(0), 40, has_channelrhodopsin=False)
    assert "opto" not in roles
    assert "opto_artifact" in roles


def test_unit_ids_are_the_probes_but_do_not_ascend() -> None:
    session = simulate_session(SyntheticSettings(minutes=2, units_per_probe=30), 1)
    for probe in range(2):
        ids = [unit.unit_id for unit in session.units if unit.probe == probe]
        assert sorted(ids) == session.identity.unit_ids(probe, 30).tolist()
        assert ids != sorted(ids)


def test_cluster_ids_ascend_with_gaps() -> None:
    units = simulate_session(SyntheticSettings(minutes=2, probes=1, units_per_probe=50), 0).units
    clusters = np.array([unit.cluster_id for unit in units])
    assert (np.diff(clusters) >= 1).all()
    assert (np.diff(clusters) > 1).any()


def test_tuned_units_lie_in_visual_areas_on_valid_channels() -> None:
    session = simulate_session(SyntheticSettings(minutes=2, probes=6, units_per_probe=60), 0)
    for unit in session.units:
        if unit.role in ("change", "visual", "omission", "opto") and unit.channel_valid:
            assert unit.structure in CORTEX
    on_bad_channels = [unit for unit in session.units if not unit.channel_valid]
    assert {unit.probe for unit in on_bad_channels} == set(range(6))


@pytest.mark.parametrize("probe", range(6))
def test_a_track_runs_from_the_tip_through_cortex_out_of_the_brain(probe: int) -> None:
    identity = session_identity(SyntheticSettings(probes=6), 0)
    table = probe_channels(np.random.default_rng(probe), identity, probe)
    location = table["location"].to_numpy()
    assert len(table) == 384
    assert (location[-12:] == "None").all()
    assert location[-20] == "root"
    assert table.loc[location == "None", ["x", "y", "z"]].isna().all(axis=None)
    assert table.loc[location != "None", ["x", "y", "z"]].notna().all(axis=None)
    cortex = np.flatnonzero(in_cortex(location))
    assert len(np.unique(location[cortex])) == 1
    assert (np.diff(cortex) == 1).all()
    assert cortex[0] > 200
    assert table["probe_vertical_position"].tolist()[:4] == [20, 20, 40, 40]
    assert table["probe_horizontal_position"].tolist()[:5] == [43, 11, 59, 27, 43]
    assert not table["valid_data"][REFERENCE_CHANNEL]
    assert 2 <= (~table["valid_data"]).sum() < 15
    # Dorsal-ventral coordinates grow downwards.
    assert (np.diff(table["y"].to_numpy()[:372]) < 0).all()


def test_rate_presence_and_violations_of_a_train_made_by_hand() -> None:
    """Ten spikes in 99 s, in ten different bins of 1 s, two of them 1 ms apart.

    rate = 11 / 99; presence = 10 / 100; one interval below 1.5 ms of 2 x 11 x 1.334 ms violation time.
    """
    train = np.sort(np.append(np.arange(10) * 5 + 0.5, 0.501))
    metrics = spike_metrics(train, 99.0)
    assert metrics["firing_rate"] == pytest.approx(11 / 99)
    assert metrics["presence_ratio"] == pytest.approx(0.10)
    assert metrics["isi_violations"] == pytest.approx(1 / (22 * 0.001334) / (11 / 99))


def test_presence_is_at_most_0_99() -> None:
    assert spike_metrics(np.linspace(0.001, 99, 5000), 99.0)["presence_ratio"] == 0.99


def test_no_spikes_give_zeros() -> None:
    assert spike_metrics(np.empty(0), 99.0) == {
        "firing_rate": 0.0,
        "presence_ratio": 0.0,
        "isi_violations": 0.0,
    }


def test_waveforms_are_narrow_or_broad_with_the_trough_at_sample_20() -> None:
    units = simulate_session(SyntheticSettings(minutes=2, probes=3, units_per_probe=60), 0).units
    for row, unit in enumerate(units):
        waveform = draw_waveform(np.random.default_rng(row), unit)
        metrics = waveform_metrics(waveform)
        assert waveform.peak.argmin() == TROUGH_SAMPLE
        assert metrics["amplitude"] == pytest.approx(unit.amplitude_uv)
        if unit.quality == "good":
            assert (metrics["waveform_duration"] < 0.4) == unit.is_fast
        assert 0 < metrics["PT_ratio"] < 1.2
        assert metrics["repolarization_slope"] > 0


def test_the_peak_channel_is_the_largest() -> None:
    session = simulate_session(SyntheticSettings(minutes=2, probes=1, units_per_probe=40), 0)
    x_um = session.channels["probe_horizontal_position"].to_numpy(dtype=float)
    y_um = session.channels["probe_vertical_position"].to_numpy(dtype=float)
    for row, unit in enumerate(session.units):
        rng = np.random.default_rng(row)
        whole = spread_over_probe(rng, draw_waveform(rng, unit), unit.channel, x_um, y_um)
        assert whole.shape == (384, 82)
        assert [*np.unravel_index(whole.argmin(), whole.shape)] == [unit.channel, TROUGH_SAMPLE]


def test_some_metrics_are_missing_and_only_those_that_may() -> None:
    units = simulate_session(SyntheticSettings(minutes=2, units_per_probe=100), 0).units
    missing = {
        name
        for row, unit in enumerate(units)
        for name, value in draw_metrics(np.random.default_rng(row), unit).items()
        if np.isnan(value)
    }
    assert missing == set(NAN_METRICS)
