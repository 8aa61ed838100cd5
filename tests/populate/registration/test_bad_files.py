"""Files that are no recordings: one clear line each, and the good file beside them is registered.

All of them are given to one ``vbn register``, whose lines the tests look at.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = [pytest.mark.files, pytest.mark.slow]

LFP_DESCRIPTION = "LFP data and associated info for one probe"
CUTS = (1, 7, 100, 2_000, 0.1, 0.5, 0.9, -1)
TRACES_OF_A_CRASH = ("Traceback", "unexpected", "Error:", "errno", "Errno", "this may be a bug")


@dataclass(frozen=True)
class Run:
    """One ``vbn register`` with all bad files and, last, a good one."""

    files: dict[str, Path]
    done: subprocess.CompletedProcess[str]
    lines: dict[str, dict[str, Any]]

    def message(self, name: str) -> str:
        line = self.lines[str(self.files[name])]
        assert line["status"] == "failed", line
        return line["message"]


def no_damage(file: h5py.File) -> None:
    """Leave the copy as it is."""


def as_lfp_file(file: h5py.File) -> None:
    del file["session_description"], file["units"]
    file["session_description"] = LFP_DESCRIPTION


def identifier_in_words(file: h5py.File) -> None:
    del file["identifier"]
    file["identifier"] = "session one"


# Parts without which a file cannot be opened; a table that announces a column must hold it.
LOST_PARTS = {
    "general/metadata": "/general/metadata has no behavior_session_id",
    "general/subject": "subject",
    "session_start_time": "session_start_time",
    "general/extracellular_ephys/electrodes/probe_channel_number": "probe_channel_number",
    "general/extracellular_ephys/electrodes/probe_id": "electrodes/probe_id",
    "units/spike_times": "/units/spike_times",
    "units/spike_times_index": "/units/spike_times_index",
    "units/peak_channel_id": "/units/peak_channel_id",
    "intervals/trials/hit": "/intervals/trials/hit",
    "intervals/trials/start_time": "/intervals/trials/start_time",
    "intervals/spontaneous_presentations/stimulus_block": "spontaneous_presentations/stimulus_block",
    "acquisition/EyeTracking/pupil_tracking": "EyeTracking",
    "processing/optotagging/optogenetic_stimulation/level": "optogenetic_stimulation/level",
}


def losing(path: str) -> Callable[[h5py.File], None]:
    def lose(file: h5py.File) -> None:
        del file[path]

    return lose


def write_foreign_nwb(path: Path, with_units: bool) -> None:
    """Write an NWB file as another laboratory would."""
    from pynwb import NWBHDF5IO, NWBFile

    nwbfile = NWBFile(
        session_description="another experiment",
        identifier="42",
        session_start_time=datetime(2024, 5, 1, tzinfo=UTC),
    )
    if with_units:
        device = nwbfile.create_device(name="probe", description="tetrode")
        group = nwbfile.create_electrode_group(
            name="probe", description="tetrode", location="CA1", device=device
        )
        nwbfile.add_electrode(location="CA1", group=group)
        nwbfile.add_unit(spike_times=[0.1, 0.2], id=1)
        nwbfile.add_trial(start_time=0.0, stop_time=1.0)
    with NWBHDF5IO(path, "w") as file:
        file.write(nwbfile)


def write_bad_files(folder: Path, good: Path, damaged_copy: Callable[..., Path]) -> dict[str, Path]:
    content = good.read_bytes()
    files = {
        "text": (folder / "text.nwb", b"these are notes, not a recording\n"),
        "empty": (folder / "empty.nwb", b""),
        "zeros": (folder / "zeros.nwb", bytes(100_000)),
        "html": (folder / "html.nwb", b"<html><body>404 Not Found</body></html>"),
        **{
            f"cut-{cut}": (
                folder / f"cut_{cut}.nwb",
                content[: int(cut * len(content)) if 0 < cut < 1 else cut],
            )
            for cut in CUTS
        },
    }
    for path, data in files.values():
        path.write_bytes(data)
    found = {name: path for name, (path, _) in files.items()}
    found["hdf5"] = folder / "hdf5.nwb"
    with h5py.File(found["hdf5"], "w") as file:
        file["data"] = np.arange(10)
    for name, with_units in (("foreign", False), ("foreign-ephys", True)):
        found[name] = folder / f"{name}.nwb"
        write_foreign_nwb(found[name], with_units)
    for damage in (as_lfp_file, identifier_in_words):
        found[damage.__name__] = damaged_copy(damage)
    found |= {path: damaged_copy(losing(path)) for path in LOST_PARTS}
    found["absent"] = folder / "absent.nwb"
    found["dangling-link"] = folder / "dangling.nwb"
    found["dangling-link"].symlink_to(folder / "nothing.nwb")
    return found


@pytest.fixture(scope="module")
def run(
    make_database: Callable[..., Any],
    synthetic_files: list[Path],
    open_folder: Path,
    damaged_copy: Callable[..., Path],
) -> Run:
    database = make_database()
    files = write_bad_files(open_folder, synthetic_files[0], damaged_copy)
    named = [path for name, path in files.items() if name not in ("absent", "dangling-link")]
    done = database.vbn("register", *named, synthetic_files[0], "--json", check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return Run(files, done, {line["path"]: line for line in lines})


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("text", "this is not an HDF5 file"),
        ("empty", "the file is empty"),
        ("zeros", "this is not an HDF5 file"),
        ("html", "this is not an HDF5 file"),
        ("hdf5", "this HDF5 file is not an NWB file"),
        ("foreign", "not of the Visual Behavior Neuropixels data set"),
        ("foreign-ephys", "not of the Visual Behavior Neuropixels data set"),
        ("as_lfp_file", "is missing, which a VBN LFP file must hold"),
        ("identifier_in_words", "the identifier 'session one' of this NWB file is not a whole number"),
        *LOST_PARTS.items(),
        *((f"cut-{cut}", "this is not an HDF5 file|cut short|cannot be read") for cut in CUTS),
    ],
)
def test_a_bad_file_is_named_with_its_problem_and_what_to_do(run: Run, name: str, problem: str) -> None:
    message = run.message(name)
    assert message.startswith(f"{run.files[name]}: ")
    assert re.search(problem, message)
    ours = re.sub(
        r"pynwb cannot read the file \(.*\)", "", message
    )  # what another library says is in brackets
    assert not any(words in ours for words in TRACES_OF_A_CRASH), message
    assert len(message.splitlines()) == 1
    advice = message.rstrip(".").rsplit(". ", maxsplit=1)[-1]
    assert re.match("(Check|Name|Download|Register|Compare|Give|See)", advice), f"no advice: {advice}"


def test_the_good_file_beside_bad_ones_is_registered_and_the_exit_code_is_one(
    run: Run, synthetic_files: list[Path]
) -> None:
    statuses = {path: line["status"] for path, line in run.lines.items()}
    assert statuses.pop(str(synthetic_files[0])) == "registered"
    assert set(statuses.values()) == {"failed"}
    assert run.done.returncode == 1
    assert run.done.stderr == ""


@pytest.mark.parametrize("name", ["absent", "dangling-link"])
def test_a_path_that_does_not_exist_is_refused_before_anything_is_entered(
    run: Run, shared_database: Any, synthetic_files: list[Path], name: str
) -> None:
    done = shared_database.call("register", synthetic_files[0], run.files[name], check=False)
    assert done.returncode == 1
    assert done.stderr == f"vbn: {run.files[name]}: the path does not exist. Check its spelling.\n"
    assert done.stdout == ""


def test_a_folder_without_recordings_is_an_error_that_names_it(shared_database: Any, tmp_path: Path) -> None:
    done = shared_database.call("register", tmp_path, check=False)
    assert done.returncode == 1
    assert (
        done.stderr
        == f"vbn: {tmp_path}: no NWB file (*.nwb) in this folder or below it. Name another folder.\n"
    )


def test_an_lfp_file_without_its_recording_is_refused_with_what_to_do(lfp_file: Path, database: Any) -> None:
    done = database.call("register", lfp_file, check=False)
    assert done.returncode == 1
    assert "is not registered. Register its ecephys_session_<id>.nwb first." in done.stderr
    recording = next(lfp_file.parent.glob("ecephys_session_*.nwb"))
    assert database.call("register", lfp_file, recording).stdout.endswith("2 registered.\n")


@pytest.fixture
def forbidden(open_folder: Path, synthetic_files: list[Path]) -> Path:
    path = open_folder / "forbidden.nwb"
    path.unlink(missing_ok=True)
    path.write_bytes(synthetic_files[0].read_bytes())
    path.chmod(0)
    return path


def test_a_file_without_permission_is_refused_with_that_reason(
    open_folder: Path, as_anybody: list[str], forbidden: Path
) -> None:
    """The server's socket is closed to who lost root's privileges; this is found before asking it."""
    script = (
        "import sys\nfrom populate.registration.register import register\n"
        "print([(outcome.status, outcome.message) for outcome in register([sys.argv[1]])])"
    )
    command = [*as_anybody, sys.executable, "-c", script, str(forbidden)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=open_folder)
    assert done.stdout == (
        f"[('failed', '{forbidden}: permission to read the file is refused. "
        "Ask its owner for read permission.')]\n"
    ), done.stderr
