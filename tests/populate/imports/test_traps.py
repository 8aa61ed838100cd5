"""Peculiarities of the files, a changed copy for each: the right rows, and the right issue if there is one.

A copy holds changes of different tables at once, because importing one takes a second. What a trap must not
change is compared with the import of the unchanged file. Traps with tests of their own: damaged parts
(`test_bad_content`), values out of range (`test_unstorable_values`), issues (`test_issues`), older releases
(`test_older_release`), training sessions and what AllenSDK reads (``tests/schemas/corpus``).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = [pytest.mark.files, pytest.mark.slow]

Rows = list[dict[str, Any]]
ELECTRODES = "general/extracellular_ephys/electrodes"
EYE = "acquisition/EyeTracking"
MISSING_INTEGER = -99
# Ends of the attributes that tell a copy from another: its number, the hash of what was read, versions.
OF_THE_COPY = ("session_id", "_source_hash", "_version")
TABLES = (
    "Recording",
    "ChangeDetection",
    "Licks",
    "Running",
    "EyeTracking",
    "TaskParameters",
    "Stimulus",
    "OptoStimulation",
)
CCF = [f"{axis}_ccf_coordinate" for axis in ("anterior_posterior", "dorsal_ventral", "left_right")]


def replace(group: h5py.Group, name: str, values: Any) -> None:
    """Put values of any shape and type in the place of a data set, which keeps its attributes."""
    attributes = dict(group[name].attrs)
    del group[name]
    is_text = np.asarray(values).dtype.kind in "OUS"
    group.create_dataset(name, data=values, dtype=h5py.string_dtype() if is_text else None)
    group[name].attrs.update(attributes)


def drop(group: h5py.Group, *names: str) -> None:
    for name in names:
        del group[name]
    group.attrs["colnames"] = [name for name in group.attrs["colnames"] if name not in names]


def presentations(file: h5py.File) -> Iterator[h5py.Group]:
    return (table for name, table in file["intervals"].items() if name.endswith("_presentations"))


def images(file: h5py.File) -> h5py.Group:
    return next(table for table in presentations(file) if "image_name" in table)


def unchanged(file: h5py.File) -> None:
    """Change nothing."""


# -- how values are stored


def integers_of_windows(file: h5py.File) -> None:
    """int32 where the numbers fit."""
    for table in (file[ELECTRODES], file["units"], file["intervals/trials"], *presentations(file)):
        for name, column in list(table.items()):
            if column.dtype == np.int64 and abs(column[:]).max(initial=0) < 2**31:
                replace(table, name, column[:].astype(np.int32))


def channels_in_another_order(file: h5py.File) -> None:
    for name in list(file[ELECTRODES]):
        column = file[ELECTRODES][name]
        column[...] = column[:][::-1]


def large_index(file: h5py.File) -> None:
    replace(file["units"], "spike_times_index", file["units/spike_times_index"][:].astype(np.uint64))


def blinks_and_areas_of_another_rule(file: h5py.File) -> None:
    """AllenSDK finds both anew."""
    file[f"{EYE}/likely_blink/data"][...] = True
    for name in ("eye", "pupil", "corneal_reflection"):
        file[f"{EYE}/{name}_tracking/area"][...] = 0.0


def backward_running(file: h5py.File) -> None:
    """AllenSDK turns a trace around whose mean is below -1 cm/s."""
    for name in ("speed", "speed_unfiltered"):
        data = file[f"processing/running/{name}/data"]
        data[...] = -data[:]


def windows_as_numbers(file: h5py.File) -> None:
    attributes = file["general/task_parameters"].attrs
    for name in ("response_window_sec", "blank_duration_sec"):
        attributes[name] = np.array([float(text) for text in attributes[name]])


def flags_as_numbers(file: h5py.File) -> None:
    for name in ("hit", "go", "aborted"):
        replace(file["intervals/trials"], name, file["intervals/trials"][name][:].astype(np.int8))
    for table in presentations(file):
        replace(table, "active", table["active"][:].astype(float))


# -- what is missing


def no_structure(file: h5py.File) -> None:
    """Both ways to say it; ``root`` is a structure."""
    location = file[f"{ELECTRODES}/location"]
    location[0:6] = ["None", "None", "", "root", "root", ""]


def no_coordinates(file: h5py.File) -> None:
    """(0, 0, 0) and NaN; a single 0 is a coordinate."""
    for name in "xyz":
        file[f"{ELECTRODES}/{name}"][0:2] = 0.0
        file[f"{ELECTRODES}/{name}"][2:4] = np.nan
    file[f"{ELECTRODES}/x"][4] = 0.0


def missing_integers(file: h5py.File) -> None:
    file["intervals/trials/change_frame"][0] = MISSING_INTEGER
    for name in ("flashes_since_change", "trials_id"):
        images(file)[name][2] = MISSING_INTEGER


def missing_texts(file: h5py.File) -> None:
    names = images(file)["image_name"].asstr()[:]
    names[3], names[4] = "N/A", ""
    replace(images(file), "image_name", names)


def missing_flags(file: h5py.File) -> None:
    for name in ("is_change", "rewarded", "is_image_novel"):
        images(file)[name][5] = np.nan


def omission_without_duration(file: h5py.File) -> None:
    images(file)["duration"][1] = np.nan


def no_licks_in_any_trial(file: h5py.File) -> None:
    """The writer makes the ragged column one empty text."""
    trials = file["intervals/trials"]
    replace(trials, "lick_times", [""])
    replace(trials, "lick_times_index", np.zeros(len(trials["id"]), dtype=np.uint8))
    trials["lick_times_index"].attrs["target"] = trials["lick_times"].ref


def as_many_licks_as_trials(file: h5py.File) -> None:
    """The writer leaves the index out."""
    trials = file["intervals/trials"]
    replace(trials, "lick_times", trials["start_time"][:] + 0.5)
    del trials["lick_times_index"]


def no_omissions_parameter(file: h5py.File) -> None:
    file["general/task_parameters"].attrs["omitted_flash_fraction"] = np.nan


def no_stored_blocks(file: h5py.File) -> None:
    for table in presentations(file):
        drop(table, "stimulus_block", "stimulus_name")


def silent_unit(file: h5py.File) -> None:
    units = file["units"]
    for name in ("spike_times", "spike_amplitudes"):
        ends = units[f"{name}_index"][:]
        replace(units, name, units[name][int(ends[0]) :])
        replace(units, f"{name}_index", ends - ends[0])
        units[f"{name}_index"].attrs["target"] = units[name].ref


def no_frames_of_the_mapping(file: h5py.File) -> None:
    """A presentation may have no end, and no duration."""
    flashes = file["intervals/flash_250ms_presentations"]
    flashes["stop_time"][1] = np.nan


def equal_levels(file: h5py.File) -> None:
    file["processing/optotagging/optogenetic_stimulation/level"][...] = 0.8


# Each tuple is one file.
FILES: tuple[tuple[Callable[[h5py.File], None], ...], ...] = (
    (unchanged,),
    (
        integers_of_windows,
        channels_in_another_order,
        large_index,
        blinks_and_areas_of_another_rule,
        backward_running,
        windows_as_numbers,
        flags_as_numbers,
    ),
    (no_structure, missing_integers, no_licks_in_any_trial, no_omissions_parameter, equal_levels),
    (no_coordinates, missing_texts, missing_flags, as_many_licks_as_trials, silent_unit),
    (no_stored_blocks,),
    (omission_without_duration, no_frames_of_the_mapping),
)


ID_STEP = 10**10
"""Between the ids of two copies."""

ID_OF_A_COPY = re.compile(r"\b\d{1,9}(\d{10})\b")


@dataclass(frozen=True)
class Imported:
    """The copies in one database."""

    database: Any
    ids: dict[str, int]

    def rows(self, table: Any, change: Callable[[h5py.File], None]) -> Rows:
        """Return the rows of a copy by their key, without what tells the copies apart."""
        self.database.connect()
        found = (table & {"session_id": self.ids[change.__name__]}).to_dicts(order_by="KEY")
        return [
            {name: _comparable(value) for name, value in row.items() if not name.endswith(OF_THE_COPY)}
            for row in found
        ]

    def both(self, table: Any, change: Callable[[h5py.File], None]) -> tuple[Rows, Rows]:
        """Return the rows of the unchanged copy and of another."""
        return self.rows(table, unchanged), self.rows(table, change)

    def new_issues(self, change: Callable[[h5py.File], None]) -> dict[tuple[str, str], str]:
        """Table and code -> detail, of the issues that the unchanged copy does not have."""
        before, found = (
            {
                (row["issue_table"], row["issue_code"]): ID_OF_A_COPY.sub(r"\1", row["issue_detail"])
                for row in self.database.json("issues", "--session", self.ids[one.__name__])
            }
            for one in (unchanged, change)
        )
        return {key: detail for key, detail in found.items() if before.get(key) != detail}


def _comparable(value: Any) -> Any:
    if isinstance(value, int) and value > ID_STEP:
        return value % ID_STEP  # as the original has it
    array = value.load() if hasattr(value, "load") else value
    return (array.shape, array.tobytes()) if isinstance(array, np.ndarray) else array


@pytest.fixture(scope="module")
def imported(make_database: Callable[..., Any], damaged_copy: Callable[..., Path]) -> Imported:
    database = make_database()
    ids: dict[str, int] = {}
    for changes in FILES:

        def changed(file: h5py.File, changes: Any = changes) -> None:
            for change in changes:
                change(file)

        (outcome,) = database.json_lines("register", damaged_copy(changed))
        ids |= {change.__name__: outcome["session_id"] for change in changes}
    wanted = [word for table in TABLES for word in ("--table", table)]
    assert database.json("populate", *wanted)["failures"] == []
    return Imported(database, ids)


def test_how_numbers_are_stored_changes_no_row_and_makes_no_issue(imported: Imported) -> None:
    """Order, width, type, and what is found anew whatever is stored."""
    from schemas import behavior, ecephys, stimulus

    task, recording = behavior.ChangeDetection, ecephys.Recording
    tables = (
        *(recording, recording.Probe, recording.Channel, recording.Unit),
        *(task, task.Trial, task.Reward, behavior.Licks, behavior.Running),
        *(behavior.EyeTracking, behavior.TaskParameters),
        *(
            stimulus.Stimulus,
            stimulus.Stimulus.Block,
            stimulus.Stimulus.Presentation,
            stimulus.Stimulus.Change,
        ),
    )
    for table in tables:
        before, after = imported.both(table, integers_of_windows)
        assert len(after) > 0
        assert after == before, table
    details = imported.new_issues(integers_of_windows)
    # The order of the channels is the order in which an issue names them.
    assert {table for table, _ in details} <= {"channels"}


def test_a_channel_without_structure_is_not_one_of_the_fibre_tracts(imported: Imported) -> None:
    from schemas import ecephys

    before, after = imported.both(ecephys.Recording.Channel, no_structure)
    found = [row["structure_acronym"] for row in after[:6]]
    assert found == [None, None, None, "root", "root", None]
    assert after[6:] == before[6:]
    n_missing = sum(row["structure_acronym"] is None for row in after)
    detail = imported.new_issues(no_structure)["channels", "missing_structure"]
    assert detail.startswith(f"{n_missing}: {after[0]['channel_id']}, {after[1]['channel_id']}, ")


def test_coordinates_of_zero_are_none(imported: Imported) -> None:
    from schemas import ecephys

    before, after = imported.both(ecephys.Recording.Channel, no_coordinates)
    assert [[row[name] for name in CCF] for row in after[:4]] == [[None] * 3] * 4
    assert [after[4][name] for name in CCF] == [0.0, *(before[4][name] for name in CCF[1:])]
    assert after[5:] == before[5:]
    issues = imported.new_issues(no_coordinates)
    assert issues["channels", "zero_ccf"].startswith(f"2: {after[0]['channel_id']}, {after[1]['channel_id']}")
    assert issues["channels", "missing_ccf"].partition(":")[2].startswith(f" {after[2]['channel_id']}, ")


def presentations_of(imported: Imported, change: Callable[[h5py.File], None]) -> tuple[Rows, Rows]:
    from schemas import stimulus

    return imported.both(stimulus.Stimulus.Presentation, change)


def assert_changed(before: Rows, after: Rows, expected: dict[int, dict[str, Any]]) -> None:
    """The named rows have the named values, and nothing else differs."""
    assert after == [{**row, **expected.get(number, {})} for number, row in enumerate(before)]


def test_minus_99_is_a_missing_integer(imported: Imported) -> None:
    from schemas import behavior

    before, after = presentations_of(imported, missing_integers)
    assert_changed(before, after, {2: {"flashes_since_change": None, "trial_id": None}})
    before, after = imported.both(behavior.ChangeDetection.Trial, missing_integers)
    assert [row["change_frame"] for row in after] == [None, *(row["change_frame"] for row in before[1:])]


def test_empty_texts_and_flags_are_missing(imported: Imported) -> None:
    before, after = presentations_of(imported, missing_texts)
    flags = dict.fromkeys(("is_change", "rewarded", "is_image_novel"))
    assert_changed(before, after, {3: {"image_name": None}, 4: {"image_name": None}, 5: flags})


def test_a_presentation_may_lack_its_duration_and_its_end(imported: Imported) -> None:
    before, after = presentations_of(imported, omission_without_duration)
    flash = next(at for at, row in enumerate(before) if row["color"] is not None) + 1
    expected = {1: {"presentation_duration": None}, flash: {"presentation_end_time": None}}
    assert_changed(before, after, expected)
    assert imported.new_issues(omission_without_duration) == {}


def test_trials_without_licks_have_empty_arrays(imported: Imported) -> None:
    from schemas import behavior

    before, after = imported.both(behavior.ChangeDetection.Trial, no_licks_in_any_trial)
    assert {row["lick_times"] for row in after} == {((0,), b"")}
    assert len(before) == len(after)


def test_as_many_licks_as_trials_are_told_apart_by_the_times(imported: Imported) -> None:
    from schemas import behavior

    after = imported.rows(behavior.ChangeDetection.Trial, as_many_licks_as_trials)
    for row in after:
        assert row["lick_times"] == ((1,), np.array([row["trial_start_time"] + 0.5]).tobytes())


def test_parameters_that_are_not_there_are_missing(imported: Imported) -> None:
    from schemas import behavior

    (before,), (after,) = imported.both(behavior.TaskParameters, no_omissions_parameter)
    assert after == {**before, "omitted_flash_fraction": None}


def test_blocks_that_are_not_stored_are_runs_of_a_stimulus(imported: Imported) -> None:
    """The names are those of the tables."""
    from schemas import stimulus

    before, after = imported.both(stimulus.Stimulus.Block, no_stored_blocks)
    assert after == before
    before, after = presentations_of(imported, no_stored_blocks)
    assert after == before
    assert imported.new_issues(no_stored_blocks) == {
        ("stimulus_presentations", "derived_column"): "stimulus_block, stimulus_name"
    }


def test_a_unit_without_spikes_is_a_unit(imported: Imported) -> None:
    from schemas import ecephys

    before, after = imported.both(ecephys.Recording.Unit, silent_unit)
    assert [row["unit_id"] for row in after] == [row["unit_id"] for row in before]
    silent = [row["unit_id"] for row in after if row["n_spikes"] == 0]
    assert len(silent) == 1
    n_spikes = {row["unit_id"]: row["n_spikes"] for row in before if row["unit_id"] not in silent}
    assert {row["unit_id"]: row["n_spikes"] for row in after if row["n_spikes"]} == n_spikes
    imported.database.connect()

    def times_of(name: str) -> dict[int, np.ndarray]:
        found = ecephys.spike_times(ecephys.Recording.Unit & {"session_id": imported.ids[name]})
        return {unit_id % ID_STEP: times for unit_id, times in found.items()}

    times, whole = times_of("silent_unit"), times_of("unchanged")
    for unit, expected in whole.items():
        np.testing.assert_array_equal(times[unit], [] if unit in silent else expected)


def test_levels_are_ranked_within_the_session(imported: Imported) -> None:
    from schemas import stimulus

    (after,) = imported.rows(stimulus.OptoStimulation, equal_levels)
    assert (after["n_levels"], after["highest_level"]) == (1, 0.8)
    pulses = imported.rows(stimulus.OptoStimulation.Pulse, equal_levels)
    assert {row["level_rank"] for row in pulses} == {0}


# -- what is entered on registering


def wild_type(file: h5py.File) -> None:
    """No driver line is an empty array of numbers, no reporter line the text None."""
    set_text(file, "general/subject/subject_id", "990777")
    set_text(file, "general/subject/genotype", "wt/wt")
    file["general/subject"].attrs["driver_line"] = np.array([], dtype=np.float64)
    file["general/subject"].attrs["reporter_line"] = "None"


def another_zone(file: h5py.File) -> None:
    set_text(file, "session_start_time", "2020-11-03T14:10:24-08:00")


def no_zone(file: h5py.File) -> None:
    set_text(file, "session_start_time", "2020-11-03T22:10:24")


def set_text(file: h5py.File, name: str, text: str) -> None:
    del file[name]
    file[name] = text


def test_a_wild_type_has_no_lines(imported: Imported, damaged_copy: Callable[..., Path]) -> None:
    from schemas import session

    (outcome,) = imported.database.json_lines("register", damaged_copy(wild_type))
    imported.database.connect()
    row = (session.Mouse & (session.Session & {"session_id": outcome["session_id"]})).fetch1()
    assert (row["mouse_id"], row["genotype"]) == ("990777", "wt/wt")
    assert (row["driver_line"], row["reporter_line"], row["cre_line"]) == ([], None, None)


def test_start_times_are_stored_in_utc(imported: Imported, damaged_copy: Callable[..., Path]) -> None:
    from schemas import session

    paths = [damaged_copy(change) for change in (another_zone, no_zone)]
    ids = [outcome["session_id"] for outcome in imported.database.json_lines("register", *paths)]
    imported.database.connect()
    started = (session.Session & [{"session_id": number} for number in ids]).to_arrays("date_of_acquisition")
    assert [str(moment)[:19].replace("T", " ") for moment in started] == ["2020-11-03 22:10:24"] * 2


# -- LFP files


def copy_of(source: Path, target: Path, *changes: Callable[[h5py.File], None]) -> Path:
    shutil.copyfile(source, target)
    with h5py.File(target, "r+") as file:
        for change in changes:
            change(file)
    return target


def without_density(file: h5py.File) -> None:
    del file["processing/current_source_density"]


def of_another_probe(file: h5py.File) -> None:
    number = int(file["identifier"][()])
    set_text(file, "identifier", "4711")
    del file[f"acquisition/probe_{number}_lfp_data"]
    file.move(f"acquisition/probe_{number}_lfp", "acquisition/probe_4711_lfp")
    series = file["acquisition/probe_4711_lfp"]
    series.move(f"probe_{number}_lfp_data", "probe_4711_lfp_data")
    for device in file["general/devices"].values():
        if device.attrs.get("probe_id") == number:
            device.attrs["probe_id"] = 4711


@pytest.fixture(scope="module")
def lfp(lfp_file: Path, make_database: Callable[..., Any], open_folder: Path) -> Any:
    """A recording, its LFP file under another name and without CSD, and one of a probe that it has not."""
    recording = next(lfp_file.parent.glob("ecephys_session_*.nwb"))
    folder = open_folder / "lfp"
    folder.mkdir()
    copies = [
        copy_of(lfp_file, folder / "of_a_probe.nwb", without_density),
        copy_of(lfp_file, folder / "probe_probeA_lfp.nwb", of_another_probe),
        copy_of(recording, folder / "recording.nwb"),
    ]
    database = make_database()
    outcomes = database.json_lines("register", *copies)
    assert [outcome["status"] for outcome in outcomes] == ["registered"] * 3
    wanted = [word for table in ("Recording", "Lfp", "CurrentSourceDensity") for word in ("--table", table)]
    assert database.json("populate", *wanted) == {"done": 3, "failures": []}
    database.connect()
    return database, copies


def test_the_probe_of_an_lfp_file_is_not_told_by_its_name(lfp: Any) -> None:
    from schemas import ecephys

    _, copies = lfp
    with h5py.File(copies[0]) as file:
        probe_id = int(file["identifier"][()])
    row = (ecephys.Lfp * ecephys.Recording.Probe).fetch1()
    assert row["probe_id"] == probe_id
    assert not ecephys.CurrentSourceDensity.fetch1("has_csd")


def test_an_lfp_file_without_density_or_probe_is_an_issue(lfp: Any) -> None:
    from schemas import ecephys

    database, _ = lfp
    name = ecephys.Lfp.fetch1("probe_name")
    found = {
        (row["imported_by"], row["issue_table"], row["issue_code"]): row for row in database.json("issues")
    }
    assert ("CurrentSourceDensity", f"csd of {name}", "missing_csd") in found
    assert found["Recording", "probes", "lfp_of_no_probe"]["issue_detail"] == "1: 4711"


def test_an_lfp_file_of_no_probe_is_refused_once_the_probes_are_known(lfp: Any) -> None:
    from schemas import ecephys, session

    database, copies = lfp
    (session.LfpFile & {"lfp_probe_id": 4711}).delete_quick()
    (outcome,) = database.json_lines("register", copies[1], check=False)
    known = ", ".join(map(str, ecephys.Recording.Probe.to_arrays("probe_id").tolist()))
    assert outcome["status"] == "failed"
    assert f"has no probe 4711; its probes are {known}. Check" in outcome["message"]
