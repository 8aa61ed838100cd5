"""The cells of the release's tables: each is read as what it means, or refused with its place in the file."""

from __future__ import annotations

import csv
import gzip
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vbn.errors import NotReadableError
from vbn.release import tables
from vbn.release.tables import BEHAVIOR, CHANNELS, COLUMNS, ECEPHYS, PROBES, UNITS, ReleaseTable, read_table

ROWS: dict[str, dict[str, str]] = {
    ECEPHYS: {
        "ecephys_session_id": "1044385384",
        "behavior_session_id": "1044408432",
        "date_of_acquisition": "2020-08-19 14:47:08.574000+00:00",
        "session_type": "EPHYS_1_images_G_5uL_reward",
        "mouse_id": "524761",
        "genotype": "wt/wt",
        "sex": "F",
        "age_in_days": "151",
        "unit_count": "2179",
        "structure_acronyms": "['CA1', 'DG-mo', nan]",
        "prior_exposures_to_image_set": "30",
        "session_number": "1",
        "experience_level": "Familiar",
        "file_id": "870",
        "abnormal_histology": "['VISp', 'LP']",
        "abnormal_activity": "[212, 433]",
    },
    BEHAVIOR: {
        "behavior_session_id": "1046247654",
        "ecephys_session_id": "1052509057.0",
        "date_of_acquisition": "2020-08-26 14:09:48.255000+00:00",
        "session_type": "TRAINING_5_images_G_epilogue_5uL_reward",
        "mouse_id": "533537",
        "session_number": "12",
        "prior_exposures_to_session_type": "1",
        "prior_exposures_to_image_set": "5.0",
        "file_id": "-999",
    },
    PROBES: {
        "ecephys_probe_id": "1044506933",
        "ecephys_session_id": "1044385384",
        "name": "probeB",
        "sampling_rate": "30000.1784017642",
        "phase": "1.0",
        "has_lfp_data": "True",
        "unit_count": "701",
        "structure_acronyms": "['CA1', 'root']",
    },
    CHANNELS: {
        "ecephys_channel_id": "1922100000",
        "ecephys_session_id": "1044385384",
        "ecephys_probe_id": "1044506933",
        "probe_vertical_position": "20.0",
        "left_right_ccf_coordinate": "7113.5",
        "structure_acronym": "MRN",
        "valid_data": "True",
    },
    UNITS: {
        "unit_id": "1932100044",
        "ecephys_session_id": "1044385384",
        "structure_id": "385",
        "waveform_halfwidth": "0.2035",
        "snr": "2.85",
        "l_ratio": "inf",
    },
}
EVERY_TABLE = pytest.mark.parametrize("name", ROWS)
EVERY_CELL = [(name, column) for name, row in ROWS.items() for column in row]


def write(folder: Path, name: str, *rows: dict[str, str], **options: Any) -> Path:
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), **options)
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_cell(folder: Path, name: str, column: str, text: str) -> ReleaseTable:
    """Read a table of one row with a cell changed."""
    return read_table(write(folder, name, ROWS[name] | {column: text}))


def value_of(folder: Path, name: str, column: str, text: str) -> Any:
    (value,) = read_cell(folder, name, column, text).checked().cells[column]
    return value


def refusal(folder: Path, name: str, column: str, text: str) -> str:
    """What is said of a cell that must be refused; its place is checked here."""
    with pytest.raises(NotReadableError) as caught:
        read_cell(folder, name, column, text).checked()
    assert str(caught.value).startswith(f"{folder / name}: line 2, column {column}: ")
    assert "expected" in str(caught.value)
    return str(caught.value)


@EVERY_TABLE
def test_a_row_as_the_release_has_it_is_read(tmp_path: Path, name: str) -> None:
    table = read_table(write(tmp_path, name, ROWS[name]))
    assert table.refused == []
    assert list(table.cells) == list(ROWS[name])
    assert len(table.frame()) == len(table) == 1


