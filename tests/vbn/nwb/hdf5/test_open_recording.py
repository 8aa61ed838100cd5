"""Opening recordings, whole and damaged, with pynwb."""

from __future__ import annotations

import contextlib
import warnings
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pynwb
import pytest

from vbn import nwb
from vbn.errors import InvalidContentError, NotReadableError, WrongKindError
from vbn.nwb.hdf5 import recording as recording_module
from vbn.nwb.hdf5.recording import lost_columns, reading, reads

READERS = (
    nwb.read_session,
    nwb.read_probes,
    nwb.read_channels,
    nwb.read_units,
    nwb.read_trials,
    nwb.read_rewards,
    nwb.read_licks,
    nwb.read_running,
    nwb.read_eye_tracking,
    nwb.read_stimulus_presentations,
    nwb.read_stimulus_timestamps,
    nwb.read_optotagging,
)


@pytest.fixture(scope="module")
def usual_path(readers_release):
    """The recording that is damaged here: to HDF5 and pynwb a synthetic one is as one of AllenSDK."""
    return min(readers_release.glob("behavior_ecephys_sessions/*/ecephys_session_*.nwb"))


def unchanged(_):
    """Change nothing in a copy."""


def read_everything(path):
    with nwb.open_recording(path) as recording:
        found = [read(recording) for read in READERS]
        found.append(list(nwb.iterate_spike_times(recording, nwb.read_units(recording))))
    return found


def test_a_recording_opens_without_warnings_and_closes(mutated):
    """Warnings are errors in this suite; afterwards the file can be opened for writing."""
    path = mutated(unchanged)
    with nwb.open_recording(str(path)) as recording:
        assert recording.path == path
        assert isinstance(recording.nwbfile, pynwb.NWBFile)
        assert recording.nwbfile.identifier == str(recording.identity.identifier)
        assert recording.file["units/id"].shape == (len(recording.nwbfile.units),)
    assert not recording.file
    with h5py.File(path, "r+"):
        pass


def test_the_file_closes_when_the_block_fails(mutated):
    path = mutated(unchanged)
    with pytest.raises(ZeroDivisionError), nwb.open_recording(path) as recording:
        _ = 1 / 0
    assert not recording.file


def test_other_warnings_of_pynwb_stay(mutated, monkeypatch):
    read = pynwb.NWBHDF5IO.read

    def warn(self):
        warnings.warn("something new", UserWarning, stacklevel=2)
        return read(self)

    monkeypatch.setattr(pynwb.NWBHDF5IO, "read", warn)
    path = mutated(unchanged)
    with pytest.warns(UserWarning, match="something new"), nwb.open_recording(path):
        pass


def describe_anew(file):
    """Store the same specifications in other words."""
    name = next(name for name in file["specifications"] if name not in ("core", "hdmf-common"))
    (version,) = file["specifications"][name].values()
    stored = version["namespace"][()].decode()
    del version["namespace"]
    version["namespace"] = f" {stored}"


def test_what_files_describe_alike_is_parsed_once(mutated, monkeypatch):
    """Files with other specifications have types of their own, also between two that agree."""
    parsed = []
    load = pynwb.NWBHDF5IO.load_namespaces

    def count(types, **where):
        parsed.append(where["file"].filename)
        return load(types, **where)

    monkeypatch.setattr(pynwb.NWBHDF5IO, "load_namespaces", count)
    monkeypatch.setattr(recording_module, "_known_types", {})
    one, two, other = mutated(unchanged), mutated(unchanged), mutated(describe_anew)
    for path in (one, two, other, one):
        with nwb.open_recording(path) as recording:
            assert len(recording.nwbfile.units) == len(recording.file["units/id"])
    assert parsed == [str(one), str(other)]


def soft_link(specifications):
    specifications["core/9.9.9"] = h5py.SoftLink(f"/specifications/{next(iter(specifications))}")


def second_name(specifications):
    (version,) = specifications["hdmf-common"].values()
    specifications["core/9.9.9"] = version


@pytest.mark.parametrize("hide", [soft_link, second_name])
def test_a_file_cannot_hide_what_it_describes_from_those_after_it(mutated, monkeypatch, hide):
    """Its plain texts are those of others; what it has besides would be taken for theirs."""
    monkeypatch.setattr(recording_module, "_known_types", {})
    other = mutated(lambda file: hide(file["specifications"]))
    with h5py.File(other) as file:
        assert recording_module._digest_of_specifications(file) is None
    with contextlib.suppress(InvalidContentError), nwb.open_recording(other):
        pass
    assert not recording_module._known_types
    with nwb.open_recording(mutated(unchanged)) as recording:
        assert len(recording.nwbfile.units)


def test_the_types_of_few_descriptions_are_kept(mutated, monkeypatch):
    kept: dict[Any, Any] = {}
    monkeypatch.setattr(recording_module, "_known_types", kept)
    monkeypatch.setattr(recording_module, "MOST_KNOWN_TYPES", 1)
    for damage in (unchanged, describe_anew):
        with nwb.open_recording(mutated(damage)):
            pass
        assert len(kept) == 1


