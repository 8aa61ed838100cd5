"""Named lists and notes, as people make, use and withdraw them."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schemas import queries
from schemas.queries import named_lists
from schemas.server.datajoint import dj
from vbn.errors import ConflictError, NotFoundError, SettingError

FIRST, SECOND = 9000000001, 9000000002


@pytest.fixture(scope="module")
def imported(make_database: Callable[..., Any], synthetic_files: list[Path]) -> Any:
    """Two sessions with their units."""
    database = make_database()
    database.call("register", *synthetic_files)
    database.call("populate", "--table", "Recording")
    return database


@pytest.fixture
def lab(imported: Any) -> Iterator[Any]:
    """The same, without lists and notes before and after."""
    imported.connect()
    _withdraw_all()
    yield imported
    imported.connect()
    _withdraw_all()


def _withdraw_all() -> None:
    for name in queries.lists()["list_name"]:
        queries.remove_list(name)
    for note_id in queries.notes()["note_id"]:
        queries.withdraw_note(note_id)


def ids(query: Any) -> list[int]:
    return sorted(map(int, query.to_arrays("unit_id")))


def test_what_a_query_finds_is_saved_and_asked_for_again(lab: Any, tmp_path: Path) -> None:
    words = ("query", "units", "--session", FIRST, "--where", "snr > 1", "--sort", "-snr", "--limit", 5)
    saved = lab.call(*words, "--save-list", "best", "--description", "of day 1", "--columns", "snr")
    assert "best: a list of 5 units." in saved.stderr
    assert saved.stdout.splitlines()[0].split() == ["snr"]
    (row,) = lab.json("lists")
    assert (row["list_name"], row["list_kind"], row["n_listed"], row["n_left"]) == ("best", "units", 5, 5)
    assert row["list_description"] == "of day 1"
    assert row["list_made_from"].startswith(f"vbn query units --session {FIRST} --where 'snr > 1' --sort")
    wanted = sorted(each["unit_id"] for each in lab.json("query", "units", *words[2:]))
    assert sorted(each["unit_id"] for each in lab.json("list", "show", "best")) == wanted
    # In the shell, in Python and by the field's word; and what is not in it.
    assert sorted(each["unit_id"] for each in lab.json("query", "units", "--list", "best")) == wanted
    lab.connect()
    assert ids(queries.units(in_list="best")) == ids(queries.units(list="best")) == wanted  # type: ignore[call-arg]
    others = ids(queries.units(not_in_list="best"))
    assert sorted([*others, *wanted]) == ids(queries.units())
    assert {each["session_id"] for each in lab.json("query", "sessions", "--list", "best")} == {FIRST}
    assert {each["session_id"] for each in lab.json("query", "sessions", "--not-list", "best")} == {SECOND}
    # By a file, too, as the query has written it.
    lab.call("query", "units", "--list", "best", "--out", tmp_path / "best.csv")
    lab.call("list", "add", "again", tmp_path / "best.csv")
    lab.connect()
    assert ids(queries.units(in_list="again")) == wanted
    assert ids(queries.units(in_list=["best", "again"], not_in_list="again")) == []


def test_a_list_of_sessions_stands_for_their_units_and_populate_takes_it(lab: Any) -> None:
    lab.call("query", "sessions", "--session", SECOND, "--save-list", "day-2")
    lab.connect()
    assert ids(queries.units(in_list="day-2")) == ids(queries.units(session_id=SECOND))
    assert ids(queries.units(not_in_list="day-2")) == ids(queries.units(session_id=FIRST))
    done = lab.call("populate", "--table", "Licks", "--list", "day-2")
    assert "1 entries made, 0 failed." in done.stdout
    lab.connect()
    assert {int(row["session_id"]) for row in queries.sessions(in_list="day-2").to_dicts()} == {SECOND}
    assert (
        "There is no list 'day-3'. Near to it: day-2"
        in lab.call("populate", "--list", "day-3", check=False).stderr
    )


def test_lists_are_renamed_replaced_and_removed(lab: Any, tmp_path: Path) -> None:
    unit_ids = _some_units(lab, 3)
    file = tmp_path / "ids.txt"
    file.write_text("\n".join(map(str, [*unit_ids, unit_ids[0]])))
    assert (
        "mine: a list of 3 units, 1 of them given twice or more."
        in lab.call("list", "add", "mine", file).stderr
    )
    again = lab.call("list", "add", "mine", file, check=False)
    assert again.returncode == 1
    assert "There is a list 'mine' already: 3 units, by" in again.stderr
    file.write_text(str(unit_ids[0]))
    lab.call("list", "add", "mine", file, "--replace", "--description", "one")
    lab.call("list", "rename", "mine", "ours")
    (row,) = lab.json("lists")
    assert (row["list_name"], row["n_listed"], row["list_description"]) == ("ours", 1, "one")
    assert lab.call("list", "show", "mine", check=False).returncode == 1
    lab.call("list", "remove", "ours")
    assert lab.json("lists") == []
    gone = lab.call("query", "units", "--list", "ours", check=False)
    assert "There is no list 'ours'. There is none yet." in gone.stderr


def test_ids_come_through_a_pipe(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (unit_id,) = _some_units(lab, 1)

    class Input:
        buffer = io.BytesIO(f"unit_id\n{unit_id}\n".encode())

    monkeypatch.setattr(sys, "stdin", Input())
    assert "a list of 1 units" in lab.call("list", "add", "piped", "-").stderr


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ("77 78", (), "2 of 2 ids are those of no unit here: 77, 78."),
        (str(FIRST), (), "The first is that of a session: ask for a list of sessions."),
        ("77", ("--skip-missing",), "would have no units"),
        ("1e9", (), "an id that a spreadsheet has rounded"),
        (str(2**63), (), "is no id: ids are whole numbers"),
    ],
)
def test_ids_of_nothing_make_no_list(
    lab: Any, tmp_path: Path, content: str, words: tuple[str, ...], message: str
) -> None:
    file = tmp_path / "ids"
    file.write_text(content)
    done = lab.call("list", "add", "mine", file, *words, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert lab.json("lists") == []


def test_ids_of_nothing_are_left_out_where_that_is_wanted(lab: Any, tmp_path: Path) -> None:
    (unit_id,) = _some_units(lab, 1)
    (tmp_path / "ids").write_text(f"77 {unit_id}")
    done = lab.call("list", "add", "mine", tmp_path / "ids", "--skip-missing")
    assert "a list of 1 units, 1 left out that are not here." in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mine",
        "my list",
        "../x",
        "a" * 65,
        "<b>",
        "x';DROP TABLE x--",
        "é",
        "-x",
        "\u202eabc",
        "a\nb",
        "=1+1",
    ],
)
def test_names_are_plain(lab: Any, name: str) -> None:
    lab.connect()
    with pytest.raises(SettingError, match="cannot be the name of a list") as refused:
        queries.save_list(name, queries.units())
    assert str(refused.value).isprintable()
    assert queries.lists().empty


def test_a_name_that_was_meant_is_suggested(lab: Any) -> None:
    lab.connect()
    with pytest.raises(SettingError, match="Perhaps: figure-2-final"):
        queries.save_list("Figure 2 (final)", queries.units())


def test_what_is_no_unit_or_session_makes_no_list(lab: Any) -> None:
    lab.connect()
    wrong: list[tuple[Any, str]] = [
        (["x"], "'x' is no id"),
        ([1.5], "'1.5' is no id"),
        (["1_000"], "'1_000' is no id"),
        (1.5, "'1.5' is no id"),
        ([float("nan")], "'nan' is no id"),
        ([True], "'True' is no id"),
        (pd.DataFrame({"snr": [1.0]}), "Neither unit_id nor session_id is among these columns: snr"),
        (pd.DataFrame({"unit_id": [None]}), "is no id"),
        ([], "would have no units"),
    ]
    for members, message in wrong:
        with pytest.raises(SettingError, match=message):
            queries.save_list("mine", members)
    with pytest.raises(SettingError, match="A list is of 'units' or 'sessions'"):
        queries.save_list("mine", [1], of="mice")
    with pytest.raises(SettingError, match="2,000 characters; 1,000 can be kept"):
        queries.save_list("mine", queries.units(), description="x" * 2000)
    assert queries.lists().empty


def test_of_two_who_make_one_list_at_once_one_is_told(lab: Any) -> None:
    """Each with a connection of its own, as two people have."""
    made = [lab.start("query", "units", "--save-list", "both", "--format", "csv") for _ in range(2)]
    ended = [(process.communicate(timeout=300), process.wait()) for process in made]
    assert sorted(code for _output, code in ended) == [0, 1]
    (told,) = [errors for (_output, errors), code in ended if code]
    assert "list 'both'" in told
    assert "Traceback" not in told
    (row,) = lab.json("lists")
    assert row["n_left"] == row["n_listed"] > 10


def test_a_list_is_made_whole_or_not_at_all(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.connect()
    real, calls = named_lists.insert_rows, []

    def broken(table: Any, rows: Any) -> None:
        calls.append(table)
        real(table, list(rows)[:3])
        raise KeyboardInterrupt

    monkeypatch.setattr(named_lists, "insert_rows", broken)
    with pytest.raises(KeyboardInterrupt):
        queries.save_list("half", queries.units())
    monkeypatch.undo()
    assert calls
    lab.connect()
    assert queries.lists().empty
    assert queries.save_list("half", queries.units()).n_listed > 3


def test_notes_are_written_shown_selected_by_and_withdrawn(lab: Any) -> None:
    first, second, third = _some_units(lab, 3)
    lab.call("note", "add", "--unit", f"{first},{second}", "--label", "noise")
    lab.call("note", "add", "two cells?", "--unit", first)
    again = lab.call("note", "add", "--unit", first, "--label", "noise")
    assert again.stdout == "0 notes written.\n"  # it has it
    lab.call("note", "add", "--unit", first, "--label", "axon")
    lab.call("note", "add", "asleep at the end", "--session", SECOND, "--label", "sleepy")
    notes = lab.json("notes")
    assert len(notes) == 5
    assert [row["note"] for row in lab.json("notes", "--unit", first) if row["note"]] == ["two cells?"]
    assert {row["label"] for row in lab.json("notes", "--session", SECOND)} == {"sleepy"}
    assert len(lab.json("notes", "--label", "noise")) == 2
    rows = lab.json("query", "units", "--label", "noise", "--columns", "unit_id,labels", "--sort", "unit_id")
    assert rows == [{"unit_id": first, "labels": "axon, noise"}, {"unit_id": second, "labels": "noise"}]
    lab.connect()
    everything = ids(queries.units())
    assert ids(queries.units(without_label=["noise", "sleepy"])) == sorted(
        set(ids(queries.units(session_id=FIRST))) - {first, second}
    )
    assert ids(queries.units(label="sleepy")) == ids(queries.units(session_id=SECOND))
    assert ids(queries.units(where="labels LIKE '%noise%'")) == [first, second]
    assert third in everything
    (of_session,) = [row for row in lab.json("query", "sessions") if row["session_id"] == SECOND]
    assert of_session["labels"] == "sleepy"
    missing = lab.call("query", "units", "--not-label", "nois", check=False)
    assert "Nobody has used the label 'nois'. Near to it: noise" in missing.stderr
    for row in notes:
        lab.call("note", "remove", row["note_id"])
    assert lab.json("notes") == []
    lab.connect()
    assert ids(queries.units()) == everything


def test_a_list_is_labelled_at_once(lab: Any) -> None:
    lab.call("query", "units", "--session", FIRST, "--save-list", "mine")
    done = lab.call("note", "add", "--list", "mine", "--label", "checked")
    assert done.stdout == "16 notes written.\n"
    lab.connect()
    assert ids(queries.units(label="checked")) == ids(queries.units(in_list="mine"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("add", "text"), "Name units"),
        (("add", "text", "--unit", "77"), "1 of 1 ids are those of no unit here: 77. Leave them out.\n"),
        (("add", "text", "--session", "77"), "1 of 1 ids are those of no session here: 77"),
        (("add", "--unit", "9300000001"), "A note needs a text, or a label, or both."),
        (("add", "--unit", "9300000001", "--label", "Bad Label"), "Perhaps: bad-label"),
        (("add", "x" * 2001, "--unit", "9300000001"), "The note has 2,001 characters; 2,000 can be kept."),
        (("add", "a\u202eb", "--unit", "9300000001"), r"characters that cannot be seen"),
        (("add", "a\x1b[2Jb", "--unit", "9300000001"), r"\x1b[2J"),
        (("add", "a\x00b", "--unit", "9300000001"), r"\x00"),
        (("remove", "77"), "There is no note '77'"),
    ],
)
def test_what_is_no_note_is_not_written(lab: Any, words: tuple[str, ...], message: str) -> None:
    done = lab.call("note", *words, check=False)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    lab.connect()
    assert queries.notes().empty


def test_many_notes_are_withdrawn_at_once_all_or_none(lab: Any) -> None:
    units = _some_units(lab, 8)
    lab.call("note", "add", "--unit", ",".join(map(str, units)), "--label", "wrong")
    lab.call("note", "add", "kept", "--session", FIRST)
    note_ids = [row["note_id"] for row in lab.json("notes", "--label", "wrong")]
    done = lab.call("note", "remove", *note_ids, "0f3a9c52d8e1b647", check=False)
    assert (done.returncode, "There is no note '0f3a9c52d8e1b647'" in done.stderr) == (1, True)
    assert len(lab.json("notes")) == 9
    listed = lab.folder / "notes.csv"
    lab.call("notes", "--label", "wrong", "--columns", "note_id", "--format", "csv", "--out", listed)
    with listed.open() as ids:
        assert lab.vbn("note", "remove", "-", stdin=ids).stdout == "8 notes withdrawn.\n"
    assert [row["note"] for row in lab.json("notes")] == ["kept"]


def test_hostile_texts_stay_text(lab: Any, tmp_path: Path) -> None:
    (unit_id,) = _some_units(lab, 1)
    text = "=cmd|' /C calc'!A1 <script>alert(1)</script> 100% {x} \\x $a$ 'quoted\" ; DROP TABLE x; --"
    lab.call("note", "add", text, "--unit", unit_id)
    (note,) = lab.json("notes")
    assert note["note"] == text
    lab.call("notes", "--out", tmp_path / "notes.csv")
    assert pd.read_csv(tmp_path / "notes.csv")["note"][0] == f"'{text}"
    lab.call("export", "UnitNote", "--out", tmp_path / "table.csv")
    assert pd.read_csv(tmp_path / "table.csv")["unit_note"][0] == f"'{text}"


def test_a_text_of_ten_megabytes_is_refused_in_a_line(lab: Any) -> None:
    lab.connect()
    with pytest.raises(SettingError, match="10,000,000 characters; 2,000 can be kept") as refused:
        queries.add_notes(_some_units(lab, 1), "x" * 10_000_000)
    assert len(str(refused.value)) < 200


def test_another_import_keeps_lists_and_notes_and_says_what_is_not_here(lab: Any) -> None:
    lab.call("query", "units", "--session", FIRST, "--save-list", "mine")
    unit_id = _some_units(lab, 1)[0]
    lab.call("note", "add", "kept", "--unit", unit_id)
    words = ("--session", FIRST, "--reason", "a new version", "--yes")
    lab.call("delete", "Recording", *words)
    asked = lab.call("query", "units", "--list", "mine", "--format", "json")
    assert json.loads(asked.stdout) == []
    assert "The list 'mine' had 16 units, of which 0 are here" in asked.stderr
    assert not any(row["is_imported"] for row in lab.json("list", "show", "mine"))
    lab.call("populate", "--table", "Recording")
    again = lab.call("query", "units", "--list", "mine", "--format", "json")
    assert (len(json.loads(again.stdout)), again.stderr) == (16, "")
    assert [row["note"] for row in lab.json("notes", "--unit", unit_id)] == ["kept"]


@pytest.mark.slow
def test_deleting_a_session_takes_its_members_and_says_so(
    make_database: Callable[..., Any], synthetic_files: list[Path]
) -> None:
    database = make_database()
    database.call("register", *synthetic_files)
    database.call("populate", "--table", "Recording")
    database.call("query", "units", "--save-list", "all")
    database.call("query", "sessions", "--save-list", "days")
    database.call("note", "add", "asleep", "--session", FIRST)
    database.call("note", "add", "two cells?", "--unit", _some_units(database, 1)[0])
    planned = database.call("delete", "--session", FIRST, "--dry-run").stdout
    for name, number in (("ListUnit", 16), ("ListSession", 1), ("SessionNote", 1), ("UnitNote", 1)):
        assert f"{number}  {name}\n" in planned
    database.call("delete", "--session", FIRST, "--reason", "the wrong mouse", "--yes")
    left = {row["list_name"]: (row["n_listed"], row["n_left"]) for row in database.json("lists")}
    assert left == {"all": (32, 16), "days": (2, 1)}
    assert database.json("notes") == []
    for words, kind in (
        (("units", "--list", "all"), "32 units, of which 16"),
        (("sessions", "--list", "days"), "2 sessions, of which 1"),
    ):
        assert f"had {kind} are here" in database.call("query", *words, "--format", "csv").stderr


def test_a_list_that_vanishes_while_it_is_used_says_so(lab: Any) -> None:
    lab.connect()
    queries.save_list("mine", queries.units())
    chosen = queries.units(in_list="mine")
    before = len(chosen)
    other = threading.Thread(target=lambda: lab.vbn("list", "remove", "mine"))
    other.start()
    other.join()
    assert before > 0
    assert len(chosen) == 0
    with pytest.raises(NotFoundError, match="no list 'mine'"):
        queries.units(in_list="mine")


def test_a_list_that_was_changed_meanwhile_is_not_removed(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.connect()
    queries.save_list("mine", queries.units())
    stale = {**named_lists.list_row("mine"), "n_listed": 1}
    monkeypatch.setattr(named_lists, "list_row", lambda _name: stale)
    with pytest.raises(ConflictError, match="has been changed meanwhile"):
        queries.remove_list("mine")
    monkeypatch.undo()
    assert len(queries.lists()) == 1


@pytest.mark.slow
def test_many_units_are_saved_in_few_statements(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the release has: a statement for each would take minutes."""
    lab.connect()
    n_units = 319_013
    keys = pd.DataFrame({"mouse_id": "990001", "session_id": FIRST, "unit_id": range(1, n_units + 1)})
    monkeypatch.setattr(named_lists, "_keys", lambda _kind, wanted: keys[keys["unit_id"].isin(wanted)])
    statements = []
    real = type(dj.conn()).query

    def noting(self: Any, statement: str, *arguments: Any, **options: Any) -> Any:
        statements.append(statement[:20])
        return real(self, statement, *arguments, **options)

    monkeypatch.setattr(type(dj.conn()), "query", noting)
    assert queries.save_list("release", keys).n_listed == n_units
    assert len(statements) < 30
    with pytest.warns(queries.IncompleteWarning, match="had 319013 units, of which 0"):
        assert len(queries.units(in_list="release")) == 0
    queries.remove_list("release")
    assert queries.lists().empty


