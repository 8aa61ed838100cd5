"""A small synthetic data set, written once, and the outside things it is compared with."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vbn.synthetic import SyntheticSettings, session_path, write_sessions

SETTINGS = SyntheticSettings(sessions=5, seed=11, units_per_probe=16, minutes=4)


@dataclass(frozen=True)
class DataSet:
    """A written data set: sessions 0 and 1 are of one sst mouse, 2 and 3 of a vip one, 4 of a wild type."""

    folder: Path
    settings: SyntheticSettings
    paths: list[Path]

    @property
    def truth(self) -> dict[str, Any]:
        return json.loads((self.folder / "ground_truth.json").read_text(encoding="utf-8"))

    def truth_of(self, path: Path) -> dict[str, Any]:
        return self.truth["sessions"][path.parent.name]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    folder = tmp_path_factory.mktemp("synthetic")
    return DataSet(folder, SETTINGS, write_sessions(folder, SETTINGS))


@pytest.fixture(scope="session", params=range(5), ids=["sst_1", "sst_2", "vip_1", "vip_2", "wt_1"])
def recording(request: pytest.FixtureRequest, dataset: DataSet) -> Path:
    return session_path(dataset.folder, 9_000_000_001 + request.param)


@pytest.fixture(scope="session")
def corpus_recording(corpus: Path) -> Path:
    """A recording that AllenSDK wrote, with eye tracking and laser."""
    import h5py

    for path in sorted(corpus.glob("behavior_ecephys_sessions/*/ecephys_session_*.nwb")):
        with h5py.File(path) as file:
            if "EyeTracking" in file["acquisition"] and "optotagging" in file["processing"]:
                return path
    pytest.skip("VBN_CORPUS holds no recording with eye tracking and laser")


@pytest.fixture(scope="session")
def allensdk_python(request: pytest.FixtureRequest) -> str:
    """An interpreter that has AllenSDK."""
    python = os.environ.get("VBN_ALLENSDK_PYTHON")
    if not python:
        pytest.skip("VBN_ALLENSDK_PYTHON names no Python interpreter with AllenSDK")
    return python
