"""Where a unit is: its waveform over channels, read from its file, and its place in the brain."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas import ecephys
from schemas.figures.brain import session_in_brain, unit_in_brain
from schemas.figures.waveforms import NO_NUMBER, channel_waveforms
from schemas.files import atlas as atlas_files
from schemas.rows.fetch import fetch_frame
from tests.schemas.test_channel_layers import made_annotation
from vbn.anatomy.layers import COORDINATES
from vbn.errors import NotFoundError

pytestmark = pytest.mark.files


@pytest.fixture(scope="module")
def recorded(make_database: Callable[..., Any], open_folder: Path) -> tuple[Any, Path]:
    """A database with a recording of six units, and its file, which holds their waveforms."""
    from vbn.synthetic import SyntheticSettings, write_sessions

    settings = SyntheticSettings(
        sessions=1, seed=4, minutes=2, units_per_probe=3, probes=2, eye_tracking=False
    )
    write_sessions(open_folder / "waveforms", settings)
    (path,) = (open_folder / "waveforms").rglob("*.nwb")
    database = make_database()
    database.call("register", path)
    database.call("populate", "--table", "Recording")
    database.connect()
    return database, path


def unit_ids() -> list[int]:
    return sorted(ecephys.Recording.Unit.to_arrays("unit_id").tolist())


def test_the_waveform_decays_from_the_peak_channel_as_it_was_made(recorded: tuple[Any, Path]) -> None:
    """Made as the peak's waveform times exp(-distance / spread), with noise of 0.3 uV."""
    for unit_id in unit_ids():
        found = channel_waveforms(unit_id)
        peak = found.waveform_uv[found.peak]
        stored = (ecephys.Recording.Unit & {"unit_id": unit_id}).fetch1("peak_waveform")
        assert np.allclose(peak, stored, rtol=1e-6)
        assert found.lacking == ""
        assert found.time_ms[np.argmin(peak)] == 0
        away = np.hypot(found.x_um - found.x_um[found.peak], found.y_um - found.y_um[found.peak])
        assert np.abs(found.y_um - found.y_um[found.peak]).max() == 100
        scale = found.waveform_uv @ peak / (peak @ peak)
        spread = -away[away > 0] / np.log(scale[away > 0])
        assert 35 <= np.median(spread) <= 70
        assert np.allclose(scale, np.exp(-away / np.median(spread)), atol=0.03)


def test_without_the_file_as_it_was_the_peak_channel_is_left_and_the_reason_said(
    recorded: tuple[Any, Path],
) -> None:
    _database, path = recorded
    unit_id, times = unit_ids()[0], path.stat()
    away = path.rename(path.with_suffix(".away"))
    found = channel_waveforms(unit_id)
    assert str(path) in found.lacking
    assert (len(found.channel), found.peak) == (1, 0)
    assert found.waveform_uv.shape[0] == 1
    away.rename(path)
    os.utime(
        path, ns=(times.st_atime_ns, times.st_mtime_ns + 10**9)
    )  # it may be another one: not read through
    assert "its time is not that" in channel_waveforms(unit_id).lacking
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert channel_waveforms(unit_id).lacking == ""
    with pytest.raises(NotFoundError, match="There is no unit 1"):
        channel_waveforms(1)


def test_a_peak_channel_without_a_number_is_not_taken_for_another(recorded: tuple[Any, Path]) -> None:
    database, _path = recorded
    unit = (ecephys.Recording.Unit & {"unit_id": unit_ids()[0]}).fetch1()
    table = ecephys.Recording.Channel().full_table_name
    peak = (ecephys.Recording.Channel & {"channel_id": unit["peak_channel_id"]}).fetch1()
    names = ("probe_channel_number", "probe_vertical_position")
    of_peak = f"WHERE channel_id = {unit['peak_channel_id']}"
    missing = ", ".join(f"{name} = NULL" for name in names)
    database.server.query(f"UPDATE {table} SET {missing} {of_peak}")
    try:
        found = channel_waveforms(unit["unit_id"])
    finally:
        as_before = ", ".join(f"{name} = {peak[name]}" for name in names)
        database.server.query(f"UPDATE {table} SET {as_before} {of_peak}")
    assert found.lacking == "the file does not say where on the probe the peak channel is."
    assert np.allclose(found.waveform_uv, [unit["peak_waveform"]])
    assert found.channel.tolist() == [NO_NUMBER]
    assert np.isnan(found.y_um).all()
    assert channel_waveforms(unit["unit_id"]).lacking == ""


def test_places_are_those_of_the_channels_and_outlines_those_of_the_atlas(
    recorded: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, _path = recorded
    unit_id = unit_ids()[0]
    (session_id,) = set(ecephys.Recording.to_arrays("session_id").tolist())
    bare = session_in_brain(session_id)
    assert bare.coronal is None
    assert "no atlas is entered" in bare.lacking
    channels = fetch_frame(ecephys.Recording.Channel()).dropna(subset=list(COORDINATES))
    assert sum(len(probe.ccf_um) for probe in bare.probes) == len(channels)
    database.call("atlas", "add", "made", made_annotation(tmp_path))
    peak = (ecephys.Recording.Unit & {"unit_id": unit_id}).fetch1("peak_channel_id")
    place = channels.set_index("channel_id").loc[peak, list(COORDINATES)].tolist()
    found = unit_in_brain(unit_id)
    assert list(found.unit_um) == place
    assert (found.coronal.at_um // 100, found.sagittal.at_um // 100) == (place[0] // 100, place[2] // 100)
    assert found.coronal.brain.all()  # as the volume was made
    out = tmp_path / "brain.svg"
    done = database.call("plot", "brain", "--session", session_id, "--out", out)
    assert done.stdout.startswith(f"{out}: probeA, probeB: {len(channels)} channels in ")
    assert "Sagittal outline at LR" in out.read_text()
    for words in ((), ("--session", session_id, "--unit", unit_id)):
        refused = database.call("plot", "brain", *words, "--out", out, check=False)
        assert "Name a --session or a --unit." in refused.stderr
    refused = database.call("plot", "brain", "--unit", unit_id, "--atlas", "mad", "--out", out, check=False)
    assert "There is no atlas 'mad'. Near to it: made." in refused.stderr
    monkeypatch.setattr(atlas_files, "COARSE_UM", 1000.0)
    monkeypatch.setattr(atlas_files, "_plain_copy", lambda _hash: tmp_path / "none")
    atlas_files.brain_planes.cache_clear()
    assert "is not unpacked on this machine" in unit_in_brain(unit_id).lacking
