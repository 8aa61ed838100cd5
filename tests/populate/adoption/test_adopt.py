"""``vbn adopt``: sessions of a published folder beside those of one's own, with what they were made with."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from populate.adoption.adopt import Adoption
from populate.adoption.arrays import split_rows
from populate.adoption.folder import FolderTable, FolderTables
from schemas import behavior, ecephys, figures, psth, queries, session, stimulus
from schemas.bases.publication import published_tables
from schemas.deploy.published import published_rows
from schemas.files.array_store import store_folder
from schemas.rows.fetch import fetch_frame
from schemas.server.published import PublishedFolder
from schemas.server.unpublished import is_unpublished
from tests.fixtures.database import Database
from tests.schemas.deploy.test_published import plain, relist, rewrite, with_column
from vbn.errors import ConflictError, InvalidContentError, UnpublishedArrayError

FIRST, SECOND = 9000000001, 9000000002
NOT_PUBLISHED = {"session.nwb_file", "session.adopted_session"}
"""Tables with the place of a file, and with where the rows come from."""

QUESTIONS: tuple[Callable[[], Any], ...] = (
    lambda: fetch_frame(queries.units(where="snr > 1")),
    lambda: queries.unit_table(queries.units()),
    lambda: queries.psth_matrix(queries.units()),
    lambda: queries.responses_table(queries.units()),
    lambda: queries.trial_table(),
    lambda: queries.flash_table(FIRST),
    lambda: figures.change_response(FIRST, "VISpm"),
)


@pytest.fixture(scope="module")
def bare(populated_synthetic: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two synthetic sessions, published without their arrays. For reading only."""
    folder = tmp_path_factory.mktemp("published") / "release-tables"
    populated_synthetic.call("publish", folder)
    return folder


@pytest.fixture
def copy(bare: Path, tmp_path: Path) -> Path:
    """A folder that a test may damage."""
    return Path(shutil.copytree(bare, tmp_path / "release-tables"))


@pytest.fixture(scope="module")
def adopted(make_database: Callable[..., Database], bare: Path) -> Database:
    """The two sessions, adopted without arrays into an empty database. For reading only."""
    database = make_database()
    told = database.json_lines("adopt", bare)
    assert [(each["session_id"], each["status"]) for each in told] == [
        (FIRST, "adopted"),
        (SECOND, "adopted"),
    ]
    return database


def checksums(database: Database, **options: Any) -> dict[str, str]:
    from populate.admin.checksums import table_checksums

    return table_checksums(volatile=False, database=database.connect(), **options)


def test_tables_are_as_they_were_published(
    adopted: Database, populated_synthetic: Database, bare: Path, tmp_path: Path
) -> None:
    theirs = checksums(populated_synthetic, with_arrays=False)
    ours = checksums(adopted, with_arrays=False)
    assert {name for name in theirs if theirs[name] != ours[name]} == NOT_PUBLISHED
    again = adopted.json("publish", tmp_path / "again")
    assert again["version"] == json.loads((bare / "manifest.json").read_text())["version"]
    populated_synthetic.connect()
    expected = [plain(ask()) for ask in QUESTIONS]
    adopted.connect()
    assert [plain(ask()) for ask in QUESTIONS] == expected


@pytest.mark.slow
def test_nothing_is_left_to_do_and_nothing_is_wrong(adopted: Database, bare: Path, tmp_path: Path) -> None:
    before = checksums(adopted)
    assert "0 entries made, 0 failed" in adopted.call("populate").stdout
    assert adopted.json("stale") == []
    assert {each["status"] for each in adopted.json_lines("adopt", bare)} == {"unchanged"}
    checks = {each["name"]: each for each in adopted.json("doctor")}
    assert [name for name, each in checks.items() if not each["is_good"]] == []
    number = checks["adopted"]["values"]["unpublished_arrays"]
    assert number > 100
    assert checks["adopted"]["values"]["sessions"] == {"release-tables": 2}
    found = adopted.json("gc", "--older-than", "0s")
    assert (found["files"], found["unpublished_arrays"]) == ({}, number)
    saved = adopted.call("backup", tmp_path / "backup")
    assert f"{number} arrays of adopted sessions were never here" in saved.stderr
    assert "are as they were saved" in adopted.call("backup", tmp_path / "backup", "--check").stdout
    assert adopted.json_lines("verify") == []
    assert checksums(adopted) == before