@pytest.mark.parametrize("pattern", ["*/*/probe_*_lfp.nwb", "behavior_only_sessions/*/*.nwb"])
def test_other_kinds_are_refused_before_pynwb(release, pattern):
    path = next(iter(release.glob(pattern)))
    with pytest.raises(WrongKindError, match="this is"), nwb.open_recording(path):
        pass


IMAGES = "intervals/{images}_presentations"


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("units", "/units"),
        ("units/id", "/units/id"),
        ("units/spike_times", "/units/spike_times"),
        ("units/spike_times_index", "/units/spike_times_index"),
        ("intervals/trials/start_time", "/intervals/trials/start_time"),
        (IMAGES + "/start_time", "_presentations/start_time"),
        ("general/extracellular_ephys", "/general/extracellular_ephys"),
        ("general/extracellular_ephys/electrodes", "/general/extracellular_ephys/electrodes"),
        ("general/extracellular_ephys/electrodes/valid_data", "electrodes/valid_data"),
    ],
)
def test_a_lost_part_is_named_by_its_hdf5_path(mutated, lost, named):
    def lose(file):
        images = file["general/task_parameters"].attrs["stimulus_name"]
        del file[lost.format(images=images)]

    path = mutated(lose)
    with pytest.raises(InvalidContentError, match=named) as caught:
        read_everything(path)
    assert caught.value.path == str(path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("lost", "read", "named"),
    [
        ("units/id", nwb.read_units, "/units/id"),
        ("units/peak_channel_id", nwb.read_units, "/units/peak_channel_id"),
        ("units/spike_times", nwb.read_units, "/units/spike_times"),
        ("intervals/trials/catch", nwb.read_trials, "/intervals/trials/catch"),
        ("general/extracellular_ephys", nwb.read_probes, "/general/extracellular_ephys"),
        ("general/extracellular_ephys", nwb.read_units, "/general/extracellular_ephys/electrodes"),
        ("general/subject", nwb.read_session, "/general/subject/subject_id"),
        ("general/subject/subject_id", nwb.read_session, "/general/subject/subject_id"),
        ("session_start_time", nwb.read_session, "/session_start_time"),
        ("processing/running/speed_unfiltered/data", nwb.read_running, "speed_unfiltered/data"),
        ("processing/rewards/volume", nwb.read_rewards, "/processing/rewards/volume"),
        ("processing/licking/licks/data", nwb.read_licks, "/processing/licking/licks/data"),
        ("processing/optotagging/optogenetic_stimulation/level", nwb.read_optotagging, "/level"),
        ("acquisition/EyeTracking/pupil_tracking", nwb.read_eye_tracking, "/pupil_tracking"),
        ("acquisition/EyeTracking/eye_tracking/timestamps", nwb.read_eye_tracking, "/timestamps"),
    ],
)
def test_the_reader_of_a_lost_part_names_it(mutated, open_plainly, lost, read, named):
    recording = open_plainly(mutated(lambda file: file.__delitem__(lost)))
    with pytest.raises(InvalidContentError, match=f"{named} .*missing"):
        read(recording)


@pytest.mark.parametrize(
    ("lost", "read", "empty"),
    [
        ("processing/optotagging", nwb.read_optotagging, None),
        ("processing/optotagging/optogenetic_stimulation", nwb.read_optotagging, None),
        ("acquisition/EyeTracking", nwb.read_eye_tracking, None),
        ("processing/licking", nwb.read_licks, ["timestamps", "frame"]),
        ("processing/rewards", nwb.read_rewards, ["timestamps", "volume", "auto_rewarded"]),
    ],
)
def test_parts_that_may_be_missing_are_values(mutated, open_plainly, lost, read, empty):
    found = read(open_plainly(mutated(lambda file: file.__delitem__(lost))))
    assert found is None if empty is None else (list(found), len(found)) == (empty, 0)


def test_what_pynwb_cannot_take_is_told_in_one_short_line(mutated):
    path = mutated(lambda file: file.__delitem__("session_start_time"))
    with pytest.raises(InvalidContentError, match="/session_start_time missing from the file") as caught:
        read_everything(path)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("error", [OSError("Can't synchronously read data"), ValueError("odd")])
def test_a_failure_inside_pynwb_keeps_its_cause(mutated, monkeypatch, error):
    def fail(self):
        raise error

    monkeypatch.setattr(pynwb.NWBHDF5IO, "read", fail)
    wanted = NotReadableError if isinstance(error, OSError) else InvalidContentError
    with pytest.raises(wanted) as caught:
        read_everything(mutated(unchanged))
    assert caught.value.__cause__ is error


def drop_columns(file, table, names):
    """Remove columns and their announcement, as if they had never been written."""
    group = file[table]
    for name in names:
        if name in group:
            del group[name]
    group.attrs["colnames"] = np.array(
        [name for name in group.attrs["colnames"] if name not in names], dtype=h5py.string_dtype()
    )


def presentation_tables(file):
    return [f"intervals/{name}" for name in file["intervals"] if name.endswith("_presentations")]