@pytest.mark.parametrize(
    ("name", "column", "text", "value"),
    [
        (BEHAVIOR, "ecephys_session_id", "1900021100.0", 1900021100),
        (BEHAVIOR, "ecephys_session_id", "", None),
        (ECEPHYS, "unit_count", "1696.0", 1696),
        (ECEPHYS, "mouse_id", "524761.0", "524761"),
        (ECEPHYS, "mouse_id", "0012", "0012"),
        (ECEPHYS, "mouse_id", "M-12.b", "M-12.b"),
        (ECEPHYS, "file_id", "-999", -999),
        (ECEPHYS, "date_of_acquisition", "2020-08-19 14:47", "2020-08-19 14:47:00+00:00"),
        (ECEPHYS, "date_of_acquisition", "2020-08-19T14:47:08.574", "2020-08-19 14:47:08.574000+00:00"),
        (ECEPHYS, "date_of_acquisition", "2020-08-19 07:47:08-07:00", "2020-08-19 07:47:08-07:00"),
        (ECEPHYS, "date_of_acquisition", "2020-08-19 14:47:08Z", "2020-08-19 14:47:08+00:00"),
        (ECEPHYS, "structure_acronyms", "[]", []),
        (ECEPHYS, "structure_acronyms", "['VISp', nan, None]", ["VISp", None, None]),
        (ECEPHYS, "structure_acronyms", "['VISp' 'LP'\n 'root']", ["VISp", "LP", "root"]),
        (ECEPHYS, "structure_acronyms", "[VISp, LP]", ["VISp", "LP"]),
        (ECEPHYS, "structure_acronyms", '["VISp",]', ["VISp"]),
        (ECEPHYS, "structure_acronyms", "['CUL4, 5', 'SSp-bfd2/3']", ["CUL4, 5", "SSp-bfd2/3"]),
        (ECEPHYS, "abnormal_histology", "VISp", ["VISp"]),
        (ECEPHYS, "abnormal_histology", "[nan]", [None]),
        (ECEPHYS, "abnormal_histology", "[]", None),
        (ECEPHYS, "abnormal_histology", "NaN", None),
        (ECEPHYS, "abnormal_activity", "[1043.5]", [1043.5]),
        (ECEPHYS, "abnormal_activity", "[212. 433.5]", [212, 433.5]),
        (ECEPHYS, "abnormal_activity", "212", [212]),
        (ECEPHYS, "abnormal_activity", "[]", None),
        (PROBES, "phase", "3a", "3a"),
        (PROBES, "has_lfp_data", "false", False),
        (CHANNELS, "valid_data", "1.0", True),
        (CHANNELS, "structure_acronym", "", None),
        (CHANNELS, "probe_vertical_position", " 20.0 ", 20),
        (UNITS, "waveform_halfwidth", "2e-1", 0.2),
        (UNITS, "l_ratio", "-inf", -math.inf),
        (UNITS, "structure_id", "385.0", 385),
    ],
)
def test_a_cell_with_one_meaning_is_taken(
    tmp_path: Path, name: str, column: str, text: str, value: Any
) -> None:
    read = value_of(tmp_path, name, column, text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("name", "column", "text", "words"),
    [
        (
            ECEPHYS,
            "ecephys_session_id",
            "1.9E+09",
            "'1.9E+09' (in exponent form, digits may be lost) where an id",
        ),
        (ECEPHYS, "ecephys_session_id", "1.04438E9", "in exponent form"),
        (ECEPHYS, "ecephys_session_id", "1,044,385,384", "'1,044,385,384' (with marks between its digits)"),
        (ECEPHYS, "ecephys_session_id", "1 044 385 384", "with marks between its digits"),
        (ECEPHYS, "ecephys_session_id", "1.044.385.384", "with marks between its digits"),
        (ECEPHYS, "ecephys_session_id", "1'044'385'384", "with marks between its digits"),
        (ECEPHYS, "ecephys_session_id", "1044385384.5", "an id in digits alone"),
        (ECEPHYS, "ecephys_session_id", "-1", "out of range"),
        (ECEPHYS, "ecephys_session_id", "9" * 19, "out of range"),
        (ECEPHYS, "ecephys_session_id", "9" * 400, "an id in digits alone"),
        (ECEPHYS, "ecephys_session_id", "\uff11\uff10\uff14\uff14", "an id in digits alone"),
        (ECEPHYS, "behavior_session_id", "", "'' (it is empty)"),
        (ECEPHYS, "behavior_session_id", "nan", "'nan' (it is empty)"),
        (ECEPHYS, "mouse_id", "5.3E+05", "in exponent form"),
        (ECEPHYS, "mouse_id", "531,237", "with marks between its digits"),
        (ECEPHYS, "mouse_id", "12.5", "the id of a mouse"),
        (ECEPHYS, "mouse_id", "-5", "the id of a mouse"),
        (ECEPHYS, "mouse_id", "m" * 33, "the id of a mouse"),
        (ECEPHYS, "session_type", "", "it is empty"),
        (ECEPHYS, "date_of_acquisition", "8/19/2020 14:47", "a date with time"),
        (ECEPHYS, "date_of_acquisition", "19.08.2020 14:47", "a date with time"),
        (ECEPHYS, "date_of_acquisition", "44062.6160", "a date with time"),
        (ECEPHYS, "date_of_acquisition", "unknown", "'unknown' where a date with time"),
        (ECEPHYS, "date_of_acquisition", "2020-02-30 10:00:00", "day is out of range"),
        (ECEPHYS, "date_of_acquisition", "0001-01-01 00:00:00+05:00", "out of range"),
        (ECEPHYS, "structure_acronyms", "['APN' 'CA1' ... 'root']", "a list that was cut short"),
        (ECEPHYS, "structure_acronyms", "['VISp', ['LP']]", "a list of acronyms"),
        (ECEPHYS, "structure_acronyms", "['VISp',, 'LP']", "a list of acronyms"),
        (ECEPHYS, "structure_acronyms", "['VISp''LP']", "a list of acronyms"),
        (ECEPHYS, "structure_acronyms", "['VISp', 'LP'", "a list of acronyms"),
        (ECEPHYS, "structure_acronyms", "['VISp' 'LP', 'root']", "a list of acronyms"),
        (ECEPHYS, "structure_acronyms", "__import__('os').system('true')", "a list of acronyms"),
        (ECEPHYS, "structure_acronyms", "[" * 5000 + "]" * 5000, "a list of acronyms"),
        (ECEPHYS, "structure_acronyms", "['a\0b']", "a list of acronyms"),
        (ECEPHYS, "abnormal_histology", "True", "a list of acronyms"),
        (ECEPHYS, "abnormal_histology", "[212]", "a list of acronyms"),
        (ECEPHYS, "abnormal_activity", "['VISp']", "a list of times"),
        (ECEPHYS, "abnormal_activity", "[1e999]", "a list of times"),
        (ECEPHYS, "abnormal_activity", "[0x10]", "a list of times"),
        (ECEPHYS, "age_in_days", "P119D", "a whole number"),
        (ECEPHYS, "age_in_days", "119.5", "a whole number"),
        (ECEPHYS, "age_in_days", str(2**31), "out of range"),
        (ECEPHYS, "experience_level", "N" * 33, "33 characters"),
        (ECEPHYS, "genotype", "wt\0wt", "with the character 0"),
        (PROBES, "has_lfp_data", "yes", "True or False"),
        (PROBES, "sampling_rate", "30000,18", "a number"),
        (PROBES, "sampling_rate", "inf", "a number"),
        (PROBES, "ecephys_session_id", "", "it is empty"),
        (CHANNELS, "probe_vertical_position", "20.5", "a whole number"),
        (CHANNELS, "ecephys_probe_id", "probeA", "an id in digits alone"),
        (CHANNELS, "structure_acronym", "VISp" * 9, "36 characters"),
        (CHANNELS, "valid_data", "maybe", "True or False"),
        (UNITS, "unit_id", "unit 7", "'unit 7' where an id in digits alone"),
        (UNITS, "waveform_halfwidth", "1e999", "out of range"),
        (UNITS, "waveform_halfwidth", "0,2", "a number"),
    ],
)
def test_any_other_cell_is_refused_in_words(
    tmp_path: Path, name: str, column: str, text: str, words: str
) -> None:
    assert words in refusal(tmp_path, name, column, text)


