"""Recordings to read: those of a test corpus, mutated copies of them, and hand-made HDF5 files."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from tests.vbn.nwb import contents
from vbn import nwb
from vbn.errors import FileError
from vbn.nwb.checks import findings
from vbn.nwb.checks.layout import find_unknown_parts
from vbn.nwb.checks.releases import find_release_issues
from vbn.nwb.readers.recording_end import last_recorded_time, last_spikes
from vbn.nwb.readers.session import find_metadata_issues
from vbn.synthetic import SyntheticSettings, write_sessions

CORPUS = os.environ.get("VBN_CORPUS")
# Fixture of a file -> where the corpus has such files, and which fixture is AllenSDK's reading of one.
FILES = {
    "recording_path": ("behavior_ecephys_sessions/*/ecephys_session_*.nwb", "expected"),
    "behavior_path": ("behavior_only_sessions/*/behavior_session_*.nwb", "behavior_expected"),
    "lfp_path": ("behavior_ecephys_sessions/*/probe_*_lfp.nwb", "expected"),
}
TEXT = h5py.string_dtype()
Issues = list[nwb.Issue]


def odd_units(file: nwb.RecordingFile) -> Issues:
    units, channels = nwb.read_units(file), nwb.read_channels(file)
    found = findings.find_channel_issues(channels) + findings.find_unit_issues(units, channels)
    return found + findings.find_infinite_values(units, "units")


def odd_spikes(file: nwb.RecordingFile) -> Issues:
    pieces = nwb.iterate_spike_times(file, nwb.read_units(file))
    last = {unit: time for _, span, times in pieces for unit, time in last_spikes(span, times).items()}
    return findings.find_late_spikes(last, last_recorded_time(file))


def odd_presentations(file: nwb.RecordingFile) -> Issues:
    trials, presentations = nwb.read_trials(file), nwb.read_stimulus_presentations(file)
    found = findings.find_presentation_issues(presentations)
    found += findings.find_unknown_trials(trials, presentations)
    found += findings.find_change_issues(trials, presentations)
    timestamps = nwb.read_stimulus_timestamps(file)
    found += findings.find_frame_issues(trials, presentations, nwb.read_licks(file), timestamps)
    return found + findings.find_unsorted_times(timestamps, "stimulus_timestamps")


OF_ALL: tuple[Callable[[nwb.RecordingFile], Issues], ...] = (
    find_unknown_parts,
    find_release_issues,
    find_metadata_issues,
    odd_presentations,
    lambda file: findings.find_trial_issues(nwb.read_trials(file)),
    lambda file: findings.find_lick_issues(nwb.read_licks(file)),
    lambda file: findings.find_reward_issues(nwb.read_rewards(file), nwb.read_licks(file)),
    lambda file: findings.find_unsorted_times(nwb.read_running(file)["timestamps"].to_numpy(), "running"),
)
LOOKS = {
    nwb.FileKind.BEHAVIOR_ONLY: OF_ALL,
    nwb.FileKind.RECORDING: (
        *OF_ALL,
        odd_units,
        odd_spikes,
        lambda file: findings.find_missing_pupil(nwb.read_eye_tracking(file)),
        lambda file: findings.find_missing_laser_table(nwb.read_optotagging(file)),
    ),
    nwb.FileKind.LFP: (
        find_unknown_parts,
        lambda file: findings.find_channel_issues(nwb.read_lfp_channels(file)),
    ),
}


@pytest.fixture(scope="session")
def issues_in() -> Callable[[nwb.RecordingFile], dict[tuple[str, str], nwb.Issue]]:
    """A function that looks for what is odd in a file with all that the import looks with."""

    def found_in(file: nwb.RecordingFile) -> dict[tuple[str, str], nwb.Issue]:
        found: Issues = []
        for look in LOOKS[file.identity.kind]:
            with contextlib.suppress(FileError):
                found += look(file)
        keys = [(one.code, one.table) for one in found]
        assert len(set(keys)) == len(keys), "one issue for each code and table"
        for one in found:
            assert one.code in nwb.CODES
            assert one.detail
            assert len(one.detail) < 600
        return {(one.code, one.table): one for one in found}

    return found_in


@dataclass(frozen=True)
class Expected:
    """What AllenSDK read from the file."""

    folder: Path

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / f"{name}.parquet")

    def arrays(self, name: str) -> Any:
        return np.load(self.folder / f"{name}.npz")

    @property
    def facts(self) -> dict[str, Any]:
        return json.loads((self.folder / "expected.json").read_text())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on a synthetic file and all of the corpus; on these only, if it compares with AllenSDK."""
    for name, (pattern, reading) in FILES.items():
        if name in metafunc.fixturenames:
            found = sorted(Path(CORPUS).glob(pattern)) if CORPUS else [None]
            marked = [pytest.param(path, marks=pytest.mark.corpus, id=_id_of(path)) for path in found]
            compares = {reading, "corpus"} & set(metafunc.fixturenames)
            synthetic = [] if compares else [pytest.param(None, id="synthetic")]
            metafunc.parametrize(name, synthetic + marked, indirect=True, scope="session")


def _id_of(path: Path | None) -> str:
    return f"{path.parent.name}-{path.stem}" if path else "corpus"