def test_whoever_asks_for_an_array_is_told(adopted: Database) -> None:
    adopted.connect()
    with pytest.raises(
        UnpublishedArrayError, match=rf"running_speed of behavior.Running .*{FIRST}.* was not"
    ):
        (behavior.Running & {"session_id": FIRST}).fetch1("running_speed").load()
    with pytest.raises(UnpublishedArrayError, match="was not published in release-tables"):
        queries.spike_times(queries.units())
    with pytest.raises(UnpublishedArrayError, match="register its NWB file"):
        queries.presentation_counts(FIRST)
    failed = adopted.call("explain", "Running", f"session_id={FIRST}", check=False)
    assert "vbn relocate FILE" in failed.stdout + failed.stderr


@pytest.mark.slow
def test_sessions_of_ones_own_stand_beside(
    empty_database: Database, bare: Path, synthetic_files: list[Path], tmp_path: Path
) -> None:
    empty_database.call("adopt", bare, "--session", FIRST)
    assert session.Session.to_arrays("session_id").tolist() == [FIRST]
    empty_database.call("register", synthetic_files[1])
    empty_database.vbn("populate", "--table", "Stimulus", "--table", "Running", "--table", "ChangeDetection")
    assert len((behavior.Running & {"session_id": SECOND}).fetch1("running_speed").load())
    pictures = [row["warped"] for row in stimulus.Image.to_dicts() if row["warped"] is not None]
    brought = [image for image in pictures if not is_unpublished(image.path)]
    assert 0 < len(brought) < len(pictures)  # by the session of one's own
    assert all(image.load().size for image in brought)
    assert empty_database.json("gc", "--older-than", "0s")["files"] == {}
    done = empty_database.json("publish", tmp_path / "both", "--arrays")
    assert 0 < done["n_arrays"] < 100
    (kept,) = empty_database.json_lines("adopt", bare, "--session", FIRST)
    assert kept["status"] == "unchanged"
    refused = empty_database.call("adopt", bare, check=False)
    assert refused.returncode == 1
    assert f"Session {SECOND} is here with other content than in {bare}" in refused.stderr
    (known,) = empty_database.json_lines("register", synthetic_files[0])
    assert known["status"] == "updated"
    assert f"vbn delete --session {FIRST}" in known["message"]
    (known,) = empty_database.json_lines("register", synthetic_files[0])
    assert known["status"] == "unchanged"
    empty_database.call("delete", "--session", FIRST, "--reason", "arrays", "--yes")
    empty_database.call("register", synthetic_files[0])
    empty_database.vbn("populate", "--table", "Running")
    assert len((behavior.Running & {"session_id": FIRST}).fetch1("running_speed").load())
    assert not session.AdoptedSession()


@pytest.mark.slow
def test_with_arrays_a_kill_leaves_whole_sessions_and_the_rest_follows(
    empty_database: Database, populated_synthetic: Database, published_synthetic: Path
) -> None:
    with empty_database.start("adopt", published_synthetic) as process:
        while process.poll() is None and not session.AdoptedSession():
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    if len(session.AdoptedSession()) != 1:
        pytest.fail("it was not killed in the middle")
    deadline = time.monotonic() + 60
    while len(ecephys.Recording()) != 1 and time.monotonic() < deadline:
        time.sleep(0.1)  # the server notices late that nobody is there
    assert len(session.Session()) == len(psth.Psth & f"session_id = {FIRST}") / len(psth.Psth()) == 1
    told = empty_database.json_lines("adopt", published_synthetic)
    assert [each["status"] for each in told] == ["unchanged", "adopted"]
    empty_database.json("gc", "--older-than", "0s", "--max-share", "100", "--go")
    theirs, ours = checksums(populated_synthetic), checksums(empty_database)
    assert {name for name in theirs if theirs[name] != ours[name]} == NOT_PUBLISHED
    assert "0 entries made" in empty_database.call("populate").stdout