@pytest.mark.parametrize(("name", "column"), EVERY_CELL)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    | st.from_regex(r"[\d.,eE'\[\]nan -]{1,12}")
)
def test_any_text_in_any_cell_becomes_a_value_or_is_refused_with_its_place(
    tmp_path: Path, name: str, column: str, text: str
) -> None:
    """And what becomes a value can be told from the text: no digit is lost, no flag or date made up."""
    table = read_cell(tmp_path, name, column, text)
    assert len(table) == 1
    if table.refused:
        (problem,) = table.problems()
        assert re.search(rf"{re.escape(name)}: line 2, column {column}: '", str(problem))
        assert table.cells[column] == [None]
        return
    (value,) = table.cells[column]
    assert means(value, text.strip())


def means(value: Any, text: str) -> bool:
    """Tell whether a value is what a text says, without the reader's own rules."""
    if value is None:
        return text in tables.MISSING or re.sub(r"[\[\]\s]", "", text) == ""
    if isinstance(value, bool):
        return text.lower() in ({"true", "1", "1.0"} if value else {"false", "0", "0.0"})
    if isinstance(value, int):
        return text.lstrip("+-0").partition(".")[0] == str(abs(value)).lstrip("0")
    if isinstance(value, float):
        return value == float(text)
    if isinstance(value, list):
        letters = re.sub(r"[^\w]", "", text)
        return all(re.sub(r"[^\w]", "", str(one)).rstrip("0") in letters for one in value if one is not None)
    return value in (text, text.partition(".")[0]) or value[:10] == text[:10]


