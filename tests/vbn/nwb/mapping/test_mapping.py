"""Mappings: every key is checked, and hostile or odd files end in rows or in one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import vbn.nwb
from tests.fixtures.rig import MAPPING, RigFile
from vbn.errors import InvalidContentError, SettingError, VbnError
from vbn.nwb.mapping import MappedReading, parse_mapping, read_mapping

PARSED = parse_mapping(MAPPING)


def with_line(old: str, new: str) -> str:
    assert old in MAPPING
    return MAPPING.replace(old, new)


INVALID = {
    "no TOML": (with_line("[units]", "[units"), r"is no TOML: .*line 11"),
    "no project": (with_line('project = "our-rig"', ""), "project is missing"),
    "the release's": (with_line('"our-rig"', '"vbn-release"'), "which is the public release"),
    "odd project": (with_line('"our-rig"', '"our rig"'), "'our rig' cannot be the name of a project"),
    "unknown section": (with_line("[units]", "[unit]"), r"'unit' is not known here. Near to it: units"),
    "unknown column": (
        with_line("isi_violations =", "isi_violation ="),
        r"\[units\]: 'isi_violation' is not known here. Near to it: isi_violations",
    ),
    "wrong type": (with_line('"isi_viol"', "3"), r"\[units\]: 'isi_violations' must be a text, and is 3"),
    "one for two": (with_line('quality = "label"', 'quality = "isi_viol"'), "'isi_viol' is named twice"),
    "two for one": (
        with_line("probe_vertical", 'location = "a"\nstructure_acronym = "b"\nprobe_vertical'),
        r"\[electrodes\]: the column 'location' is named twice",
    ),
    "two images": (with_line('tree = "im_tree"', 'tree = "x"\nhouse = "x"'), r"\[images\]: the image 'x'"),
    "a path": (with_line('"isi_viol"', '"../units/snr"'), "must be the name of a column, not a path"),
    "control character": (with_line('"label"', '"la\\u001bbel"'), "must be a text"),
    "block": (with_line("active = true", "block = -1"), r"\[stimuli #2\]: 'block' must be a whole number"),
    "flag": (with_line("active = true", 'active = "yes"'), "active must be true or false"),
    "stimuli": ('project = "our-rig"\n[stimuli]\ntable = "intervals/x"\n', r"written as \[\[stimuli\]\]"),
    "same name": (with_line('"intervals/pictures"', '"intervals/gratings"'), "'gratings' is named twice"),
    "ids": (with_line("[session]", 'ids = "mine"\n[session]'), "ids must be 'per session' or 'stored'"),
    "frame rate": (
        with_line("genotype =", 'stimulus_frame_rate = "fast"\ngenotype ='), "must be a number of Hz"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", INVALID)
def test_a_mapping_that_is_wrong_is_refused_with_its_key(name: str) -> None:
    text, problem = INVALID[name]
    with pytest.raises(SettingError, match=problem) as refused:
        parse_mapping(text, "rig.toml")
    assert str(refused.value).startswith("rig.toml")


def test_a_mapping_that_is_no_text_or_absent_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read: No such file"):
        read_mapping(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'project = "Ren\xe9"')
    with pytest.raises(SettingError, match="is not UTF-8"):
        read_mapping(tmp_path / "latin.toml")
    (tmp_path / "long.toml").write_text("#" * 70_000)
    with pytest.raises(SettingError, match="more than 65536 bytes"):
        read_mapping(tmp_path / "long.toml")


def everything(path: Path, mapping: Any = PARSED, row: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read what an import reads."""
    with vbn.nwb.open_session(path, mapping=MappedReading(mapping, row=row or {})) as file:
        units = vbn.nwb.read_units(file)
        spikes = {name: times for name, _, times in vbn.nwb.iterate_spike_times(file, units)}
        return {
            "session": vbn.nwb.read_session(file),
            "probes": vbn.nwb.read_probes(file),
            "channels": vbn.nwb.read_channels(file),
            "units": units,
            "spikes": spikes,
            "presentations": vbn.nwb.read_stimulus_presentations(file),
            "trials": vbn.nwb.read_trials(file),
        }


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of the rig, and change it by h5py."""

    def write(change: Callable[[h5py.File], None] | None = None, **parts: Any) -> Path:
        path = RigFile(**parts).write(tmp_path / "our.nwb")
        if change is not None:
            with h5py.File(path, "r+") as file:
                change(file)
        return path

    return write


def test_names_are_those_of_the_mapping(written: Callable[..., Path]) -> None:
    found = everything(written())
    assert found["units"]["isi_violations"].tolist() == [0.1] * 4
    assert found["units"]["quality"].tolist() == ["good"] * 4
    assert found["channels"]["probe_vertical_position"].tolist() == [20 * n for n in range(8)]
    assert found["channels"]["anterior_posterior_ccf_coordinate"].isna().all()
    assert found["channels"]["structure_acronym"].tolist() == [None] + ["VISp"] * 7
    blocks = found["presentations"].groupby("stimulus_block")["stimulus_name"].unique()
    assert [names.tolist() for names in blocks] == [["gratings"], ["pictures"]]
    assert found["presentations"].query("active")["stimulus_name"].unique().tolist() == ["pictures"]
    assert found["session"].session_type == "our_gratings"
    again = everything(written())
    assert again["session"].session_id == found["session"].session_id  # of the identifier alone


def test_without_electrodes_units_are_on_a_site_of_which_nothing_is_known(
    written: Callable[..., Path],
) -> None:
    found = everything(written(n_electrodes=0), replace(PARSED, electrodes={}))
    assert found["probes"]["probe_name"].tolist() == ["shank 1"]
    assert len(found["channels"]) == 1
    assert found["channels"]["structure_acronym"].tolist() == [None]
    assert found["units"]["peak_channel_id"].nunique() == 1
    alone = everything(written(with_sites=False))
    assert len(alone["channels"]) == 9
    assert set(alone["units"]["peak_channel_id"]) == {alone["channels"]["channel_id"].iloc[-1]}


def test_ids_as_stored_are_kept(written: Callable[..., Path]) -> None:
    with pytest.raises(
        InvalidContentError, match="has no probe_id, and the mapping says that ids are stored"
    ):
        everything(written(), replace(PARSED, ids="stored"))

    def number(file: h5py.File) -> None:
        file["general/extracellular_ephys/shank 1"].attrs["probe_id"] = 77

    found = everything(written(number), replace(PARSED, ids="stored"))
    assert found["units"]["unit_id"].tolist() == [0, 1, 2, 3]
    assert found["probes"]["probe_id"].tolist() == [77]


def set_values(path: str, *values: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[path][: len(values)] = values

    return change


def renamed(path: str, new: str) -> Callable[[h5py.File], None]:
    """Rename a column, as a program that names it so."""

    def change(file: h5py.File) -> None:
        table, _, name = path.rpartition("/")
        names = [new if each == name else each for each in file[table].attrs["colnames"]]
        file.move(path, f"{table}/{new}")
        file[table].attrs["colnames"] = names

    return change


def added(path: str, like: str) -> Callable[[h5py.File], None]:
    """Add a column like another."""

    def change(file: h5py.File) -> None:
        table, _, name = path.rpartition("/")
        file.copy(f"{table}/{like}", path)
        file[path].attrs["object_id"] = "11111111-2222-3333-4444-555555555555"
        file[table].attrs["colnames"] = [*file[table].attrs["colnames"], name]

    return change


def pointing_outside(file: h5py.File) -> None:
    del file["units/isi_viol"]
    file["units/isi_viol"] = h5py.ExternalLink("/etc/passwd", "/x")


def taking_all_memory(file: h5py.File) -> None:
    del file["intervals/gratings/angle"]
    file.create_dataset(
        "intervals/gratings/angle", shape=(10**13,), dtype="f8", chunks=(10**6,), compression="gzip"
    )


REFUSED = {
    "a column is not there": (
        renamed("units/label", "lable"),
        r"/units has no column 'label', which the mapping reads as quality. Near to it: lable",
    ),
    "a table is not there": (
        lambda file: file.move("intervals/gratings", "intervals/grating"),
        r"reads a table /intervals/gratings, and the file has none. Near to it: grating",
    ),
    "both names": (
        added("units/isi_violations", "isi_viol"),
        "has a column 'isi_violations', and the mapping reads",
    ),
    "a wrong type": (
        added("units/quality2", "isi_viol"),
        r"/units/quality: text is expected, .* /units/quality is read from /units/quality2",
    ),
    "unsorted spikes": (set_values("units/spike_times", 70.0, 2.0), "are not ascending in 1 units"),
    "negative spikes": (set_values("units/spike_times", -1.0), "are negative in 1 units"),
    "NaN starts": (set_values("intervals/gratings/start_time", np.nan), "1 start times are missing"),
    "unit ids": (set_values("units/id", 100_000), "must be from 0 to 99999.*ids = 'stored'"),
    "an electrode": (set_values("units/electrodes", 99), "names electrodes that are not in"),
    "external link": (pointing_outside, "passwd|other file|external"),
    "an allocation": (taking_all_memory, "unpack|bytes|claims"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_does_not_fit_is_refused_in_one_line(name: str, written: Callable[..., Path]) -> None:
    change, problem = REFUSED[name]
    units = {**PARSED.units, "quality": "quality2"} if name == "a wrong type" else PARSED.units
    with pytest.raises(VbnError, match=problem) as refused:
        everything(written(change), replace(PARSED, units=units))
    assert "\n" not in str(refused.value)
    assert "our.nwb" in str(refused.value)


def test_intervals_in_disorder_overlapping_and_beyond_the_recording_are_read_in_order(
    written: Callable[..., Path],
) -> None:
    gratings = [(9.0, 0.0), (5.0, 45.0), (5.2, 90.0), (80_000.0, 0.0)]
    starts = everything(written(gratings=gratings))["presentations"]["start_time"]
    assert starts.is_monotonic_increasing
    assert starts.iloc[-1] == 80_000.0


def test_names_that_are_not_utf8_are_escaped(written: Callable[..., Path]) -> None:
    def spoil(file: h5py.File) -> None:
        place = "general/extracellular_ephys/electrodes/location"
        del file[place]
        file[place] = np.array([b"V\xe9"] * 8)

    path = written(spoil)
    found = everything(path)
    assert set(found["channels"]["structure_acronym"]) == {"V\\xe9"}


def test_epochs_say_which_block_a_presentation_is_in(written: Callable[..., Path]) -> None:
    def add(file: h5py.File) -> None:
        epochs = file.create_group("intervals/sections")
        for name, values in (("id", [0, 1]), ("start_time", [0.0, 20.0]), ("stop_time", [20.0, 100.0])):
            epochs[name] = values
        epochs["what"] = np.array(["first", "second"], dtype=h5py.string_dtype())

    sections = '\n[epochs]\ntable = "intervals/sections"\nlabel = "what"\nactive = ["second"]\n'
    text = MAPPING.split('\n[[stimuli]]\ntable = "intervals/pictures"')[0] + sections
    whole = parse_mapping(text + "blocks = { first = 2, second = 7 }\n")
    found = everything(written(add), whole)["presentations"]
    assert found["stimulus_block"].tolist() == [2] * 15 + [7] * 15
    assert found["active"].tolist() == [False] * 15 + [True] * 15
    half = parse_mapping(text.replace('["second"]', "[]") + "blocks = { first = 2 }\n")
    with pytest.raises(InvalidContentError, match=r"rows 15: .* are in no epoch of \[epochs.blocks\]"):
        everything(written(add), half)


def test_no_units_at_all_is_an_empty_recording(written: Callable[..., Path]) -> None:
    def empty(file: h5py.File) -> None:
        del file["units"]

    found = everything(written(empty))
    assert len(found["units"]) == 0
    assert len(found["channels"]) == 8