def _some_units(database: Any, number: int) -> list[int]:
    database.connect()
    return ids(queries.units(session_id=FIRST))[:number]


def test_one_id_may_be_a_number_of_numpy(lab: Any) -> None:
    unit_id = np.asarray(_some_units(lab, 1))[0]
    assert isinstance(unit_id, np.int64)
    assert queries.save_list("one", unit_id).n_listed == 1
    assert queries.save_list("again", int(unit_id)).n_listed == 1
    queries.add_notes(unit_id, "two cells?")
    assert queries.notes(unit_id=unit_id)["note"].tolist() == ["two cells?"]
    session_id = np.uint64(FIRST)
    queries.add_notes(session_id, "dim light", of="sessions")
    assert len(queries.notes(session_id=session_id)) == 2


def test_python_has_the_same_functions(lab: Any) -> None:
    lab.connect()
    saved = queries.save_list("mine", queries.units(session_id=FIRST), description="of day 1")
    assert (saved.kind, saved.n_listed) == ("units", 16)
    assert queries.list_kind("mine") == "units"
    assert list(queries.list_members("mine")) == ["unit_id", "session_id", "mouse_id", "is_imported"]
    frame = queries.unit_table(queries.units(list="mine"), ["unit_id", "labels"])  # type: ignore[call-arg]
    assert frame["labels"].isna().all()
