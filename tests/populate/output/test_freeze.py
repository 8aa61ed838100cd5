"""``vbn freeze``: the same bytes later, whatever has become of the database since."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import schemas
from schemas.administration import Deletion
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


@pytest.mark.slow
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
    small.call("freeze", "create", "only", "--session", FIRST, "--table", "Performance")

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
    only = {each["table"]: each["n_gone"] for each in small.json("freeze", "diff", "only")}
    assert only["Session"] == 1
    assert {name: only.get(name, 0) for name in ("Mouse", "NamedList")} == {
        name: gone.get(name, 0) for name in ("Mouse", "NamedList")
    }
    assert small.json("gc", "--older-than", "0s", "--go", "--max-share", "100")["files"] == {}
    small.call("freeze", "drop", "only", "--reason", "tried", "--yes")
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
    forget_deletions(populated_synthetic)


def forget_deletions(database: Database) -> None:
    """Leave no trace of what was dropped, which others compare."""
    database.connect()
    Deletion.Count.delete_quick()
    Deletion.delete_quick()
    for path in database.stored_files() - database.referenced_files():
        (database.store / path).unlink()


@pytest.fixture
def unread(frozen: Database) -> Database:
    """The same, on a machine that has not read the freeze yet."""
    shutil.rmtree(frozen.server.home / "frozen", ignore_errors=True)
    return frozen


@pytest.mark.files
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


@pytest.mark.files
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


def test_a_row_that_is_none_of_ours_leads_to_no_folder(frozen: Database, tmp_path: Path) -> None:
    """Whoever may write rows could have written a name or a digest that leads to somebody's folder."""
    from schemas.administration import Freeze

    place = frozen.server.home / "frozen"
    place.mkdir(exist_ok=True)
    victim = place.parent / "victim-0123456789abcdef"
    victim.mkdir()
    (victim / "thesis.txt").write_text("years of work")
    frozen.connect()
    row = (Freeze & {"freeze_name": NAME}).fetch1()
    for name, digest in (("../victim", "0123456789abcdef" + "0" * 48), ("odd", "../../victim")):
        Freeze.insert1({**row, "freeze_name": name, "freeze_digest": digest})
        for words in (("query", "sessions"), ("status",)):
            refused = frozen.call("--freeze", name, *words, check=False)
            assert "its row was written by something else" in refused.stderr
        assert frozen.call("freeze", "export", name, tmp_path / "x", check=False).returncode == 1
        frozen.call("freeze", "drop", name, "--reason", "hostile", "--yes")
        assert [each["freeze_name"] for each in frozen.json("freeze", "list")] == [NAME]
    assert (victim / "thesis.txt").read_text() == "years of work"
    shutil.rmtree(victim)


@pytest.mark.files
def test_only_folders_of_freezes_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from schemas.server import frozen as places

    monkeypatch.setenv("VBN_HOME", str(tmp_path / "home"))
    other = tmp_path / "elsewhere" / "frozen" / "a-1"
    plain, ours, link = (tmp_path / "home" / "frozen" / name for name in ("a-1", "a-2", "a-3"))
    for folder in (other, ours):
        (folder / places.OURS).mkdir(parents=True)
    plain.mkdir()
    link.symlink_to(ours)
    assert [places.is_kept_here(each) for each in (other, plain, ours, link)] == [False, False, True, False]


@pytest.mark.files
def test_an_array_is_brought_into_the_folder_only(tmp_path: Path) -> None:
    from schemas.server import frozen as places
    from vbn.errors import InvalidContentError

    folder = tmp_path / "frozen" / "a-1"
    (folder / places.OURS).mkdir(parents=True)
    places.note_sources(folder, {"../../../x": {"path": "a.npy", "sha256": "0"}})
    with pytest.raises(InvalidContentError, match="not below the folder's arrays"):
        places.bring_array(folder, "../../../x", lambda _path: io.BytesIO(b"x"))
    assert not (tmp_path / "x").exists()


@pytest.mark.files
@pytest.mark.parametrize("kind", ["compressed", "overlapping", "upwards"])
def test_a_package_that_is_larger_inside_is_refused_before_it_is_written(tmp_path: Path, kind: str) -> None:
    from schemas.deploy.frozen import _unpack
    from vbn.errors import StoreError

    package, target = tmp_path / "tables.zip", tmp_path / "new"
    method = zipfile.ZIP_DEFLATED if kind == "compressed" else zipfile.ZIP_STORED
    with zipfile.ZipFile(package, "w", method) as archive:
        archive.writestr("../bomb" if kind == "upwards" else "bomb", bytes(10**6))
        if kind == "overlapping":
            archive.filelist += [archive.filelist[0]] * 1000
    with pytest.raises(StoreError, match="it is no ZIP file of vbn freeze"):
        _unpack("a", package, target)
    assert not target.exists()


