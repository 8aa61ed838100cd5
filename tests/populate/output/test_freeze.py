"""``vbn freeze``: the same bytes later, whatever has become of the database since."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import schemas
from schemas.server.embedded import EmbeddedServer
from tests.fixtures.contents import MODULES
from tests.fixtures.database import Database
from tests.fixtures.server import Server
from vbn.errors import NotFoundError

FIRST = 9000000001
SMALL = (
    "ChangeDetection", "Licks", "Running", "Recording", "TaskParameters", "Stimulus", "EyeTracking",
    "Engagement", "Performance", "RollingPerformance",
)  # fmt: skip
POPULATE = ("populate", *(word for name in SMALL for word in ("--table", name)))
ASKED: dict[str, tuple[Any, ...]] = {
    "units.csv": ("query", "units", "--criteria", "quickstart", "--out"),
    "spikes.csv": ("query", "spikes", "--where", "snr > 1.5", "--out"),
    "performance.csv": ("export", "Performance", "--out"),
    "behavior.png": ("plot", "behavior", "--session", FIRST, "--out"),
}


SPIKES = ["spikes.csv"]


@pytest.fixture(scope="module", autouse=True)
def _back_to_databases(server: Server) -> Iterator[None]:
    """Let the next module's databases not be looked for in the freeze."""
    yield
    schemas.disconnect()
    if server.backend == "mysql":  # freezes were opened on a server of its own
        EmbeddedServer(server.home).stop()


@pytest.fixture
def other_machine() -> Iterator[dict[str, str]]:
    """The environment of a machine that has no database, no store and no home yet."""
    home = Path(tempfile.mkdtemp(prefix="vbn-test-home-"))
    home.chmod(0o755)
    settings = {"DJ_HOST": "", "DJ_PORT": "5432", "DJ_BACKEND": "postgresql", "DJ_STORES": "{}"}
    yield {**settings, "VBN_HOME": str(home), "VBN_PREFIX": "vbn_"}
    EmbeddedServer(home).stop()
    shutil.rmtree(home)


@pytest.fixture
def small(empty_database: Database, synthetic_files: list[Path]) -> Database:
    """A session with its recording, task and performance, in a database that a test may change."""
    empty_database.call("register", synthetic_files[0])
    empty_database.call(*POPULATE)
    return empty_database


def answers(
    database: Database, folder: Path, *before: object, names: Iterable[str] = ASKED, **options: Any
) -> dict[str, bytes]:
    """Return what the command line finds, exports and draws."""
    folder.mkdir()
    for name in names:
        database.vbn(*before, *ASKED[name], folder / name, **options)
    return {name: (folder / name).read_bytes() for name in names}


