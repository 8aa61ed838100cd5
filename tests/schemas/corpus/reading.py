"""What AllenSDK reads from a session of the corpora, and what was put into it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest


def sha(values: np.ndarray) -> str:
    """The hash that is written down in ``expected.json``."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


@dataclass(frozen=True)
class PlainFile:
    """What no table of AllenSDK's reading holds, straight from a file that AllenSDK wrote.

    Whatever is given has the hashes, counts or means that AllenSDK's reading has.
    """

    path: Path
    summary: dict[str, Any]

    def ragged(self, name: str) -> dict[int, np.ndarray]:
        """Unit id -> its piece of a column of the units."""
        with h5py.File(self.path) as file:
            units = file["units"]
            pieces = np.split(units[name][:], units[f"{name}_index"][:-1].astype(np.int64))
            return dict(zip(units["id"][:].tolist(), pieces, strict=True))

    def spike_times(self) -> dict[int, np.ndarray]:
        found = self.ragged("spike_times")
        hashes = {unit["unit_id"]: unit["spikes_sha"] for unit in self.summary["units_spikes"]}
        assert {unit_id: sha(times) for unit_id, times in found.items()} == hashes
        return found

    def peak_waveforms(self) -> dict[int, np.ndarray]:
        found = self.ragged("waveform_mean")
        units = self.summary["units_spikes"]
        assert {unit_id: sha(whole) for unit_id, whole in found.items()} == {
            unit["unit_id"]: unit["wf_sha"] for unit in units
        }
        return {unit["unit_id"]: found[unit["unit_id"]][unit["peak_channel_number"]] for unit in units}

    def running_speed(self) -> pd.DataFrame:
        return self._running("speed", "running_speed")

    def raw_running_speed(self) -> pd.DataFrame:
        return self._running("speed_unfiltered", "raw_running_speed")

    def _running(self, name: str, table: str) -> pd.DataFrame:
        with h5py.File(self.path) as file:
            trace = file[f"processing/running/{name}"]
            found = pd.DataFrame({"timestamps": trace["timestamps"][:], "speed": trace["data"][:]})
        for column, facts in self.summary[table].items():
            assert (len(found), sha(found[column].to_numpy())) == (facts["n"], facts["sha"])
        return found

    def eye_tracking(self) -> pd.DataFrame:
        """The stored blinks are AllenSDK's own, in a file that it wrote; without eye tracking no rows."""
        with h5py.File(self.path) as file:
            found = pd.DataFrame(_eye_columns(file.get("acquisition/EyeTracking")))
        facts = self.summary["eye_tracking"]
        assert len(found) == facts["n"]
        if len(found):
            assert found["likely_blink"].sum() == facts["likely_blinks"]
            assert found["pupil_area"].mean() == pytest.approx(facts["pupil_area_mean"], rel=1e-12)
        return found


def _eye_columns(eye: h5py.Group | None) -> dict[str, np.ndarray]:
    def read(path: str, rows: Any = slice(None)) -> np.ndarray:
        return np.empty(0) if eye is None else eye[path][rows]

    columns = {"timestamps": read("eye_tracking/timestamps"), "likely_blink": read("likely_blink/data")}
    for part, name in {"eye": "eye", "pupil": "pupil", "cr": "corneal_reflection"}.items():
        for column in ("area", "area_raw", "width", "height"):
            columns[f"{part}_{column}"] = read(f"{name}_tracking/{column}")
        columns[f"{part}_phi"] = read(f"{name}_tracking/angle")
        for at, axis in enumerate("xy"):
            columns[f"{part}_center_{axis}"] = read(f"{name}_tracking/data", (slice(None), at))
    return columns


@dataclass(frozen=True)
class Expected:
    """AllenSDK's reading of one session, and what was put into it."""

    folder: Path

    @property
    def session_id(self) -> int:
        return int(self.folder.parent.name)

    @property
    def key(self) -> dict[str, int]:
        return {"session_id": self.session_id}

    @cached_property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "expected.json").read_text())

    @cached_property
    def truth(self) -> dict[str, Any]:
        return json.loads((self.folder / "ground_truth.json").read_text())

    @property
    def file(self) -> PlainFile:
        return PlainFile(self.folder.parent / self.summary["file"], self.summary)

    @cached_property
    def catalogue(self) -> pd.Series:
        """The session's row of the release's table of recordings."""
        path = self.folder.parents[2] / "project_metadata" / "ecephys_sessions.csv"
        table: Any = pd.read_csv(path, index_col="ecephys_session_id")
        return table.loc[self.session_id]

    def table(self, name: str) -> pd.DataFrame:
        """What AllenSDK reads; where that was not kept, the file's own."""
        path = self.folder / f"{name}.parquet"
        return pd.read_parquet(path) if path.exists() else getattr(self.file, name)()

    @cached_property
    def spike_times(self) -> dict[int, np.ndarray]:
        """Unit id -> spike times; ``index`` holds each unit's end."""
        if not (self.folder / "spikes.npz").exists():
            return self.file.spike_times()
        with np.load(self.folder / "spikes.npz") as stored:
            pieces = np.split(stored["spike_times"], stored["index"][:-1])
            return dict(zip(stored["unit_ids"].tolist(), pieces, strict=True))

    def peak_waveforms(self) -> dict[int, np.ndarray]:
        """Unit id -> mean waveform on its peak channel."""
        if not (self.folder / "peak_waveforms.npz").exists():
            return self.file.peak_waveforms()
        with np.load(self.folder / "peak_waveforms.npz") as stored:
            return dict(zip(stored["unit_ids"].tolist(), stored["waveforms"], strict=True))

    @property
    def is_cre(self) -> bool:
        return self.summary["metadata"]["cre_line"] is not None

    @cached_property
    def injected(self) -> dict[int, dict[str, Any]]:
        """Unit id -> what was put into the unit."""
        return {unit["unit_id"]: unit for unit in self.truth["units"]}

    def with_role(self, *roles: str) -> set[int]:
        """Return the ids of the units with one of the roles; there must be some."""
        found = {unit_id for unit_id, unit in self.injected.items() if unit["role"] in roles}
        assert found, roles
        return found

    def change_times(self, active: bool) -> np.ndarray:
        flashes = self.table("stimulus_presentations")
        return flashes.loc[
            flashes["is_change"].fillna(False) & (flashes["active"] == active), "start_time"
        ].to_numpy()