@pytest.mark.files
def test_what_answers_for_the_present_only_is_refused(frozen: Database, tmp_path: Path) -> None:
    folder = tmp_path / "lean"
    frozen.call("freeze", "export", NAME, folder, "--without-arrays")
    for words, said in (
        (("--freeze", NAME, "checksum"), "no way to take its checksums"),
        (("--published", folder, "checksum"), "no way to take its checksums"),
        (("--freeze", NAME, "list", "remove", "x"), "no way to remove its lists"),
        (("--freeze", NAME, "list", "rename", "x", "y"), "no way to rename its lists"),
        (("--freeze", NAME, "note", "remove", "x"), "nothing to note"),
        (("--freeze", "", "query", "sessions"), "--freeze has no name"),
        (("query", "sessions", "--freeze", ""), "--freeze has no name"),
        (("--published", "", "query", "sessions"), "--published has no folder"),
    ):  # fmt: skip
        refused = frozen.call(*words, check=False)
        assert (refused.returncode, said in refused.stderr) == (1, True), (words, refused.stderr)
        schemas.disconnect()
    both = {"VBN_FREEZE": NAME, "VBN_PUBLISHED": str(folder)}
    script = "import schemas; schemas.connect()"
    refused = frozen.vbn(script, program=("-c",), env=both, check=False)
    assert "cannot both be read" in refused.stderr


@pytest.mark.files
def test_lists_status_and_what_is_stale_are_read(frozen: Database) -> None:
    """The freeze was made with --table: what was left out is not asked."""
    assert NAME in frozen.call("--freeze", NAME, "lists").stdout
    shown = frozen.call("--freeze", NAME, "list", "show", NAME, "--format", "csv").stdout
    assert shown.count("\n") > 2
    assert frozen.call("--freeze", NAME, "notes").returncode == 0
    states = frozen.json("--freeze", NAME, "status")
    assert "Psth" not in str(states)
    assert "ChangeResponse" in str(states)
    assert frozen.call("--freeze", NAME, "stale", check=False).stderr == ""


@pytest.mark.files
def test_who_asks_for_a_freeze_that_is_not_there_stays_at_the_former(frozen: Database) -> None:
    frozen.connect()
    schemas.frozen(NAME, frozen.prefix)
    with pytest.raises(NotFoundError, match="There is no freeze 'nope'"):
        schemas.frozen("nope", frozen.prefix)
    assert str(schemas.connect()) == f"freeze '{NAME}'"
    schemas.disconnect()


@pytest.mark.files
def test_an_export_without_arrays_says_so(frozen: Database, tmp_path: Path) -> None:
    from schemas.server import published
    from schemas.server.datajoint import dj
    from schemas.server.published import PublishedFolder
    from schemas.server.stores import explaining_reads, opened_store
    from vbn.errors import AbsentArrayError, UnpublishedArrayError

    folder = tmp_path / "lean"
    frozen.call("freeze", "export", NAME, folder, "--without-arrays")
    assert not (folder / "arrays").exists()
    assert json.loads((folder / "manifest.json").read_text())["has_arrays"] is False
    assert "were not published here" in (folder / "README.md").read_text()
    assert "arrays/manifest.csv" not in (folder / "README.md").read_text()
    full = tmp_path / "full"
    frozen.call("freeze", "export", NAME, full)
    try:
        published.use(folder)
        dj.config.stores["vbn"] = PublishedFolder.read(folder).store_spec
        with pytest.raises(AbsentArrayError, match="or vbn freeze export without --without-arrays"):
            opened_store("vbn")
        published.use(full)
        dj.config.stores["vbn"] = PublishedFolder.read(full).store_spec
        backend = opened_store("vbn")
        gone = next((full / "arrays").rglob("*.npy"))
        name = gone.relative_to(full / "arrays").as_posix()
        gone.unlink()
        with (
            pytest.raises(AbsentArrayError, match=rf"full lacks the array {name}.*Copy the folder again"),
            explaining_reads(backend, name),
        ):
            backend.get_buffer(name)
        with (
            pytest.raises(UnpublishedArrayError, match="did not have"),
            explaining_reads(backend, "none.npy"),
        ):
            backend.get_buffer("no.npy")
    finally:
        published.use(None)
        frozen.connect()