def test_a_figure_is_the_same_after_everything_else_has_changed(
    small: Database, other_machine: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method gets a new version, rows are recomputed, the session is deleted, garbage is put aside."""
    from schemas import performance

    before = answers(small, tmp_path / "before")
    assert all(len(each) > 100 for each in before.values())
    said = small.call("freeze", "create", "paper", "--description", "of 2026").stdout
    assert "paper: 1 session" in said
    assert "Nothing has changed" in small.call("freeze", "diff", "paper").stdout

    compute = performance.performance_metrics
    with monkeypatch.context() as patch:
        patch.setattr(performance.Performance, "method_version", 99)
        patch.setattr(
            performance, "performance_metrics", lambda *given: {**compute(*given), "mean_dprime": -1.0}
        )
        small.call("recompute", "--yes")
    changed = {each["table"]: each for each in small.json("freeze", "diff", "paper")}
    assert set(changed) == {"Performance"}
    assert (changed["Performance"]["n_changed"], changed["Performance"]["methods"]) == (1, "1 -> 99")
    table = ["performance.csv"]
    recomputed = answers(small, tmp_path / "recomputed", names=table)
    assert pd.read_csv(io.BytesIO(recomputed["performance.csv"]))["mean_dprime"].tolist() == [-1]
    now = answers(small, tmp_path / "frozen", "--freeze", "paper", names=table)
    assert now["performance.csv"] == before["performance.csv"]

    small.call("delete", "--session", FIRST, "--reason", "gone", "--yes")
    gone = {each["table"]: each["n_gone"] for each in small.json("freeze", "diff", "paper")}
    assert gone["Session"] == gone["Recording"] == 1
    assert small.json("gc", "--older-than", "0s", "--go", "--max-share", "100")["files"] == {}
    assert answers(small, tmp_path / "deleted", env={"VBN_FREEZE": "paper"}) == before
    assert small.call("query", "units", "--format", "csv").stdout.count("\n") <= 1

    exported = tmp_path / "exported"
    small.call("freeze", "export", "paper", exported)
    names = ["performance.csv", "behavior.png"]
    elsewhere = answers(
        small, tmp_path / "elsewhere", "--published", exported, names=names, env=other_machine
    )
    assert elsewhere == {name: before[name] for name in names}

    small.call("backup", tmp_path / "backup")
    small.call("freeze", "drop", "paper", "--reason", "tried", "--yes")
    assert len(small.json("gc", "--older-than", "0s", "--go", "--max-share", "100")["files"]) > 5
    with restored(small, tmp_path / "backup") as prefix:
        again = answers(small, tmp_path / "again", "--prefix", prefix, "--freeze", "paper", names=SPIKES)
    assert again["spikes.csv"] == before["spikes.csv"]


@contextlib.contextmanager
def restored(database: Database, backup: Path) -> Iterator[str]:
    """Restore a backup under another prefix, with nothing left of what it was made of."""
    prefix = f"{database.prefix}r_"
    shutil.rmtree(database.server.home / "frozen")
    shutil.rmtree(database.store / "_schema")
    try:
        database.vbn("restore", backup, "--prefix", prefix)
        yield prefix
    finally:
        for name in MODULES[::-1]:
            kind, end = ("DATABASE", "") if database.server.backend == "mysql" else ("SCHEMA", " CASCADE")
            database.server.query(f'DROP {kind} IF EXISTS "{prefix}{name}"{end}')


NAME = "fig2"


@pytest.fixture(scope="module")
def frozen(populated_synthetic: Database) -> Iterator[Database]:
    """Two synthetic sessions with a freeze of the units of VISpm. For reading only."""
    chosen = ("--structure", "VISpm", "--criteria", "quickstart", "--table", "ChangeResponse")
    populated_synthetic.vbn("freeze", "create", NAME, *chosen, "--description", "units of figure 2")
    yield populated_synthetic
    schemas.disconnect()
    for name in [each["freeze_name"] for each in populated_synthetic.json("freeze", "list")]:
        populated_synthetic.call("freeze", "drop", name, "--reason", "tried", "--yes")
    shutil.rmtree(populated_synthetic.server.home / "frozen", ignore_errors=True)


@pytest.fixture
def unread(frozen: Database) -> Database:
    """The same, on a machine that has not read the freeze yet."""
    shutil.rmtree(frozen.server.home / "frozen", ignore_errors=True)
    return frozen


def test_what_is_chosen_is_a_list_of_the_freeze(frozen: Database) -> None:
    shown = frozen.json("freeze", "show", NAME)
    assert shown["freeze_scope"]["filters"] == {"criteria": "quickstart", "structure": ["VISpm"]}
    expected = frozen.json("query", "units", "--structure", "VISpm", "--criteria", "quickstart")
    assert shown["freeze_scope"]["n_chosen_units"] == len(expected) > 0
    listed = frozen.vbn("query", "units", "--list", NAME, "--freeze", NAME, "--json")
    assert json.loads(listed.stdout) == expected
    assert "no list" in frozen.call("query", "units", "--list", NAME, check=False).stderr
    assert [each["freeze_name"] for each in frozen.json("freeze", "list")] == [NAME]


@pytest.mark.files
def test_it_is_open_in_python_until_it_is_left(frozen: Database) -> None:
    from schemas import queries, session
    from schemas.server.access import RefusedError

    frozen.connect()
    units = len(queries.units())
    opened = schemas.frozen(NAME, frozen.prefix)
    assert (str(opened), len(queries.units(in_list=NAME)) > 0) == (f"freeze '{NAME}'", True)
    assert len(queries.units()) == units
    with pytest.raises(RefusedError, match=f"'{NAME}' is a freeze, which can only be read"):
        session.Mouse.insert1({"mouse_id": "1", "genotype": "wt/wt", "driver_line": []})
    schemas.disconnect()
    assert frozen.connect().published is None


@pytest.mark.files
def test_the_export_says_what_it_was_made_from(frozen: Database, tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    done = frozen.json("freeze", "export", NAME, folder)
    assert done["n_arrays"] > 50
    text = (folder / "METHODS.md").read_text()
    for word in (
        "2 sessions of 1 mouse", "14 were chosen", "criteria quickstart; structure VISpm",
        "| UnitCriteria | `quickstart` |", "| ChangeResponse | ", "vbn-datajoint ", "numpy ",
        "Allen Institute MindScope",
        "10.1101/2025.10.17.683190", "10.1038/s41586-020-03171-x",
    ):  # fmt: skip
        assert word in text, word
    assert json.loads((folder / "freeze.json").read_text())["scope"]["filters"]["criteria"] == "quickstart"
    assert frozen.call("publish", folder, "--check").stdout.endswith("as they were published.\n")
    assert str(frozen.store) not in text
    assert not any(path.name.startswith(".") for path in folder.rglob("*"))
    again = frozen.call("freeze", "export", NAME, folder, check=False)
    assert "is not empty" in again.stderr
    lean = tmp_path / "lean"
    frozen.call("freeze", "export", NAME, lean, "--without-arrays")
    assert frozen.call("publish", lean, "--check").returncode == 0
    assert not list(lean.rglob("*.npy"))
    inside = frozen.call("freeze", "export", NAME, frozen.store / "x", check=False)
    assert "in the store itself" in inside.stderr


@pytest.mark.files
@pytest.mark.parametrize(
    "name", ["../x", "a b", "Fig2", "übung", "x" * 300, "", "-", "a/../../b", "a\nb", "%s"]
)
def test_a_name_that_cannot_be_one_is_refused(frozen: Database, name: str) -> None:
    refused = frozen.call("freeze", "create", "--session", FIRST, "--", name, check=False)
    assert refused.returncode == 1
    assert "cannot be the name of a freeze" in refused.stderr
    assert "There is no freeze" in frozen.call("freeze", "show", "--", name, check=False).stderr
    with pytest.raises(NotFoundError, match="There is no freeze"):
        schemas.frozen(name, frozen.prefix)


@pytest.mark.files
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((NAME,), "There is a freeze 'fig2' already"),
        (("x", "--session", 1), "There is no session 1"),
        (("x", "--structure", "VISp9"), "VISp9"),
        (("x", "--where", "snr > 100000"), "nothing to freeze"),
        (("x", "--table", "Psht"), "There is no computed table 'Psht'. Near to it: Psth"),
        (("x", "--table", "Running"), "Only computed tables can be left out"),
        (("x", "--list", "none"), "There is no list 'none'"),
        (("x", "--description", "a" * 2000), "1,000 can be kept"),
    ],
)  # fmt: skip
def test_what_cannot_be_frozen_is_said(frozen: Database, words: tuple[Any, ...], said: str) -> None:
    refused = frozen.call("freeze", "create", *words, check=False)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert [each["freeze_name"] for each in frozen.json("freeze", "list")] == [NAME]


@pytest.mark.files
def test_it_can_only_be_read(frozen: Database, tmp_path: Path) -> None:
    refused_ones: list[tuple[Any, ...]] = [
        ("populate",), ("register", "."), ("freeze", "list"), ("deploy",), ("publish", tmp_path),
    ]  # fmt: skip
    for words in refused_ones:
        refused = frozen.call("--freeze", NAME, *words, check=False)
        assert refused.returncode == 1
        assert f"'{NAME}' is a freeze, which can only be read" in refused.stderr
    both = frozen.call("--published", tmp_path, "--freeze", NAME, "query", "sessions", check=False)
    assert "cannot both be read" in both.stderr
    wrong = frozen.call("query", "sessions", "--freeze", "fig3", check=False)
    assert "There is no freeze 'fig3'. Near to it: fig2." in wrong.stderr


@pytest.mark.files
def test_a_table_that_was_left_out_is_not_found_empty(frozen: Database) -> None:
    refused = frozen.vbn("--freeze", NAME, "export", "Psth.Unit", "--out", "psth.csv", check=False)
    assert f"'{NAME}' is a freeze, which was made without Psth.Unit" in refused.stderr
    frozen.vbn("export", "ChangeResponse.Unit", "--freeze", NAME, "--out", "change.csv")


@pytest.mark.files
def test_notes_of_people_are_handed_on_only_if_asked_for(frozen: Database, tmp_path: Path) -> None:
    frozen.call("note", "add", "--session", FIRST, "a private remark")
    try:
        frozen.call("freeze", "create", "noted", "--session", FIRST, "--table", "Psth")
        frozen.call("freeze", "create", "plain", "--session", FIRST, "--table", "Psth", "--without-notes")
        refused = frozen.call("freeze", "export", "noted", tmp_path / "noted", check=False)
        assert "1 in SessionNote" in refused.stderr
        assert not (tmp_path / "noted").exists()
        frozen.call("freeze", "export", "noted", tmp_path / "noted", "--with-notes", "--without-arrays")
        frozen.call("freeze", "export", "plain", tmp_path / "plain", "--without-arrays")
    finally:
        note = frozen.json("notes")[0]["note_id"]
        frozen.call("note", "remove", note)
    remark = b"a private remark"
    notes = "tables/curation/SessionNote.parquet"
    assert pd.read_parquet(tmp_path / "noted" / notes)["session_note"].tolist() == [remark.decode()]
    assert all(remark not in path.read_bytes() for path in (tmp_path / "plain").rglob("*") if path.is_file())
    assert [each["table"] for each in frozen.json("freeze", "diff", "noted")] == ["SessionNote"]
    for name in ("noted", "plain"):
        frozen.call("freeze", "drop", name, "--reason", "tried", "--yes")


def test_of_two_who_make_one_of_the_same_name_one_is_refused(frozen: Database) -> None:
    words = ("freeze", "create", "race", "--session", FIRST, "--table", "Psth")
    with frozen.start(*words) as first, frozen.start(*words) as second:
        said = [process.communicate()[1] for process in (first, second)]
    assert sorted(process.returncode for process in (first, second)) == [0, 1], said
    refused = said[0] if first.returncode else said[1]
    assert "There is a freeze 'race' already" in refused
    assert frozen.call("freeze", "show", "race", "--check").returncode == 0
    frozen.call("freeze", "drop", "race", "--reason", "tried", "--yes")


def test_a_kill_leaves_nothing(frozen: Database) -> None:
    place = frozen.server.home / "frozen"
    with frozen.start("freeze", "create", "killed", "--table", "Psth") as process:
        while not list(place.glob(".new-*/.new/tables/session/*.parquet")):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.communicate()
    assert [each["freeze_name"] for each in frozen.json("freeze", "list")] == [NAME]
    assert list(place.glob(".new-*")) != []
    frozen.call("freeze", "create", "killed", "--session", FIRST, "--table", "Psth")
    assert list(place.glob(".new-*")) == []
    frozen.call("freeze", "drop", "killed", "--reason", "tried", "--yes")


def test_a_file_that_the_store_has_lost_is_said(unread: Database) -> None:
    from schemas.administration import Freeze

    unread.connect()
    piece = unread.store / (Freeze.Piece & {"freeze_name": NAME}).fetch1("piece_content").path
    arrays = (Freeze.Array & "frozen_array_path LIKE '%%probe_spike_times.npy'").to_dicts()
    spikes = [unread.store / each["frozen_array_source"]["path"] for each in arrays]
    asked = ("--freeze", NAME, "query", "spikes", "--where", "snr > 0", "--out", "spikes.csv")
    assert "the store has their files" in unread.call("doctor", check=False).stdout
    for path, words in ((piece, "(tables, piece 0)"), (spikes[0], "probe_spike_times.npy")):
        aside = path.with_suffix(".aside")
        path.rename(aside)
        assert f"{NAME} lacks 1 files in the store" in unread.call("doctor", check=False).stdout
        assert words in unread.call("freeze", "show", NAME, "--check", check=False).stdout
        used = unread.vbn(*asked, check=False)
        assert used.returncode == 1
        assert "is not there" in used.stderr
        aside.rename(path)
    for path in (spikes[-1], piece):
        shutil.rmtree(unread.server.home / "frozen", ignore_errors=True)
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        used = unread.vbn(*asked, check=False)
        assert f"The freeze '{NAME}' is damaged: the file " in used.stderr
        shown = unread.call("freeze", "show", NAME, "--check", check=False)
        assert (shown.returncode, "another file by now" in shown.stdout) == (1, True)
        path.write_bytes(content)
    unread.vbn(*asked)


@pytest.mark.files
def test_a_file_that_this_machine_has_lost_is_brought_again(frozen: Database) -> None:
    asked = ("--freeze", NAME, "query", "sessions", "--json")
    expected = frozen.vbn(*asked).stdout
    folder = next(frozen.server.home.glob(f"frozen/{NAME}-*"))
    (folder / "manifest.json").unlink()
    assert frozen.vbn(*asked).stdout == expected
    (folder / "manifest.json").write_text("{}")
    assert f"Remove {folder}" in frozen.vbn(*asked, check=False).stderr
    shutil.rmtree(folder)
    assert frozen.vbn(*asked).stdout == expected


@pytest.mark.files
def test_it_is_dropped_by_who_says_yes_and_why(frozen: Database) -> None:
    assert "Give a reason" in frozen.call("freeze", "drop", NAME, "--yes", check=False).stderr
    refused = frozen.vbn("freeze", "drop", NAME, "--reason", "x", check=False)
    assert (refused.returncode, "Nothing was dropped." in refused.stderr) == (1, True)
    frozen.call("freeze", "create", "short", "--session", FIRST, "--table", "Psth")
    frozen.call("freeze", "drop", "short", "--reason", "a trial", "--yes")
    latest = frozen.json("deletions")[0]
    assert (latest["deleted_table"], latest["deletion_reason"]) == ("Freeze", "a trial")
    assert list(frozen.server.home.glob("frozen/short-*")) == []