@pytest.mark.parametrize(
    "absent",
    [
        ("trials_id",),
        ("is_sham_change",),
        ("trials_id", "is_sham_change"),
        ("active", "trials_id", "is_sham_change"),
        ("stimulus_block",),
        ("stimulus_block", "active", "trials_id", "is_sham_change"),
    ],
)
def test_what_an_older_file_does_not_store_is_worked_out(
    mutated, open_plainly, recording_path, recording, absent
):
    """The stored columns are the answer: AllenSDK wrote them by the rules that are used here."""

    def age(file):
        for table in presentation_tables(file):
            drop_columns(file, table, absent)

    wanted = nwb.read_stimulus_presentations(recording)
    old = open_plainly(mutated(age, recording_path))
    assert nwb.read_stimulus_presentations(old).equals(wanted)


def test_plain_bool_columns_of_older_files_are_trusted_for_images_only(
    mutated, open_plainly, recording_path, recording
):
    """Older files have the flags in every table, where a missing value had become True."""
    flags = ("is_change", "is_image_novel", "omitted", "rewarded")

    def age(file):
        for table in presentation_tables(file):
            for name in flags:
                stored = file[table].get(name)
                values = np.ones(len(file[table]["id"]), bool) if stored is None else stored[:] != 0
                if stored is not None:
                    attributes = dict(stored.attrs)
                    del file[table][name]
                    file[table][name] = values
                    file[table][name].attrs.update(attributes)
            for name in ("flashes_since_change", "stimulus_index"):
                values = file[table][name][:].astype(float)
                attributes = dict(file[table][name].attrs)
                del file[table][name]
                file[table][name] = np.where(values == -99, np.nan, values)
                file[table][name].attrs.update(attributes)

    wanted = nwb.read_stimulus_presentations(recording)
    old = open_plainly(mutated(age, recording_path))
    assert nwb.read_stimulus_presentations(old).equals(wanted)


def test_a_recording_of_one_probe_is_read(mutated):
    def keep_first(file):
        electrodes = file["general/extracellular_ephys/electrodes"]
        first = electrodes["probe_id"][0]
        kept = electrodes["probe_id"][:] == first
        for name in list(electrodes):
            values, attributes = electrodes[name][:][kept], dict(electrodes[name].attrs)
            kind = electrodes[name].dtype
            del electrodes[name]
            electrodes.create_dataset(name, data=values, dtype=kind).attrs.update(attributes)
        file["units/peak_channel_id"][:] = electrodes["id"][0]
        for name in list(file["general/extracellular_ephys"]):
            if file["general/extracellular_ephys"][name].attrs.get("probe_id", first) != first:
                del file[f"general/extracellular_ephys/{name}"]

    found = read_everything(mutated(keep_first))
    assert len(found[1]) == 1
    assert len(found[-1]) == 1


def test_lost_columns_are_those_announced_but_absent(write_hdf5):
    path = write_hdf5(
        {
            "units@colnames": np.array(["spike_times", "snr"], dtype=h5py.string_dtype()),
            "units/spike_times": [1.0],
            "units/id": [1],
        }
    )
    with h5py.File(path) as file:
        assert lost_columns(file) == ["/units/snr", "/units/spike_times_index"]


def test_an_unexpected_error_keeps_its_type_and_gains_a_note(tmp_path):
    recording = SimpleNamespace(path=tmp_path / "a.nwb", file={})

    @reads("licks")
    def broken(recording):
        """Fail."""
        raise LookupError("our own bug")

    with pytest.raises(LookupError, match="our own bug") as caught:
        broken(recording)
    assert caught.value.__notes__ == [f"while reading the licks of {recording.path}"]
    assert broken.__doc__ == "Fail."


def test_a_failing_disk_is_not_a_bug(tmp_path):
    refused = pytest.raises(NotReadableError, match="cannot be read")
    with h5py.File(tmp_path / "a.nwb", "w") as file, refused as caught:
        recording = SimpleNamespace(path=tmp_path / "a.nwb", file=file)
        with reading(recording, "units"):
            raise OSError("Can't synchronously read data")
    assert isinstance(caught.value.__cause__, OSError)
    assert "units" in caught.value.__notes__[0]


def test_a_file_that_a_reader_finds_cut_short_inside_is_not_readable(mutated):
    """A column whose compressed bytes are damaged."""
    chunks = []

    def damage(file):
        n = len(file["processing/running/speed/data"])
        del file["processing/running/speed/data"]
        made = file["processing/running/speed"].create_dataset(
            "data", data=np.arange(float(n)), chunks=(500,), compression="gzip"
        )
        made.attrs.update({"unit": "cm/s", "conversion": 1.0, "offset": 0.0, "resolution": -1.0})
        chunks.append(made.id.get_chunk_info(3))

    path = mutated(damage)
    with path.open("r+b") as stream:
        stream.seek(chunks[0].byte_offset)
        stream.write(b"\xff" * chunks[0].size)
    with nwb.open_recording(path) as recording, pytest.raises(NotReadableError, match="cannot be read"):
        nwb.read_running(recording)
