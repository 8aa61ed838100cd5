"""Whatever is wrong with a file, readers end in a value or in an error that names the file.

Each mutant is a copy of a synthetic file, or of one of the corpus, in which one or two objects are lost, or
have other attributes, types, shapes or values. Mutants are numbered: number 7 is always the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks.fuzz.mutants import mutate
from vbn import nwb
from vbn.errors import FileError

N_MUTANTS = 30

SESSION_READERS = (
    nwb.read_session,
    nwb.read_trials,
    nwb.read_stimulus_presentations,
    nwb.read_stimulus_timestamps,
    nwb.read_licks,
    nwb.read_rewards,
    nwb.read_running,
    nwb.read_eye_tracking,
    nwb.read_task_parameters,
    nwb.read_rig_geometry,
    lambda session: list(nwb.read_stimulus_templates(session)),
)
RECORDING_READERS = (
    nwb.read_probes,
    nwb.read_channels,
    nwb.read_units,
    nwb.read_optotagging,
    lambda recording: nwb.read_peak_waveforms(recording, nwb.read_units(recording)),
    lambda recording: list(nwb.iterate_spike_amplitudes(recording, nwb.read_units(recording))),
)
LFP_READERS = (
    nwb.read_lfp_probe,
    nwb.read_lfp_channels,
    nwb.read_csd,
    lambda file: nwb.read_lfp_samples(file, 184.0, 184.5, decimate=3),
)
READERS = {
    nwb.FileKind.RECORDING: SESSION_READERS + RECORDING_READERS,
    nwb.FileKind.BEHAVIOR_ONLY: SESSION_READERS,
    nwb.FileKind.LFP: LFP_READERS,
}


@pytest.fixture(scope="module")
def sources(release) -> list[Path]:
    patterns = ("*/*/ecephys_session_*.nwb", "*/*/behavior_session_*.nwb", "*/*/probe_*_lfp.nwb")
    return [min(release.glob(pattern)) for pattern in patterns]


def refusals(path: Path, issues_in: Callable[[nwb.RecordingFile], object]) -> list[FileError]:
    """Read everything, look for what is odd; return the readers' errors."""
    try:
        identity = nwb.identify(path)
    except FileError as error:
        return [error]
    errors = []
    with h5py.File(path) as file:
        session = nwb.RecordingFile(path, None, file, identity)
        issues_in(session)
        for read in READERS[identity.kind]:
            try:
                read(session)
            except FileError as error:
                errors.append(error)
    return errors


@pytest.mark.parametrize("number", range(N_MUTANTS))
def test_a_mutant_ends_in_values_or_in_errors_that_name_it(sources, tmp_path, issues_in, number):
    rng = np.random.default_rng(number)
    path = tmp_path / "mutant.nwb"
    shutil.copyfile(sources[[0, 0, 0, 1, 2][number % 5]], path)
    with h5py.File(path, "r+") as file:
        changes = [mutate(file, rng) for _ in range(1 + number % 2)]
    for error in refusals(path, issues_in):
        assert error.path == str(path), changes
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
