"""What AllenSDK reads from the corpora, and comparing tables with it."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

RELATIVE_TOLERANCE = 1e-9
# What AllenSDK gives for a missing integer, and for missing text.
MISSING = (-99, "", "N/A")

CORPORA = {"VBN_CORPUS": "populated_corpus", "VBN_CORPUS_HARD": "populated_corpus_hard"}
FOLDERS = {
    "recording_folder": "behavior_ecephys_sessions/*/expected",
    "session_folder": "behavior*_sessions/*/expected",
}
NO_CORPUS = f"neither {' nor '.join(CORPORA)} names a folder with such sessions"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "roles(*names): runs on the recordings with units of these roles, by their ground truth"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests of ``recorded`` for each recording of the corpora, of ``watched`` for each session.

    Those of ``collected`` run for each corpus.
    """
    for name, pattern in FOLDERS.items():
        if name in metafunc.fixturenames:
            mark = metafunc.definition.get_closest_marker("roles")
            folders = [path for variable in CORPORA for path in _folders(variable, pattern)]
            folders = [path for path in folders if mark is None or _roles_in(path) >= set(mark.args)]
            metafunc.parametrize(
                name, folders or [None], ids=[path.parent.name for path in folders] or ["none"]
            )
    if "corpus_variable" in metafunc.fixturenames:
        metafunc.parametrize("corpus_variable", CORPORA)


def _folders(variable: str, pattern: str) -> list[Path]:
    """List what AllenSDK reads of the sessions of a corpus; nothing where the variable is not set."""
    corpus = os.environ.get(variable)
    found = sorted(Path(corpus).glob(pattern)) if corpus else []
    if corpus and not found:
        raise pytest.UsageError(f"{variable} names {corpus}, which holds no {pattern}")
    return found


def _roles_in(folder: Path) -> set[str]:
    truth = json.loads((folder / "ground_truth.json").read_text())
    return {unit["role"] for unit in truth["units"]}


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
        return pd.read_csv(path, index_col="ecephys_session_id").loc[self.session_id]

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


@dataclass(frozen=True)
class Collected:
    """A corpus and the database that holds it."""

    folder: Path
    database: Any


# The server is asked for by name, so that these tests carry the mark `database`.
@pytest.fixture
def recorded(recording_folder: Path | None, server: Any, request: pytest.FixtureRequest) -> Expected:
    """One recording of a corpus; the table classes are bound to the database that holds it."""
    return _bound(recording_folder, request)


@pytest.fixture
def watched(session_folder: Path | None, server: Any, request: pytest.FixtureRequest) -> Expected:
    """One session of a corpus, with or without a recording of the brain; bound as for `recorded`."""
    return _bound(session_folder, request)


def _bound(folder: Path | None, request: pytest.FixtureRequest) -> Expected:
    if folder is None:
        pytest.skip(NO_CORPUS)
    variable = next(name for name in CORPORA if folder in _folders(name, FOLDERS["session_folder"]))
    request.getfixturevalue(CORPORA[variable]).connect()
    return Expected(folder)


@pytest.fixture
def collected(corpus_variable: str, server: Any, request: pytest.FixtureRequest) -> Collected:
    """One corpus as a whole, bound as for `recorded`."""
    database = request.getfixturevalue(CORPORA[corpus_variable])
    database.connect()
    return Collected(Path(os.environ[corpus_variable]), database)


@pytest.fixture(scope="session", name="sha")
def hash_function() -> Callable[[np.ndarray], str]:
    """The hash that is written down in ``expected.json``."""
    return sha


@pytest.fixture(scope="session")
def corpus_truth(corpus: Path) -> dict[int, str]:
    """Unit id -> role, of all recordings of the first corpus."""
    truths = [
        json.loads(path.read_text())
        for path in corpus.glob(f"{FOLDERS['recording_folder']}/ground_truth.json")
    ]
    return {unit["unit_id"]: unit["role"] for truth in truths for unit in truth["units"]}


@pytest.fixture
def synthetic_database(populated_synthetic: Any) -> Iterator[Any]:
    """The synthetic sessions' database, with the table classes bound to it."""
    populated_synthetic.connect()
    return populated_synthetic


@pytest.fixture(scope="session")
def assert_rows_equal() -> Callable[..., None]:
    """Compare rows with a data frame: ``assert_rows_equal(rows, frame, {column: attribute})``."""
    return _assert_rows_equal


def _assert_rows_equal(
    rows: Sequence[Mapping[str, Any]], frame: pd.DataFrame, names: Mapping[str, str]
) -> None:
    """Exact for numbers without fraction, text and flags; missing values are None on both sides."""
    assert len(rows) == len(frame)
    for column, attribute in names.items():
        expected = [_expected_value(value) for value in frame[column].astype(object)]
        different = [
            (position, row[attribute], value)
            for position, (row, value) in enumerate(zip(rows, expected, strict=True))
            if not _is_same(row[attribute], value)
        ]
        assert not different, (
            f"{attribute}: {len(different)} differ, (row, stored, expected): {different[:5]}"
        )


def _expected_value(value: Any) -> Any:
    if (
        value is None
        or value is pd.NA
        or (isinstance(value, float) and math.isnan(value))
        or value in MISSING
    ):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _is_same(stored: Any, expected: Any) -> bool:
    if stored is None or expected is None:
        return stored is expected
    if isinstance(expected, bool):  # MySQL has numbers for flags
        return stored in (0, 1) and bool(stored) == expected
    if isinstance(expected, float):
        return math.isclose(stored, expected, rel_tol=RELATIVE_TOLERANCE, abs_tol=0)
    return type(stored) is type(expected) and stored == expected