@EVERY_TABLE
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_quick_reader_and_the_careful_one_read_the_same(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    """A table without quotes goes another way than one with quotes around every cell."""
    plain = [column for column, text in ROWS[name].items() if "," not in text]
    texts = st.sampled_from(["", "7", "7.0", "nan", "True", "0", "12.5", "x y", " ", "2020-08-19 14:47"])
    (key, *others) = plain
    rows = [
        {key: str(number), **{column: data.draw(texts | st.just(ROWS[name][column])) for column in others}}
        for number in range(1, data.draw(st.integers(1, 6)) + 1)
    ]
    read = []
    for quoting in (csv.QUOTE_NONE, csv.QUOTE_ALL):
        found = read_table(write(tmp_path, name, *rows, quoting=quoting))
        read.append((found.cells, [str(problem) for problem in found.problems()]))
    assert read[0] == read[1]


def test_the_line_is_that_of_an_editor(tmp_path: Path) -> None:
    """Blank lines, rows without a value and texts of several lines are counted."""
    good = '1044385384,1,"EPHYS\nof two lines",524761,1,Novel\r\n'
    path = tmp_path / ECEPHYS
    header = "ecephys_session_id,behavior_session_id,session_type,mouse_id,session_number,experience_level"
    path.write_bytes(
        f"\ufeff{header}\r\n\r\n{good},,,,,\r\nx,2,EPHYS,524761,1,Novel\r\n,,,,,\r\n  \r\n".encode()
    )
    table = read_table(path)
    assert len(table) == 2
    assert [str(problem).split(":")[1] for problem in table.problems()] == [
        " line 6, column ecephys_session_id"
    ]


def test_many_cells_of_a_column_are_one_message(tmp_path: Path) -> None:
    rows = [ROWS[UNITS] | {"unit_id": f"unit {number}"} for number in range(50)]
    (problem,) = read_table(write(tmp_path, UNITS, *rows)).problems()
    assert "line 2, column unit_id: 'unit 0'" in str(problem)
    assert "; and 47 more." in str(problem)


@pytest.mark.parametrize(
    "others", ["1044385384,7,EPHYS,524761,1", "1044385384,7,EPHYS,524761,1,Novel,[212, 433]"]
)
def test_a_row_of_another_length_is_refused(tmp_path: Path, others: str) -> None:
    header = "ecephys_session_id,behavior_session_id,session_type,mouse_id,session_number,experience_level"
    (tmp_path / ECEPHYS).write_text(f"{header}\n1,2,EPHYS,5,1,Novel\n{others}\n")
    table = read_table(tmp_path / ECEPHYS)
    assert table.cells["ecephys_session_id"] == [1, None]
    (problem,) = table.problems()
    assert re.search(r"line 3: '1044385384.* is \d cells, where 6 are expected", str(problem))


@EVERY_TABLE
def test_an_id_that_two_rows_have_is_refused_in_both(tmp_path: Path, name: str) -> None:
    key = next(iter(ROWS[name]))
    rows = [ROWS[name] | {key: number} for number in ("7", "8", "7.0")]
    table = read_table(write(tmp_path, name, *rows))
    assert [one.row for one in table.refused] == [0, 2]
    assert "line 2, column" in str(table.problems()[0])
    assert "is the id of another row too" in str(table.problems()[0])


def compressed(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes()))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: (path.unlink(), path.mkdir()), "no file"),
        (lambda path: path.write_text(""), "it is empty"),
        (lambda path: path.write_text("\n\n"), "it is empty"),
        (lambda path: path.write_text(path.read_text().replace(",", ";")), "have ';' between them, not ','"),
        (lambda path: path.write_text(path.read_text().replace(",", "\t")), r"have '\t' between them"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\xe9,1\n"), "line 3 is not UTF-8 (byte 0xE9)"),
        (lambda path: path.write_bytes(path.read_text().encode("utf-16")), "but UTF-16"),
        (compressed, "but compressed"),
        (lambda path: path.write_bytes(b"PK\x03\x04..."), "but a spreadsheet or an archive"),
        (lambda path: path.write_text("<!DOCTYPE html>"), "but a web page"),
        (lambda path: path.write_text(path.read_text() + '"an open quote\n'), "a quote that is not closed"),
        (
            lambda path: path.write_text("mouse_id," + path.read_text().replace("\n", "\n5,", 1)),
            "there twice",
        ),
        (lambda path: path.write_text(path.read_text().replace("session", "sessio")), "are missing"),
    ],
)
@EVERY_TABLE
def test_a_file_that_is_no_such_table_is_refused_in_words(
    tmp_path: Path, name: str, damage: Callable[[Path], Any], words: str
) -> None:
    path = write(tmp_path, name, {**ROWS[name], "mouse_id": "5"})
    damage(path)
    with pytest.raises(NotReadableError, match=re.escape(words)) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))
    assert "ownload it again" not in str(caught.value)