@pytest.mark.files
def test_what_contradicts_is_refused_in_words(empty_database: Database, bare: Path) -> None:
    from schemas.responses import ReliabilityParams
    from schemas.selection import UnitCriteria

    server, prefix = empty_database.server, empty_database.prefix

    def refusal(*arguments: object) -> str:
        refused = empty_database.call("adopt", bare, *arguments, check=False)
        assert refused.returncode == 1
        assert not session.Session()
        return refused.stderr

    session.Mouse.insert1({"mouse_id": "990001", "sex": "F", "genotype": "other", "driver_line": []})
    assert "Mouse 990001 is here with other content than in release-tables: " in refusal()
    session.Mouse.delete(prompt=False)
    table, name = f'"{prefix}responses"."{ReliabilityParams.table_name}"', ReliabilityParams.default_name()
    content, hashed = server.query(
        f"SELECT reliability_content, reliability_hash FROM {table} WHERE reliability_params = '{name}'"
    )[0]
    text = content if isinstance(content, str) else json.dumps(content)
    other = json.dumps(json.loads(text) | {"flash_set": "of another lab"})
    try:
        server.query(
            f"UPDATE {table} SET reliability_content = '{other}', reliability_hash = '{'0' * 64}' "
            f"WHERE reliability_params = '{name}'"
        )
        assert f"parameter set '{name}' of ReliabilityParams exists with other content" in refusal()
    finally:
        server.query(
            f"UPDATE {table} SET reliability_content = '{text}', reliability_hash = '{hashed}' "
            f"WHERE reliability_params = '{name}'"
        )
    assert "has no session 9000000003. Near to it: 9000000002" in refusal("--session", 9000000003)
    assert (
        "there is nothing to adopt"
        in empty_database.call("--published", bare, "adopt", bare, check=False).stderr
    )
    for name in ("#unit_criteria__criterion", "#unit_criteria"):
        server.query(f'DELETE FROM "{prefix}selection"."{name}" WHERE unit_criteria = \'quickstart\'')
    known = UnitCriteria.names()
    told = empty_database.json_lines("adopt", bare, "--dry-run")
    assert [each["status"] for each in told] == ["new", "new"]
    assert (len(session.Mouse()), UnitCriteria.names()) == (0, known)
    empty_database.call("adopt", bare)
    assert UnitCriteria.names() == sorted([*known, "quickstart"])
    assert len(UnitCriteria.Criterion & {"unit_criteria": "quickstart"}) == 3
    (psth.Psth & {"session_id": FIRST}).delete(prompt=False)
    told = empty_database.json_lines("adopt", bare, check=False)
    assert [each["status"] for each in told] == ["failed", "unchanged"]
    assert "has lost" in told[0]["message"]


@pytest.mark.files
def test_a_session_that_is_here_is_compared_and_stays(
    empty_database: Database, bare: Path, copy: Path
) -> None:
    empty_database.call("adopt", bare, "--session", FIRST)
    rewrite(
        copy, TRIALS, lambda table: with_column(table, "trial_start_time", pa.array(np.zeros(len(table))))
    )
    told = empty_database.json_lines("adopt", copy, check=False)
    assert [each["status"] for each in told] == ["failed", "adopted"]
    assert "(ChangeDetection.Trial)" in told[0]["message"]
    assert 0 not in (behavior.ChangeDetection.Trial & {"session_id": FIRST}).to_arrays("trial_start_time")


