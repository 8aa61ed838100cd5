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
    "a format": (with_line("{orientation}", "{orientation:.1f}"), r"\[stimuli #1\]: image .*take no format"),
    "one brace": (with_line("{orientation}", "{orientation"), "braces must hold the name of a column"),
    "a list in a list": (
        MAPPING + '\n[epochs]\ntable = "x"\nlabel = "y"\nactive = [[1]]\n', "active must be a list of names"
    ),
    "deep": ('project = "our-rig"\nids = ' + "[" * 20_000, "is nested too deeply"),
    "many digits": ('project = "our-rig"\nids = ' + "9" * 5000, "is no TOML: .*digits"),
    "many hexadecimal digits": (
        with_line("active = true", "block = 0x" + "f" * 9000), "and is a number of thousands of digits"
    ),
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


def replaced(path: str, values: Any) -> Callable[[h5py.File], None]:
    """Put values in the place of a table or column."""

    def change(file: h5py.File) -> None:
        attributes = dict(file[path].attrs)
        del file[path]
        file[path] = values
        file[path].attrs.update({name: each for name, each in attributes.items() if name != "colnames"})

    return change


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
    "a table is a data set": (
        replaced("intervals/gratings", np.arange(3)),
        "/intervals/gratings is one data set, and a table is a group .* Compare the file with its mapping",
    ),
    "units are a data set": (replaced("units", np.arange(3)), "/units is one data set"),
    "electrodes of two dimensions": (
        replaced("units/electrodes", np.zeros((5, 2), int)),
        r"one value a row is expected.*\(5, 2\)",
    ),
    "two images of one name": (
        set_values("intervals/pictures/picture", "im_tree"),
        "two images of /intervals/pictures_presentations would have one name, 'im_tree': im_tree and tree",
    ),
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


def images_of(path: Path, image: str) -> list[str]:
    mapping = parse_mapping(with_line("grating_{orientation}", image))
    rows = everything(path, mapping)["presentations"].query("stimulus_name == 'gratings'")
    return rows["image_name"].tolist()


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (np.arange(10_000_001, 10_000_007), [str(each) for each in range(10_000_001, 10_000_007)]),
        (np.array([10_000_001.0, 10_000_002.0, 45.0]), ["10000001", "10000002", "45"]),
        (np.array([0.1, 0.10000001, 22.5]), ["0.1", "0.10000001", "22.5"]),
        (np.array([0.1, 22.5, -0.0], dtype=np.float32), ["0.1", "22.5", "0"]),
        (
            np.array([2**63 + 1, 2**63 + 2, 3], dtype=np.uint64),
            ["9223372036854775809", "9223372036854775810", "3"],
        ),
        (np.array([1e300, np.nan, np.inf]), ["1e+300", "nan", "inf"]),
    ],
)
def test_images_that_differ_have_names_that_differ(
    stored: np.ndarray, words: list[str], written: Callable[..., Path]
) -> None:
    starts = [(5.0 + number, 0.0) for number in range(len(stored))]
    path = written(replaced("intervals/gratings/angle", stored), gratings=starts)
    assert images_of(path, "g_{orientation}") == [f"g_{word}" for word in words]


def test_columns_without_a_sign_between_them_are_refused_where_two_images_would_be_one(
    written: Callable[..., Path],
) -> None:
    def add(file: h5py.File) -> None:
        added("intervals/gratings/contrast", "angle")(file)
        file["intervals/gratings/contrast"][:] = [1.0, 11.0]

    path = written(add, gratings=[(5.0, 11.0), (6.0, 1.0)])
    with pytest.raises(InvalidContentError, match="Put a sign between the columns"):
        images_of(path, "{orientation}{contrast}")
    assert images_of(path, "{orientation}_{contrast}") == ["11_1", "1_11"]


def presentations_of(name: str) -> Callable[[h5py.File], None]:
    """Add a table under the release's name for presentations, without blocks."""

    def add(file: h5py.File) -> None:
        table = file.create_group(f"intervals/{name}_presentations")
        for column, values in (("id", [0, 1]), ("start_time", [100.0, 101.0]), ("stop_time", [100.5, 101.5])):
            table[column] = values
        table["image_name"] = np.array(["a", "b"], dtype=h5py.string_dtype())

    return add