@EVERY_TABLE
def test_a_needed_column_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    for column in [column for column, held in COLUMNS[name].items() if held.is_needed]:
        row = {other: text for other, text in ROWS[name].items() if other != column}
        with pytest.raises(NotReadableError, match=f"the columns {column} are missing"):
            read_table(write(tmp_path, name, row))


def test_columns_of_other_releases_are_kept_as_text(tmp_path: Path) -> None:
    row = {"": "0", **ROWS[PROBES], "colour": "1.0"}
    table = read_table(write(tmp_path, PROBES, row)).checked()
    assert table.cells["colour"] == ["1.0"]
    assert "" not in table.cells


@pytest.mark.corpus
def test_the_real_tables_are_read_without_a_word() -> None:
    folder = os.environ.get("VBN_REAL_RELEASE")
    if not folder:
        pytest.skip("VBN_REAL_RELEASE names no folder with the release's tables")
    metadata = Path(folder) / "project_metadata"
    read = {name: read_table(metadata / name).checked() for name in (ECEPHYS, BEHAVIOR, PROBES)}
    assert {name: len(table) for name, table in read.items()} == {ECEPHYS: 19, BEHAVIOR: 66, PROBES: 905}
    assert sum(read[PROBES].cells["unit_count"]) == 319_013
    assert len(set(read[PROBES].cells["ecephys_session_id"])) == 153


@pytest.mark.corpus
@EVERY_TABLE
def test_the_tables_of_the_hard_corpus_are_read_without_a_word(name: str) -> None:
    folder = os.environ.get("VBN_CORPUS_HARD")
    if not folder:
        pytest.skip("VBN_CORPUS_HARD names no folder with sessions")
    table = read_table(Path(folder) / "project_metadata" / name).checked()
    if name == ECEPHYS:
        assert table.cells["abnormal_histology"] == [None, ["VISp", "LP"], None]
        assert table.cells["abnormal_activity"] == [None, [212, 433], None]
        assert [names[-1] for names in table.cells["structure_acronyms"]] == [None] * 3