@pytest.mark.files
def test_the_current_folder_is_not_replaced(frozen: Database, tmp_path: Path) -> None:
    refused = frozen.call("freeze", "export", NAME, ".", check=False)
    assert "is the current folder" in refused.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    frozen.call("freeze", "export", NAME, empty / ".." / "empty", "--without-arrays")
    assert (empty / "checksums.sha256").is_file()


@pytest.mark.files
def test_a_drop_takes_nothing_of_who_reads_an_export(frozen: Database, tmp_path: Path) -> None:
    """What was loaded from the freeze goes; it has another prefix than what was loaded from the export."""
    from schemas.server.published import PublishedFolder

    exported = tmp_path / "exported"
    frozen.call("freeze", "export", NAME, exported)
    (kept,) = frozen.server.home.glob(f"frozen/{NAME}-*")
    here, there = PublishedFolder.read(kept), PublishedFolder.read(exported)
    assert here.digest == there.digest
    assert here.prefix != there.prefix
    copied = tmp_path / "copied"
    shutil.copytree(exported, copied)
    assert PublishedFolder.read(copied).prefix == there.prefix


@pytest.mark.files
def test_two_databases_keep_their_copies_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from schemas.server.frozen import folder_of

    monkeypatch.setenv("VBN_HOME", str(tmp_path))
    digest = "a" * 64
    assert folder_of("a", digest, "host:1 vbn_") != folder_of("a", digest, "host:1 other_")
    assert folder_of("a", digest, "host:1 vbn_") == folder_of("a", digest, "host:1 vbn_")


