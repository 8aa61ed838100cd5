"""The issues of whole files: of files as they are written, and of copies with something odd."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest

from vbn import nwb
from vbn.errors import InvalidContentError
from vbn.nwb.checks.layout import KNOWN, unknown_objects

TEXT = h5py.string_dtype()
ALWAYS = {"invalid_channels", "missing_ccf", "missing_structure", "unit_on_invalid_channel", "nan_metrics"}


@pytest.fixture
def mutant(mutated, open_plainly, issues_in):
    """A function that changes a copy of a recording and returns its issues."""
    return lambda change: issues_in(open_plainly(mutated(change)))


@pytest.fixture(scope="module")
def usual(usual_path, issues_in):
    """The issues of the same recording without a change."""
    with h5py.File(usual_path) as file:
        return issues_in(nwb.RecordingFile(usual_path, None, file, nwb.identify(usual_path)))


def put(file, path, values):
    """Replace a data set, and keep what pynwb needs of it."""
    attributes = dict(file[path].attrs)
    del file[path]
    file[path] = values
    file[path].attrs.update(attributes)


def test_a_recording_of_the_corpus_has_only_what_it_was_made_with(recording, expected, issues_in):
    found = issues_in(recording)
    assert {code for code, _ in found} >= ALWAYS
    assert not [one for one in found.values() if one.severity == "error"]
    more = {code for code, _ in found} - ALWAYS - {"spikes_after_recording", "zero_ccf"}
    has_pupil = not expected.table("eye_tracking").empty
    assert ("missing_pupil" in more) == (not has_pupil)
    assert more <= {"missing_pupil", "derived_column"}


def test_the_channels_and_units_of_the_corpus_are_counted(recording, expected, issues_in):
    found = issues_in(recording)
    channels, units = expected.table("channels"), expected.table("units")
    n_invalid = (~channels["valid_data"]).sum()
    assert found["invalid_channels", "channels"].detail.startswith(f"{n_invalid}: ")
    n_missing = channels["left_right_ccf_coordinate"].isna().sum()
    assert found["missing_ccf", "channels"].detail.startswith(f"{n_missing}: ")
    invalid = channels.index[~channels["valid_data"]]
    on_invalid = units.index[units["peak_channel_id"].isin(invalid)].tolist()
    assert found["unit_on_invalid_channel", "units"].detail.startswith(f"{len(on_invalid)}: {on_invalid[0]}")
    n_nan = units.drop(columns="quality").isna().any(axis=1).sum()
    assert found["nan_metrics", "units"].detail.startswith(f"units {n_nan}: ")


def test_a_training_session_has_none(behavior_only, issues_in):
    assert issues_in(behavior_only) == {}


def test_an_lfp_file_has_nothing_unknown(lfp, issues_in):
    assert {code for code, _ in issues_in(lfp)} <= {"invalid_channels", "missing_ccf", "missing_structure"}


def test_an_lfp_file_without_current_source_density_says_so(mutated, open_plainly, lfp_path):
    path = mutated(lambda file: file.__delitem__("processing/current_source_density"), lfp_path)
    number = nwb.identify(path).identifier
    assert nwb.read_csd(open_plainly(path, nwb.FileKind.LFP, number)) is None


def infinite_metric(file):
    file["units/snr"][2] = np.inf


def spikes_too_late(file):
    file["units/spike_times"][-1] = 80_000.0


def spikes_before_zero(file):
    first = int(file["units/spike_times_index"][0])
    file["units/spike_times"][first] = -1.0


def no_outcome(file):
    for name in ("hit", "miss", "false_alarm", "correct_reject", "aborted", "auto_rewarded"):
        file[f"intervals/trials/{name}"][0] = False


def change_moved(file):
    frames = file["intervals/trials/change_frame"]
    row = int(np.flatnonzero(frames[:] >= 0)[0])
    frames[row] += 20


def change_beside(file):
    frames = file["intervals/trials/change_frame"]
    row = int(np.flatnonzero(frames[:] >= 0)[0])
    frames[row] += 1


def presentation_stretched(file):
    file["intervals/spontaneous_presentations/stop_time"][0] += 1.0


def licks_swapped(file):
    times = file["processing/licking/licks/timestamps"]
    times[:2] = times[:2][::-1]


def licks_gone(file):
    times = file["processing/licking/licks/timestamps"]
    times[:] = np.linspace(1e4, 2e4, len(times))


def running_back(file):
    file["processing/running/speed/timestamps"][5] = 0.0
    file["processing/running/speed_unfiltered/timestamps"][5] = 0.0


def extra_column(file):
    file["units/waveform_halfwidth"] = np.zeros(len(file["units/id"]))


def extra_group(file):
    file["processing/face/camera"] = np.zeros(3)


def extra_table(file):
    file["intervals/invalid_times/id"] = np.zeros(1)


def extra_link(file):
    file["acquisition/other"] = h5py.SoftLink("/acquisition/v_in")


def extra_attribute(file):
    file["general/metadata"].attrs["weather"] = "rain"


def no_stimulus_index(file):
    for table in (item for name, item in file["intervals"].items() if "stimulus_index" in item):
        del table["stimulus_index"]


def colorless_flashes(file):
    """A column without a value is left out by the writer."""
    del file["intervals/flash_250ms_presentations/color"]


def no_quality(file):
    del file["units/quality"]


def no_zero_ccf(file):
    for axis in "xyz":
        file[f"general/extracellular_ephys/electrodes/{axis}"][...] = 0.0


def no_pupil(file):
    pupil = file["acquisition/EyeTracking/pupil_tracking/area_raw"]
    pupil[...] = np.full(pupil.shape, np.nan)


def frame_too_far(file):
    file["intervals/gabor_20_deg_250ms_presentations/start_frame"][0] = 10**6


def two_stimuli_in_a_block(file):
    file["intervals/spontaneous_presentations/stimulus_block"][0] = 2


def old_trials(file):
    file.move("intervals/trials/is_change", "intervals/trials/stimulus_change")


@pytest.mark.parametrize(
    ("change", "code", "table", "severity", "words"),
    [
        (infinite_metric, "infinite_values", "units", "warning", r"\(snr 1\)"),
        (spikes_too_late, "spikes_after_recording", "spike_times", "warning", "after"),
        (no_outcome, "trial_outcome_not_one", "trials", "warning", "1: 0"),
        (change_moved, "change_without_presentation", "trials", "warning", "1: "),
        (change_beside, "change_beside_presentation", "trials", "info", "1: "),
        (presentation_stretched, "overlapping_presentations", "stimulus_presentations", "warning", ": "),
        (licks_swapped, "licks_out_of_order", "licks", "warning", "1: 1"),
        (licks_gone, "reward_without_lick", "rewards", "warning", ": "),
        (running_back, "unsorted_times", "running", "warning", "rows 1: 5"),
        (extra_column, "unknown_column", "file", "warning", "1: /units/waveform_halfwidth"),
        (extra_group, "unknown_table", "file", "warning", "1: /processing/face"),
        (extra_table, "unknown_table", "file", "warning", "1: /intervals/invalid_times"),
        (extra_link, "unknown_table", "file", "warning", "1: /acquisition/other"),
        (extra_attribute, "unknown_attribute", "file", "warning", "1: /general/metadata@weather"),
        (no_quality, "no_quality", "units", "info", "/units/quality"),
        (no_stimulus_index, "missing_column", "stimulus_presentations", "info", "stimulus_index"),
        (colorless_flashes, "missing_column", "stimulus_presentations", "info", "color of flash_250ms"),
        (no_zero_ccf, "zero_ccf", "channels", "warning", "768: "),
        (no_pupil, "missing_pupil", "eye_tracking", "warning", "no pupil in"),
        (frame_too_far, "frame_without_time", "stimulus_presentations", "warning", "rows 1: "),
        (two_stimuli_in_a_block, "mixed_block", "stimulus_presentations", "error", "blocks 1: 2"),
        (old_trials, "derived_column", "trials", "info", "is_change .from stimulus_change"),
    ],
)
def test_a_change_shows_as_its_issue(mutant, usual, change, code, table, severity, words):
    found = mutant(change)
    assert found[code, table].severity == severity
    assert re.search(words, found[code, table].detail)
    new = set(found) - set(usual)
    assert new <= {(code, table), ("spikes_after_recording", "spike_times")}


@pytest.mark.parametrize(
    ("lost", "code", "table", "severity"),
    [
        ("acquisition/EyeTracking", "missing_pupil", "eye_tracking", "warning"),
        ("processing/optotagging", "missing_laser_table", "optotagging", "warning"),
        ("processing/licking", "no_licks", "licks", "info"),
        ("processing/rewards", "no_rewards", "rewards", "info"),
        ("stimulus/templates", "missing_templates", "stimulus_templates", "info"),
        ("units/waveform_mean", "missing_waveforms", "units", "info"),
        ("units/spike_amplitudes", "missing_amplitudes", "units", "info"),
        ("units/snr", "missing_column", "units", "info"),
        ("general/extracellular_ephys/electrodes/valid_data", "missing_column", "channels", "warning"),
        ("intervals/trials", "missing_table", "trials", "warning"),
        ("general/task_parameters", "missing_table", "task_parameters", "warning"),
        ("processing/running/speed", "missing_table", "running", "warning"),
        ("processing/stimulus", "missing_table", "stimulus_timestamps", "warning"),
    ],
)
def test_a_lost_part_shows_as_its_issue(mutant, lost, code, table, severity):
    found = mutant(lambda file: file.__delitem__(lost))
    assert found[code, table].severity == severity


@pytest.mark.parametrize(
    ("lost", "read"),
    [
        ("units/spike_times", nwb.read_units),
        ("general/subject", nwb.read_session),
        ("general/extracellular_ephys", nwb.read_channels),
    ],
)
def test_a_lost_part_that_is_required_is_refused(mutated, open_plainly, lost, read):
    file = open_plainly(mutated(lambda file: file.__delitem__(lost)))
    with pytest.raises(InvalidContentError):
        read(file)


def test_spikes_before_the_session_are_refused(mutated, open_plainly):
    file = open_plainly(mutated(spikes_before_zero))
    with pytest.raises(InvalidContentError, match="are negative"):
        list(nwb.iterate_spike_times(file, nwb.read_units(file)))


def old_release(file):
    """As of v0.3: plain bools (True for missing), floats, other names, columns not yet invented."""
    for name in [name for name in file["intervals"] if name.endswith("_presentations")]:
        table = file[f"intervals/{name}"]
        for column in ("trials_id", "is_sham_change", "active"):
            if column in table:
                del table[column]
        for column in ("is_change", "omitted", "rewarded", "is_image_novel"):
            if column in table:
                put(table, column, np.nan_to_num(table[column][:], nan=1.0).astype(bool))
            else:
                table[column] = np.ones(len(table["id"]), dtype=bool)
        since = table["flashes_since_change"][:].astype(float)
        put(table, "flashes_since_change", np.where(since == -99, np.nan, since))
    old_trials(file)
    no_quality(file)
    del file["general/task_parameters"].attrs["stimulus_name"]


def test_an_old_release_reads_as_the_new_one(mutated, open_plainly, recording_path, recording):
    """Its bools are trusted for images only, and not for the novelty of an omission."""
    old = open_plainly(mutated(old_release, recording_path))
    assert nwb.read_stimulus_presentations(old).equals(nwb.read_stimulus_presentations(recording))
    trials, wanted = nwb.read_trials(old), nwb.read_trials(recording)
    assert trials.drop(columns="lick_times").equals(wanted.drop(columns="lick_times"))
    units = nwb.read_units(old)
    assert units["quality"].isna().all()
    assert units.drop(columns="quality").equals(nwb.read_units(recording).drop(columns="quality"))
    assert nwb.read_task_parameters(old).stimulus_name is None


def test_an_old_release_tells_what_it_lacks(mutated, open_plainly, recording_path, issues_in):
    found = issues_in(open_plainly(mutated(old_release, recording_path)))
    derived = found["derived_column", "stimulus_presentations"].detail
    assert derived == "active, trials_id, is_sham_change"
    assert ("derived_column", "trials") in found
    assert ("no_quality", "units") in found
    assert found["missing_column", "task_parameters"].detail == "stimulus_name"
    grave = {one.code for one in found.values() if one.severity != "info"}
    assert grave <= {"unit_on_invalid_channel", "missing_pupil"}


def test_integers_may_stand_for_flags(mutated, open_plainly, recording_path, recording):
    def as_integers(file):
        for name in ("is_change", "go", "hit", "aborted", "auto_rewarded"):
            put(file, f"intervals/trials/{name}", file[f"intervals/trials/{name}"][:].astype(np.int32))
        for name in [name for name in file["intervals"] if name.endswith("_presentations")]:
            put(file, f"intervals/{name}/active", file[f"intervals/{name}/active"][:].astype(np.int8))

    copy = open_plainly(mutated(as_integers, recording_path))
    assert nwb.read_stimulus_presentations(copy).equals(nwb.read_stimulus_presentations(recording))
    found, wanted = nwb.read_trials(copy), nwb.read_trials(recording)
    assert found.drop(columns="lick_times").equals(wanted.drop(columns="lick_times"))


def test_of_an_unknown_group_only_the_group_is_named(make_recording):
    file = make_recording({"general/new/a": 1, "general/new/b/c": 2, "units/id": [1], "units/new": [1]}).file
    assert sorted(unknown_objects(file)) == [("general/new", True), ("units/new", False)]


def test_a_link_to_nowhere_and_a_circle_do_not_stop_the_walk(tmp_path):
    path = tmp_path / "links.nwb"
    with h5py.File(path, "w") as file:
        file["acquisition/broken"] = h5py.SoftLink("/nowhere")
        file.create_group("general/devices/probeA")["self"] = h5py.SoftLink("/general")
        file["general/extracellular_ephys/probeA/device"] = h5py.SoftLink("/general/devices/probeA")
        trials = file.create_group("intervals/trials")
        trials["trials"] = trials
    with h5py.File(path) as file:
        assert sorted(unknown_objects(file)) == [
            ("acquisition/broken", False),
            ("general/devices/probeA/self", True),
            ("intervals/trials/trials", True),
        ]


def test_every_known_group_is_reached_from_the_root():
    """A pattern that its parent does not list would never be looked at."""
    for path in KNOWN:
        parent, _, name = path.rpartition("/")
        if path:
            assert "*" in KNOWN[parent] or name in KNOWN[parent] or "*" in name, path
