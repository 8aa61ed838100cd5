"""Recordings with one part missing or wrong: the table that needs it fails in words, the others are whole.

Every damaged copy is a session of its own; all are populated by one ``vbn populate``.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = [pytest.mark.files, pytest.mark.slow]

EYE = "acquisition/EyeTracking"
ELECTRODES = "general/extracellular_ephys/electrodes"
LASER = "processing/optotagging/optogenetic_stimulation"
# What is computed from a table cannot be there without it; these stand for all computed tables.
NEEDS = {
    "Psth": {"Recording", "Stimulus", "OptoStimulation", "Licks"},
    "Stimulus": {"ChangeDetection"},
    "AlignedBehavior": {"Running", "Licks", "EyeTracking", "Stimulus"},
    "Optotagging": {"Recording", "OptoStimulation"},
    "Performance": {"ChangeDetection", "Licks"},
    "ChangeResponse": {"Recording", "Stimulus"},
}
TABLES = (
    "Recording",
    "ChangeDetection",
    "Licks",
    "Running",
    "EyeTracking",
    "TaskParameters",
    "RigGeometry",
    "OptoStimulation",
    *NEEDS,
)
DATABASE_NAMES = {
    "Recording": "ecephys._recording",
    "ChangeDetection": "behavior._change_detection",
    "Licks": "behavior._licks",
    "Running": "behavior._running",
    "EyeTracking": "behavior._eye_tracking",
    "TaskParameters": "behavior._task_parameters",
    "RigGeometry": "behavior._rig_geometry",
    "Stimulus": "stimulus._stimulus",
    "OptoStimulation": "stimulus._opto_stimulation",
    "Psth": "psth.__psth",
    "AlignedBehavior": "psth.__aligned_behavior",
    "Optotagging": "optotagging.__optotagging",
    "Performance": "performance.__performance",
    "ChangeResponse": "responses.__change_response",
}
MADE = tuple(DATABASE_NAMES.values())


@dataclass(frozen=True)
class Damage:
    """What is done to a file, which table fails of it, and what its message says."""

    name: str
    apply: Callable[[h5py.File], None]
    table: str
    problem: str


def without(path: str, table: str, problem: str | None = None) -> Damage:
    """Delete one group or data set."""

    def apply(file: h5py.File) -> None:
        del file[path]

    return Damage(f"without {path}".replace("/", " "), apply, table, problem or re.escape(path))


def replacing(
    path: str, change: Callable[[np.ndarray], np.ndarray], name: str, table: str, problem: str
) -> Damage:
    """Change the values of one data set."""

    def apply(file: h5py.File) -> None:
        file[path][...] = change(file[path][...])

    return Damage(name, apply, table, problem)


def swap_first_two(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values[1::-1], values[2:]])


def set_first(value: Any) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        changed = values.copy()
        changed[0] = value
        return changed

    return change


def repeat_first(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values[:1], values[:1], values[2:]])


def shorten_running(file: h5py.File) -> None:
    values = file["processing/running/speed/data"][:-5]
    attributes = dict(file["processing/running/speed/data"].attrs)
    del file["processing/running/speed/data"]
    file["processing/running/speed/data"] = values
    file["processing/running/speed/data"].attrs.update(attributes)


def image_table(file: h5py.File) -> str:
    return next(f"intervals/{name}" for name in file["intervals"] if name.startswith("Natural"))


def mixed_block(file: h5py.File) -> None:
    file["intervals/spontaneous_presentations/stimulus_block"][0] = 0


def short_eye_timestamps(file: h5py.File) -> None:
    times = file[f"{EYE}/eye_tracking/timestamps"][:-3]
    attributes = dict(file[f"{EYE}/eye_tracking/timestamps"].attrs)
    del file[f"{EYE}/eye_tracking/timestamps"]
    file[f"{EYE}/eye_tracking/timestamps"] = times
    file[f"{EYE}/eye_tracking/timestamps"].attrs.update(attributes)


def spikes(change: Callable[[np.ndarray], np.ndarray], name: str, problem: str) -> Damage:
    return replacing("units/spike_times", change, name, "Recording", problem)


# Each line is one file. Damages of different tables share a file, because importing one takes a second.
FILES: tuple[tuple[Damage, ...], ...] = (
    (
        without("units", "Recording", "/units"),
        Damage(
            "eye times too few",
            short_eye_timestamps,
            "EyeTracking",
            "timestamps has [0-9]+ times for [0-9]+ frames",
        ),
        replacing(
            f"{LASER}/level", set_first(np.nan), "a level not a number", "OptoStimulation", f"/{LASER}/level"
        ),
    ),
    (without(ELECTRODES, "Recording"),),
    (
        spikes(
            swap_first_two, "spikes go back", "not ascending in 1 units, first in unit [0-9]+ at its spike 1 "
        ),
        Damage("a block of two stimuli", mixed_block, "Stimulus", "block"),
        Damage("running of two lengths", shorten_running, "Running", "processing/running/speed"),
    ),
    (
        spikes(
            set_first(-1.0),
            "negative spikes",
            r"negative in 1 units, first in unit [0-9]+ at its spike 0 \(-1\.0 s\)",
        ),
    ),
    (spikes(set_first(np.nan), "spikes not a number", "not finite in 1 units"),),
    (without("units/id", "Recording", "/units/id"),),
    (
        replacing(
            "units/peak_channel_id",
            set_first(7),
            "channel nowhere",
            "Recording",
            r"1 units have a peak_channel_id.*\[7\]",
        ),
        replacing(
            "intervals/trials/id", repeat_first, "trials twice", "ChangeDetection", "/intervals/trials"
        ),
    ),
    (replacing("units/id", repeat_first, "units twice", "Recording", "/units/id"),),
    (replacing(f"{ELECTRODES}/id", repeat_first, "channels twice", "Recording", f"/{ELECTRODES}/id"),),
    (
        replacing(
            "units/spike_times_index",
            set_first(2**16 - 1),
            "index back",
            "Recording",
            "/units/spike_times_index must ascend",
        ),
    ),
)
DAMAGES = [damage for damages in FILES for damage in damages]
# Parts whose absence is a state: together in one file.
ABSENT = (
    "processing/licking",
    "processing/rewards",
    EYE,
    "processing/optotagging",
    "intervals/flash_250ms_presentations",
)
WITHOUT_THEM = {
    "behavior._licks": 1,
    "behavior._change_detection__reward": 0,
    "behavior._eye_tracking": 1,
    "stimulus._opto_stimulation": 1,
    "stimulus._opto_stimulation__pulse": 0,
    "stimulus._stimulus__block": 5,
    "optotagging.__optotagging__condition": 0,
    "optotagging.__optotagging__evidence": 0,
}


@dataclass(frozen=True)
class Populated:
    """What one ``vbn register`` and one ``vbn populate`` made of all the files."""

    database: Any
    paths: dict[str, Path]
    registered: subprocess.CompletedProcess[str]
    done: subprocess.CompletedProcess[str]
    complete: dict[str, int]
    errors: dict[int, dict[str, list[str]]]

    def session_id(self, name: str) -> int:
        return int(self.paths[name].stem.rsplit("_")[-1])


@pytest.fixture(scope="module")
def populated(
    make_database: Callable[..., Any], damaged_copy: Callable[..., Path], synthetic_files: list[Path]
) -> Populated:
    database = make_database().keep_few_sets()
    paths: dict[str, Path] = {}
    for damages in FILES:
        path = damaged_copy(all_of(damages))
        paths |= {damage.name: path for damage in damages}
    paths["absent"] = damaged_copy(without_optional_parts)
    paths["good"] = synthetic_files[0]
    registered = database.vbn("register", *dict.fromkeys(paths.values()), check=False)
    named = (word for name in TABLES for word in ("--table", name))
    done = database.vbn("populate", "--processes", "2", *named, check=False)
    errors: dict[int, dict[str, list[str]]] = {}
    for error in database.json("errors"):
        errors.setdefault(error["key"]["session_id"], {}).setdefault(error["table"], []).append(
            error["message"]
        )
    complete = database.row_counts(int(paths["good"].stem.rsplit("_")[-1]))
    return Populated(database, paths, registered, done, complete, errors)


def all_of(damages: Iterable[Damage]) -> Callable[[h5py.File], None]:
    def damaged(file: h5py.File) -> None:
        for damage in damages:
            damage.apply(file)

    return damaged


def without_optional_parts(file: h5py.File) -> None:
    """Delete what may be absent; the first unit has a metric that is infinite."""
    for path in ABSENT:
        del file[path]
    file["units/snr"][0] = np.inf


def without_those_of(failing: Iterable[str]) -> set[str]:
    """Return the tables that can be made although some fail."""
    lost = set(failing)
    while more := {table for table, needed in NEEDS.items() if needed & lost} - lost:
        lost |= more
    return set(TABLES) - lost


def test_no_library_speaks_to_the_user(populated: Populated) -> None:
    assert populated.registered.stderr == ""
    assert "site-packages" not in populated.done.stderr


def test_the_damaged_files_are_recordings_and_register(populated: Populated) -> None:
    assert populated.registered.returncode == 0
    assert populated.registered.stdout.splitlines()[-1] == f"{len(FILES) + 2} registered."


def test_the_good_session_is_complete_and_the_exit_code_is_one(populated: Populated) -> None:
    assert populated.done.returncode == 1
    assert populated.session_id("good") not in populated.errors
    made = {name: number for name, number in populated.complete.items() if name.startswith(MADE)}
    assert {name for name, number in made.items() if number == 0} == set()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_a_damaged_part_fails_its_table_in_words(populated: Populated, damage: Damage) -> None:
    path = populated.paths[damage.name]
    (message,) = populated.errors[populated.session_id(damage.name)][damage.table]
    assert message.startswith(f"{path}: "), message
    assert re.search(damage.problem, message), message
    assert not re.search(r"Traceback|Error:|object at 0x", message), message
    assert message.endswith("."), message
    assert len(message) < 800
    assert message in populated.done.stderr


@pytest.mark.parametrize("damages", FILES, ids=lambda damages: damages[0].name)
def test_no_other_table_fails(populated: Populated, damages: tuple[Damage, ...]) -> None:
    assert populated.errors[populated.session_id(damages[0].name)].keys() == {
        damage.table for damage in damages
    }


@pytest.mark.parametrize("damages", FILES, ids=lambda damages: damages[0].name)
def test_the_tables_of_a_damaged_session_are_whole_or_empty(
    populated: Populated, damages: tuple[Damage, ...]
) -> None:
    counts = populated.database.row_counts(populated.session_id(damages[0].name))
    whole = without_those_of(damage.table for damage in damages)
    complete = dict(populated.complete)
    if "OptoStimulation" in {damage.table for damage in damages}:
        complete[DATABASE_NAMES["AlignedBehavior"]] -= 1  # the one of the alignment to laser pulses
    for table, name in DATABASE_NAMES.items():
        own = {
            part: number for part, number in counts.items() if part == name or part.startswith(f"{name}__")
        }
        assert own == {part: complete[part] if table in whole else 0 for part in own}


def test_what_may_be_absent_is_a_state_and_no_error(populated: Populated) -> None:
    session_id = populated.session_id("absent")
    assert session_id not in populated.errors
    counts = populated.database.row_counts(session_id)
    assert {name: counts[name] for name in WITHOUT_THEM} == WITHOUT_THEM
    masters = {name: counts[name] for name in DATABASE_NAMES.values()}
    assert masters == {name: populated.complete[name] for name in DATABASE_NAMES.values()}


def test_absent_parts_are_empty_values(populated: Populated) -> None:
    from schemas import behavior, ecephys, optotagging, psth, stimulus

    populated.database.connect()
    key = {"session_id": populated.session_id("absent")}
    licks = (behavior.Licks & key).fetch1()
    assert (licks["n_licks"], len(licks["lick_timestamps"]), len(licks["lick_frames"])) == (0, 0, 0)
    assert (behavior.ChangeDetection & key).fetch1("n_rewards") == 0
    assert not (behavior.EyeTracking & key).fetch1("has_eye_tracking")
    assert not (stimulus.OptoStimulation & key).fetch1("has_laser_table")
    assert (optotagging.Optotagging & key).fetch1("optotag_outcome") == "no_laser_table"
    aligned = (psth.AlignedBehavior & key & {"alignment": "change_active"}).fetch1()
    assert aligned["pupil_area_mean"] is None
    assert len(ecephys.Recording.Unit & key & "snr IS NULL") >= 1
    assert not aligned["lick_rate"].any()


def test_failed_imports_leave_no_files_in_the_store(populated: Populated) -> None:
    assert populated.database.stored_files() == populated.database.referenced_files()


def test_status_counts_what_failed(populated: Populated) -> None:
    for state in populated.database.json("status"):
        failed = sum(state["table"] in tables for tables in populated.errors.values())
        assert state["errors"] == failed
        assert state["reserved"] == 0
        assert state["done"] <= state["total"] - failed