def test_what_is_deleted_before_the_moment_is_not_frozen_as_nothing(
    frozen: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from populate.output.freeze.create import _Additions, create
    from populate.output.freeze.request import request_for
    from populate.output.publish.describe import TableFile
    from schemas import queries
    from schemas.bases.publication import published_tables
    from schemas.deploy.frozen import brought_folder
    from vbn.errors import ConflictError

    for name in ("VBN_HOME", "VBN_PREFIX", "DJ_STORES"):
        monkeypatch.setenv(name, frozen.environment[name])
    frozen.connect()
    asked = request_for("gone", units=queries.units(), tables=["ChangeResponse"], with_notes=False)
    assert asked.units is not None
    said = r"were deleted before the moment.*try again"
    with pytest.raises(ConflictError, match=said):
        create(replace(asked, scope=replace(asked.scope, sessions=(1,))))
    assert [each["freeze_name"] for each in frozen.json("freeze", "list")] == [NAME]
    folder = brought_folder(NAME)
    files = [
        TableFile(each, pa.schema([]), 0, folder / each.file)
        for each in published_tables(("curation",))
        if each.name in ("Session", "Recording.Unit", "NamedList")
    ]
    lacking = asked.units.assign(unit_id=asked.units["unit_id"] + 10**9)
    for request, words in (
        (replace(asked, units=lacking), said),
        (replace(asked, scope=replace(asked.scope, lists=("nobody-has-it",))), said),
        (replace(asked, name=NAME), "has made a list 'fig2' meanwhile"),
    ):
        with pytest.raises(ConflictError, match=words):
            _Additions(request, datetime.now(UTC), len_arrays=lambda: 0).rows(files)


@pytest.mark.files
def test_others_lists_are_not_kept_with_a_session_and_no_difference(frozen: Database, tmp_path: Path) -> None:
    sessions = [each["session_id"] for each in frozen.json("query", "sessions")]
    other = next(each for each in sessions if each != FIRST)
    files = {}
    for name, number in (("mine", FIRST), ("strangers", other), ("named", FIRST)):
        files[name] = tmp_path / f"{name}.txt"
        files[name].write_text(f"{number}\n")
    words = ("--of", "sessions", "--description", "what I think")
    try:
        for name in files:
            frozen.call("list", "add", name, files[name], *words)
        few = ("--session", FIRST, "--table", "ChangeResponse")
        frozen.call("freeze", "create", "scoped", *few)
        plain = ("--list", "named", "--table", "ChangeResponse", "--without-notes")
        frozen.call("freeze", "create", "plain", *plain)
        frozen.call("list", "remove", "strangers")
        assert frozen.json("freeze", "diff", "scoped") == []
        frozen.call("list", "add", "later", files["strangers"], *words)
        assert frozen.json("freeze", "diff", "scoped") == frozen.json("freeze", "diff", "plain") == []
        frozen.call("freeze", "export", "scoped", tmp_path / "scoped", "--with-notes", "--without-arrays")
        frozen.call("freeze", "export", "plain", tmp_path / "plain", "--without-arrays")
        place = "tables/curation/NamedList.parquet"
        lists = pd.read_parquet(tmp_path / "scoped" / place)["list_name"].tolist()
        assert lists == ["mine", "named"]
        left = pd.read_parquet(tmp_path / "plain" / place).set_index("list_name")
        assert left.loc["named", ["list_author", "list_made_from", "list_description"]].tolist() == [""] * 3
        frozen.call("list", "remove", "mine")
        gone = {each["table"]: each["n_gone"] for each in frozen.json("freeze", "diff", "scoped")}
        assert gone == {"NamedList": 1, "ListSession": 1}
    finally:
        for name in ("mine", "named", "later"):
            frozen.call("list", "remove", name, check=False)
        for name in ("scoped", "plain"):
            frozen.call("freeze", "drop", name, "--reason", "tried", "--yes", check=False)


@pytest.mark.files
def test_another_layout_is_not_taken_for_a_change(frozen: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from populate.output.freeze import differences as comparison

    frozen.connect()
    monkeypatch.setattr(
        comparison.parquet, "read_schema", lambda _path: pa.schema([("session_id", pa.int64())])
    )
    told = frozen.call("freeze", "diff", NAME, check=False)
    assert told.returncode == 1
    assert "was made by vbn-datajoint " in told.stderr
    assert "had other columns" in told.stderr


@pytest.mark.files
def test_lost_fingerprints_are_brought_again(frozen: Database) -> None:
    assert "Nothing has changed" in frozen.call("freeze", "diff", NAME).stdout
    (folder,) = frozen.server.home.glob(f"frozen/{NAME}-*")
    (folder / ".freeze" / "fingerprints.json").unlink()
    assert "Nothing has changed" in frozen.call("freeze", "diff", NAME).stdout
    (folder / ".freeze" / "fingerprints.json").write_text("{")
    told = frozen.call("freeze", "diff", NAME, check=False)
    assert f"Remove {folder}" in told.stderr
    shutil.rmtree(folder)


@pytest.mark.files
@pytest.mark.parametrize(
    ("projects", "words", "absent"),
    [
        (("vbn-release",), ("The data are the Allen Institute's. It",), "our-rig"),
        (("our-rig", "vbn-release"), ("but those of our-rig (1 session)", "The Allen"), "not stated"),
        (("our-rig",), ("our-rig (1 session)", "not the Allen Institute's"), "CC BY"),
    ],
)  # fmt: skip
def test_only_sessions_of_the_release_are_the_institutes(
    projects: tuple[str, ...], words: tuple[str, ...], absent: str
) -> None:
    from populate.output.freeze.methods import _sources
    from populate.output.publish import describe, readme
    from populate.output.publish.origin import Origin

    origin = Origin(dict.fromkeys(projects, 1))
    terms = readme.terms(origin, describe.CITATION, describe.LICENCE, describe.TERMS)
    assert all(each in terms for each in words)
    assert absent not in terms
    text = readme.readme_text([], "1", origin, describe.CITATION, describe.URL, with_arrays=True)
    machine = json.dumps(describe._croissant([], {}, "1", origin))
    cited = "\n".join(_sources([], origin))
    for each in (text, cited, machine):
        assert ("Allen Institute" in each) is origin.has_release
        assert ("our-rig" in each) is ("our-rig" in projects) or each is machine


@pytest.mark.files
def test_a_freeze_of_own_sessions_does_not_name_the_institute(frozen: Database, tmp_path: Path) -> None:
    """The sessions are the rig's from here to the end of the test."""
    from schemas import session

    frozen.connect()
    place = session.Session().full_table_name
    session.Session.connection.query(f"UPDATE {place} SET project = 'our-rig'")
    try:
        frozen.call("freeze", "create", "rig", "--session", FIRST, "--table", "ChangeResponse")
        frozen.call("freeze", "export", "rig", tmp_path / "rig", "--without-arrays")
    finally:
        frozen.connect()
        session.Session.connection.query(f"UPDATE {place} SET project = 'vbn-release'")
        frozen.call("freeze", "drop", "rig", "--reason", "tried", "--yes", check=False)
    for name in ("METHODS.md", "README.md", "LICENSE.md"):
        text = (tmp_path / "rig" / name).read_text()
        assert "our-rig (1 session)" in text
        assert "Allen Institute" not in text.replace("not a product of the Allen Institute", "").replace(
            "They are not the Allen Institute's", ""
        )