@pytest.mark.files
def test_ids_of_another_session_are_refused(empty_database: Database, bare: Path, copy: Path) -> None:
    empty_database.call("adopt", bare, "--session", FIRST)
    taken = min(ecephys.Recording.Unit.to_arrays("unit_id").tolist())

    def with_taken(table: pa.Table) -> pa.Table:
        ids = [
            taken if number == SECOND else unit
            for number, unit in zip(
                table["session_id"].to_pylist(), table["unit_id"].to_pylist(), strict=True
            )
        ]
        return with_column(table, "unit_id", pa.array(ids, pa.int64()))

    rewrite(copy, UNITS, with_taken)
    told = empty_database.json_lines("adopt", copy, check=False)
    assert f"session {SECOND} has ids that already belong to another session" in told[1]["message"]
    assert f"{taken}" in told[1]["message"]
    assert session.Session.to_arrays("session_id").tolist() == [FIRST]


TRIALS, UNITS = "tables/behavior/ChangeDetection.Trial.parquet", "tables/ecephys/Recording.Unit.parquet"
IMAGES = "tables/stimulus/Image.parquet"
SESSIONS, PROBES = "tables/session/Session.parquet", "tables/ecephys/Recording.Probe.parquet"


def with_all(name: str, value: Any, kind: pa.DataType | None = None) -> Callable[[pa.Table], pa.Table]:
    return lambda table: with_column(
        table, name, pa.array([value] * len(table), kind or table.schema.field(name).type)
    )