def _path_of(request: pytest.FixtureRequest, name: str) -> Path:
    """Return the corpus's file that the test is run on, or the first such file of the synthetic release."""
    return request.param or min(request.getfixturevalue("readers_release").glob(FILES[name][0]))


@pytest.fixture(scope="session")
def readers_release(
    complete_release: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A synthetic recording with waveforms, changes and rewards, a training session and an LFP file."""
    folder = tmp_path_factory.mktemp("readers")
    write_sessions(folder, SyntheticSettings(sessions=1, seed=3, minutes=8, units_per_probe=6))
    complete_release(folder)
    return folder


@pytest.fixture(scope="session", params=["synthetic", pytest.param("corpus", marks=pytest.mark.corpus)])
def release(request: pytest.FixtureRequest) -> Path:
    """A folder laid out as the release: synthetic, and once more the corpus where it is at hand."""
    return request.getfixturevalue("corpus" if request.param == "corpus" else "readers_release")


@pytest.fixture(scope="session")
def recording_path(request: pytest.FixtureRequest) -> Path:
    return _path_of(request, "recording_path")


@pytest.fixture(scope="session")
def recording(recording_path: Path) -> Iterator[nwb.RecordingFile]:
    with nwb.open_recording(recording_path) as opened:
        yield opened


@pytest.fixture(scope="session")
def expected(recording_path: Path) -> Expected:
    return Expected(recording_path.parent / "expected")


@pytest.fixture(scope="session")
def behavior_path(request: pytest.FixtureRequest) -> Path:
    return _path_of(request, "behavior_path")


@pytest.fixture(scope="session")
def behavior_only(behavior_path: Path) -> Iterator[nwb.RecordingFile]:
    with nwb.open_session(behavior_path) as opened:
        yield opened


@pytest.fixture(scope="session")
def behavior_expected(behavior_path: Path) -> Expected:
    return Expected(behavior_path.parent / "expected")


@pytest.fixture(scope="session")
def lfp_path(request: pytest.FixtureRequest) -> Path:
    return _path_of(request, "lfp_path")


@pytest.fixture(scope="session")
def lfp(lfp_path: Path) -> Iterator[nwb.RecordingFile]:
    with nwb.open_lfp(lfp_path) as opened:
        yield opened


@pytest.fixture(scope="session")
def usual_path(release: Path) -> Path:
    """The recording that tests damage copies of."""
    return min(release.glob("behavior_ecephys_sessions/*/ecephys_session_*.nwb"))


@pytest.fixture
def mutated(usual_path: Path, tmp_path: Path) -> Callable[..., Path]:
    """A function that copies a recording and changes the copy."""
    numbers = itertools.count()

    def mutate(change: Callable[[h5py.File], None], source: Path | None = None) -> Path:
        copy = tmp_path / f"mutated_{next(numbers)}.nwb"
        shutil.copyfile(source or usual_path, copy)
        with h5py.File(copy, "r+") as file:
            change(file)
        return copy

    return mutate


@pytest.fixture
def write_hdf5(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes data sets (by path) and attributes (``group@name``) into an HDF5 file."""

    def write(given: dict[str, Any], name: str = "made.nwb") -> Path:
        with h5py.File(tmp_path / name, "w") as file:
            for path, value in given.items():
                _put(file, path, value)
        return tmp_path / name

    return write


def _put(file: h5py.File, path: str, value: Any) -> None:
    group, is_attribute, name = path.partition("@")
    if is_attribute:
        (file.require_group(group) if group else file).attrs[name] = value
    elif isinstance(value, str) or (isinstance(value, list) and value and isinstance(value[0], str)):
        file.create_dataset(path, data=value, dtype=TEXT)
    else:
        file.create_dataset(path, data=value)


@pytest.fixture
def open_plainly() -> Iterator[Callable[[Path], nwb.RecordingFile]]:
    """A function that opens a file, by default as a recording, without pynwb, which takes a second."""
    opened: list[h5py.File] = []

    def open_path(
        path: Path, kind: nwb.FileKind = nwb.FileKind.RECORDING, number: int = 1
    ) -> nwb.RecordingFile:
        opened.append(h5py.File(path, "r"))
        identity = nwb.FileIdentity(path, kind, number, path.stat().st_size)
        return nwb.RecordingFile(path, None, opened[-1], identity)

    yield open_path
    for file in opened:
        file.close()


@pytest.fixture
def make_recording(
    write_hdf5: Callable[..., Path], open_plainly: Callable[[Path], nwb.RecordingFile]
) -> Callable[..., nwb.RecordingFile]:
    """A function that opens hand-made contents as a recording, without pynwb."""
    numbers = itertools.count()
    return lambda given, *kind: open_plainly(write_hdf5(given, f"made_{next(numbers)}.nwb"), *kind)


@pytest.fixture
def root() -> dict[str, Any]:
    return contents.root()


@pytest.fixture
def ephys() -> dict[str, Any]:
    return contents.ephys()


@pytest.fixture
def task() -> dict[str, Any]:
    return contents.task()


@pytest.fixture
def stimuli() -> dict[str, Any]:
    return contents.stimuli()