def test_no_table_takes_the_place_of_a_mapped_stimulus(written: Callable[..., Path]) -> None:
    path = written(presentations_of("gratings"))
    with pytest.raises(InvalidContentError, match="would be the stimulus 'gratings', which another table"):
        everything(path)
    found = everything(written(presentations_of("other")))["presentations"]
    assert found.groupby("stimulus_name").size().to_dict() == {"gratings": 30, "other": 2, "pictures": 30}
    blocks = found.groupby("stimulus_name")["stimulus_block"].unique()
    assert {name: each.tolist() for name, each in blocks.items()} == {
        "gratings": [0], "pictures": [1], "other": [2],
    }  # fmt: skip


def test_a_block_that_is_named_is_no_other_stimulus_s_by_default(written: Callable[..., Path]) -> None:
    mapping = parse_mapping(with_line('image = "grating_', 'block = 1\nimage = "grating_'))
    found = everything(written(), mapping)["presentations"]
    blocks = found.groupby("stimulus_name")["stimulus_block"].unique()
    assert [each.tolist() for each in blocks] == [[1], [2]]


def test_without_a_task_there_are_no_changes_but_those_that_the_file_says(
    written: Callable[..., Path],
) -> None:
    found = everything(written())["presentations"]
    assert found["is_change"].isna().all()

    def say(file: h5py.File) -> None:
        added("intervals/pictures/changed", "start_time")(file)
        file["intervals/pictures/changed"][:] = [1.0, *[0.0] * 29]

    line = 'columns = { image_name = "picture"'
    mapping = parse_mapping(with_line(line, f'{line}, is_change = "changed"'))
    found = everything(written(say), mapping)["presentations"].set_index("stimulus_name")
    assert found.loc["pictures", "is_change"].tolist() == [True] + [False] * 29
    assert found.loc["gratings", "is_change"].isna().all()


def test_mapped_spike_times_and_waveforms_are_read_or_refused(written: Callable[..., Path]) -> None:
    def rename(file: h5py.File) -> None:
        for each in ("spike_times", "spike_times_index"):
            file.move(f"units/{each}", f"units/{each.replace('spike_times', 'st')}")
        file["units/st_index"].attrs["target"] = file["units/st"].ref
        file["units"].attrs["colnames"] = [
            "st" if each == "spike_times" else each for each in file["units"].attrs["colnames"]
        ]

    path = written(rename)
    mapping = replace(PARSED, units={**PARSED.units, "spike_times": "st"})
    assert {name: len(times) for name, times in everything(path, mapping)["spikes"].items()} == {
        name: len(times) for name, times in everything(written())["spikes"].items()
    }

    def add(file: h5py.File) -> None:
        file["units/wf"] = np.tile(np.arange(5.0), (8, 1))

    with_waveforms = replace(PARSED, units={**PARSED.units, "waveform_mean": "wf"})
    with pytest.raises(InvalidContentError, match="/units/wf has no wf_index"):
        everything(written(add), with_waveforms)

    def add_index(file: h5py.File) -> None:
        add(file)
        file["units/wf_index"] = [2, 4, 6, 8]

    reading = MappedReading(with_waveforms)
    with vbn.nwb.open_session(written(add_index), mapping=reading) as file:
        assert file.dataset("units/waveform_mean").shape == (8, 5)
        assert file.dataset("units/waveform_mean_index").shape == (4,)


def test_a_mapped_file_that_lacks_a_table_is_compared_with_its_mapping(written: Callable[..., Path]) -> None:
    with pytest.raises(InvalidContentError, match="Compare the file with its mapping") as refused:
        everything(written(lambda file: file.move("intervals/gratings", "intervals/grating")))
    assert "release" not in str(refused.value)


def test_stimuli_in_turns_are_refused_with_the_key_that_parts_them(written: Callable[..., Path]) -> None:
    one, other = PARSED.stimuli
    shared = replace(PARSED, stimuli=(replace(one, block=3), replace(other, block=3)))
    with pytest.raises(InvalidContentError, match="'gratings' and 'pictures' are both in block 3") as refused:
        everything(written(), shared)
    assert "block = ... in the [[stimuli]] of /intervals/pictures" in str(refused.value)
    apart = replace(PARSED, stimuli=(replace(one, block=3), replace(other, block=4)))
    assert set(everything(written(), apart)["presentations"]["stimulus_block"]) == {3, 4}