def with_note(**changes: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        notes = [json.dumps(json.loads(note) | changes) for note in table["probe_spike_times"].to_pylist()]
        return with_column(table, "probe_spike_times", pa.array(notes, pa.string()))

    return change


MICE, RELIABILITY = "tables/session/Mouse.parquet", "tables/responses/ReliabilityParams.parquet"
REFERENCE = json.dumps({"path": "../../secret", "store": "vbn", "dtype": "int8", "shape": [1]})
DAMAGE: dict[str, tuple[str, Callable[[pa.Table], pa.Table], str]] = {
    "an array elsewhere": (PROBES, with_note(path="../../secret.npy"), "no place below the folder"),
    "the array of another": (PROBES, with_note(path="a/x.npy"), "names the array of another row"),
    "an array that is not listed": (PROBES, with_note(sha256="0" * 64), "not listed in"),
    "a shape of texts": (PROBES, with_note(shape=["9" * 9]), "no shape"),
    "objects": (PROBES, with_note(dtype="object"), "no type of numbers"),
    "a file of the store": (MICE, with_all("driver_line", REFERENCE), "name a file in the array store"),
    "a number for a list": (MICE, with_all("driver_line", "5"), "5 is no list"),
    "NaN in JSON": (MICE, with_all("driver_line", "[NaN]"), "NaN is no value of JSON"),
    "deep JSON": (MICE, with_all("driver_line", "[" * 100_000), "driver_line"),
    "a number that is none": (TRIALS, with_all("trial_start_time", float("nan")), "not a finite number"),
    "nothing": (TRIALS, with_all("trial_start_time", None), "a value is required"),
    "an order to the server": (SESSIONS, with_all("project", "x' OR '1'='1"), "cannot be the name of a"),
    "a long text": (SESSIONS, with_all("session_type", "x" * 1000), "at most 128 characters"),
    "a mouse that is not there": (SESSIONS, with_all("mouse_id", "nobody"), "refuses its rows"),
    "another type": (TRIALS, with_all("trial_start_time", "0", pa.string()), "is of the type string"),
    "no parameters": (RELIABILITY, with_all("reliability_content", '{"x": 1}'), "no parameter 'x'"),
}  # fmt: skip


FOR_THE_WHOLE = (
    "an array that is not listed", "a file of the store", "a mouse that is not there", "no parameters",
    "an order to the server",
)  # fmt: skip


@pytest.mark.files
@pytest.mark.parametrize("name", FOR_THE_WHOLE)
def test_a_hostile_folder_leaves_nothing(name: str, shared_database: Database, copy: Path) -> None:
    file, change, words = DAMAGE[name]
    rewrite(copy, file, change)
    shared_database.connect()
    refused = shared_database.call("adopt", copy, check=False)
    assert refused.returncode == 1
    assert words in refused.stderr
    try:
        assert not session.Session()
    finally:
        session.Mouse.delete(prompt=False)


@pytest.mark.files
def test_a_value_that_no_table_has_is_refused(shared_database: Database, copy: Path) -> None:
    shared_database.connect()
    for name in DAMAGE.keys() - set(FOR_THE_WHOLE):
        file, change, words = DAMAGE[name]
        before = (copy / file).read_bytes()
        rewrite(copy, file, change)
        with pytest.raises(InvalidContentError, match=re.escape(words)):
            read_as_adopted(copy, file)
        (copy / file).write_bytes(before)


@pytest.mark.files
def test_rows_of_no_session_and_false_pictures_are_refused(
    empty_database: Database, published_synthetic: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(published_synthetic, tmp_path / "release-tables"))
    database = empty_database.connect()

    def refusal() -> str:
        with FolderTables.opened(folder) as tables, pytest.raises(InvalidContentError) as refused:
            Adoption(tables, database).enter_shared()
        return str(refused.value)

    rewrite(folder, IMAGES, with_all("image_sha256", "0" * 64))
    assert re.search(r"Image.parquet: It has a picture, im\d+\w*, under the hash of another", refusal())
    rewrite(folder, SESSIONS, lambda table: with_column(table, "session_id", pa.array([77, SECOND])))
    assert f"It has rows of session {FIRST}, which Session does not have" in refusal()
    refused = empty_database.call("adopt", "https://a.lab/release-tables", check=False)
    assert "is no folder of this machine" in refused.stderr
    assert not session.Mouse()


@pytest.mark.files
def test_arrays_of_who_was_faster_stay(
    empty_database: Database, bare: Path, synthetic_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"mouse_id": "990001", "session_id": FIRST}
    place = store_folder(empty_database.store, behavior.Running(), key) / "being-written.npy"

    def enter(*_: Any) -> None:
        empty_database.vbn("register", synthetic_files[0])
        place.parent.mkdir(parents=True)
        place.write_bytes(b"by a worker")
        raise ConflictError("The session is here.")

    monkeypatch.setattr(Adoption, "_enter", enter)
    (told,) = empty_database.json_lines("adopt", bare, "--session", FIRST, check=False)
    assert (told["status"], place.exists()) == ("failed", True)


def read_as_adopted(folder: Path, file: str) -> None:
    """Read all rows of a file as adopting does, and what they say of arrays."""
    published = PublishedFolder.read(folder)
    each = next(each for each in published_tables() if each.file == file)
    table = FolderTable(published, each, published_rows(published)[file])
    for rows in table.rows():
        split_rows(FolderTables(published, "", [table], []), table, rows)


@pytest.mark.files
def test_a_damaged_folder_is_refused_before_anything_is_entered(
    shared_database: Database, copy: Path
) -> None:
    shared_database.connect()
    (copy / UNITS).write_bytes(b"damaged")
    assert "It is not the file that" in shared_database.call("adopt", copy, check=False).stderr
    (copy / UNITS).unlink()
    (copy / UNITS).symlink_to("/etc/hostname")
    assert "a link to elsewhere" in shared_database.call("adopt", copy, check=False).stderr
    relist(copy)
    lines = (copy / "checksums.sha256").read_text().splitlines()
    (copy / "checksums.sha256").write_text("".join(f"{line}\n" for line in lines if UNITS not in line))
    assert "It has no table Recording.Unit" in shared_database.call("adopt", copy, check=False).stderr
    (copy / "checksums.sha256").unlink()
    assert "not to its end" in shared_database.call("adopt", copy, check=False).stderr
    assert not session.Session()
    assert not session.Mouse()
