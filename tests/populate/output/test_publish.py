"""``vbn publish``: files that everybody can open, the same bytes for the same rows, and nothing private."""

from __future__ import annotations

import csv
import getpass
import hashlib
import io
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

import schemas
from tests.fixtures.database import Database

FIRST, SECOND = 9000000001, 9000000002
TRIALS = "tables/behavior/ChangeDetection.Trial.parquet"
BEHAVIOR = ("--table", "ChangeDetection", "--table", "Licks", "--table", "Running")


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of each file, without what only vbn publish reads."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }


def read(folder: Path, name: str) -> pa.Table:
    return parquet.read_table(folder / name, partitioning=None)


@pytest.fixture(scope="module", autouse=True)
def _back_to_databases() -> Iterator[None]:
    """Let the next module's databases not be looked for in the published folder."""
    yield
    schemas.disconnect()


@pytest.fixture
def small(empty_database: Database, populated_synthetic: Database) -> Database:
    """Two sessions with their behavior only, in a database that a test may change."""
    empty_database.register_as(populated_synthetic)
    empty_database.vbn("populate", *BEHAVIOR)
    return empty_database


def test_the_same_rows_give_the_same_bytes(populated_synthetic: Database, tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    for folder in (first, again):
        assert len(populated_synthetic.json("publish", folder, "--arrays")["written"]) > 100
    assert contents(first) == contents(again)
    before = {path: path.stat().st_mtime_ns for path in again.rglob("*") if path.is_file()}
    done = populated_synthetic.json("publish", again, "--arrays")
    assert (done["written"], done["n_read"]) == ([], 0)
    assert {path: path.stat().st_mtime_ns for path in again.rglob("*") if path.is_file()} == before
    assert populated_synthetic.call("publish", again, "--check").returncode == 0


@pytest.mark.slow
def test_what_was_recomputed_is_read_again_and_nothing_else(small: Database, tmp_path: Path) -> None:
    folder, table = tmp_path / "tables", f'"{small.prefix}behavior"."_change_detection__trial"'
    small.call("publish", folder)
    computed = contents(folder)
    small.server.query(
        f"UPDATE {table} SET trial_start_time = trial_start_time - 1 WHERE session_id = {FIRST}"
    )
    done = small.json("publish", folder)
    n_trials = small.server.query(f"SELECT count(*) FROM {table} WHERE session_id = {FIRST}")[0][0]
    assert (done["written"], done["n_read"]) == (["ChangeDetection.Trial"], n_trials)
    wrong = contents(folder)
    assert wrong[TRIALS] != computed[TRIALS]
    small.call("publish", tmp_path / "fresh")
    assert contents(tmp_path / "fresh") == wrong
    _delete_behavior(small)
    small.vbn("populate", *BEHAVIOR)
    assert small.json("publish", folder)["written"] == ["ChangeDetection.Trial"]
    assert contents(folder) == computed


def _delete_behavior(small: Database) -> None:
    from schemas import behavior

    small.connect()
    (behavior.ChangeDetection & {"session_id": FIRST}).delete(prompt=False)


@pytest.mark.slow
def test_a_session_that_is_gone_or_new_changes_its_rows_only(small: Database, tmp_path: Path) -> None:
    from schemas import behavior

    folder = tmp_path / "tables"
    small.call("publish", folder, "--arrays")
    both = contents(folder)
    small.connect()
    (behavior.Running & {"session_id": SECOND}).delete(prompt=False)
    done = small.json("publish", folder, "--arrays")
    assert (done["written"], done["n_read"]) == (["Running"], 0)
    gone = {name for name in both if name.startswith("arrays/behavior/Running") and str(SECOND) in name}
    assert len(gone) >= 2
    assert set(contents(folder)) == set(both) - gone
    small.vbn("populate", *BEHAVIOR)
    small.call("publish", folder, "--arrays")
    assert contents(folder) == both


@pytest.mark.slow
@pytest.mark.files
def test_after_a_kill_what_is_whole_is_kept_and_the_rest_follows(
    populated_synthetic: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    states = folder / ".new" / ".state"
    with populated_synthetic.start("publish", folder, "--arrays", fork=False) as process:
        while process.poll() is None and len(list(states.rglob("[A-Z]*.json"))) < 10:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    noted = list(states.rglob("[A-Z]*.json"))
    if process.returncode != -signal.SIGKILL:
        pytest.fail("it was not killed in the middle")
    assert not (folder / "checksums.sha256").exists()
    refused = populated_synthetic.call("--published", folder, "sessions", check=False)
    assert "not to its end" in refused.stderr
    whole = {
        path: (folder / ".new" / path).stat().st_ino
        for path in (file.relative_to(states).with_suffix("") for file in noted)
    }
    done = populated_synthetic.json("publish", folder, "--arrays")
    assert len(done["written"]) == 156 - len(whole) < 147
    assert {path: (folder / path).stat().st_ino for path in whole} == whole
    undisturbed = tmp_path / "undisturbed"
    populated_synthetic.call("publish", undisturbed, "--arrays")
    assert contents(folder) == contents(undisturbed)


@pytest.mark.slow
@pytest.mark.files
def test_a_damaged_file_is_found_and_written_again(small: Database, tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    small.call("publish", folder)
    before = contents(folder)
    (folder / TRIALS).write_bytes(b"damaged")
    (folder / "tables/behavior/Licks.parquet").unlink()
    found = small.call("publish", folder, "--check", check=False)
    assert found.returncode == 1
    assert f"{TRIALS}: It is not the file" in found.stdout
    assert "Licks.parquet: It is missing" in found.stdout
    small.call("publish", folder)
    assert contents(folder) == before


@pytest.mark.files
def test_a_folder_with_something_else_is_refused(small: Database, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    refused = small.call("publish", folder, check=False)
    assert (refused.returncode, (folder / "thesis.txt").read_text()) == (1, "mine")
    assert "thesis.txt" in refused.stderr
    (folder / "thesis.txt").unlink()
    small.call("publish", folder)
    (folder / "tables" / "notes.txt").write_text("mine")
    refused = small.call("publish", folder, check=False)
    assert "tables/notes.txt" in refused.stderr
    assert small.call("publish", small.store / "x", check=False).returncode == 1
    assert (
        "private module" in small.call("publish", tmp_path / "x", "--include", "curatio", check=False).stderr
    )


@pytest.mark.files
def test_what_others_keep_in_the_folder_is_never_removed(
    small: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted publication has no list of files; what lies there is refused, and left where it is."""
    from populate.output.publish.folder import PublishFolder

    folder = tmp_path / "tables"
    small.call("publish", folder)
    PublishFolder(folder).open_for_change()  # as a kill in the middle leaves it
    mine = {"notes.txt", ".git/HEAD", "movie.part", "tables/.own.part", ".cache.part.json"}
    for name in mine:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    (folder / ".git/refs").mkdir()
    (folder / "link").symlink_to(tmp_path)
    for _ in range(2):
        refused = small.call("publish", folder, check=False)
        assert "holds files that vbn publish has not written (.cache.part.json, .git/HEAD, link, ...)" in (
            refused.stderr
        )
        with PublishFolder(folder).used():
            PublishFolder(folder).keep_only(set())
        assert mine == {name for name in mine if (folder / name).read_text() == "mine"}
        assert (folder / ".git/refs").is_dir()
    assert set(contents(folder)) <= mine


@pytest.mark.slow
@pytest.mark.files
def test_what_others_put_there_meanwhile_is_neither_replaced_nor_removed(
    small: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from populate.output.publish import publication

    folder, write = tmp_path / "tables", publication.write_parquet

    def and_others(*arguments: Any) -> None:
        write(*arguments)
        (folder / "README.md").write_text("mine")
        (folder / "tables").mkdir(exist_ok=True)
        (folder / "tables/notes.txt").write_text("mine")

    with monkeypatch.context() as patch:
        patch.setattr(publication, "write_parquet", and_others)
        refused = small.call("publish", folder, check=False)
    assert "holds files that vbn publish has not written (README.md)" in refused.stderr
    (folder / "README.md").unlink()
    assert "(tables/notes.txt)" in small.call("publish", folder, check=False).stderr
    assert (folder / "tables/notes.txt").read_text() == "mine"
    (folder / "tables/notes.txt").unlink()
    small.call("publish", folder)
    small.call("publish", tmp_path / "fresh")
    assert contents(folder) == contents(tmp_path / "fresh")


def test_parts_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    from populate.output.publish.folder import PublishFolder

    folder = PublishFolder(tmp_path)
    with folder.used():
        folder.put("README.md", "text")
    part = tmp_path / f".README.{'0' * 32}.part.md"
    other = tmp_path / f".thesis.{'0' * 32}.part.md"
    for path in (part, other):
        path.write_text("half")
    assert folder.others() == {other.name}
    with folder.used():
        assert (part.exists(), other.exists()) == (False, True)


@pytest.mark.slow
@pytest.mark.files
def test_damaged_arrays_are_copied_again_and_never_dropped_in_silence(
    small: Database, tmp_path: Path
) -> None:
    import os

    folder = tmp_path / "tables"
    small.call("publish", folder, "--arrays")
    before = contents(folder)
    names = sorted(name for name in before if name.startswith("arrays/") and name.endswith(".npy"))
    changed, rotten, gone = (folder / name for name in names[:3])
    for path in (changed, rotten):
        times = path.stat().st_mtime_ns
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(times, times + (path == changed)))
    gone.unlink()
    found = small.call("publish", folder, "--check", check=False).stdout
    assert all(path.relative_to(folder).as_posix() in found for path in (changed, rotten, gone))
    small.call("publish", folder, "--arrays")
    assert contents(folder) == before
    assert small.json("publish", folder, "--arrays")["written"] == []
    refused = small.call("publish", folder, check=False)
    assert "published with its arrays, which publishing without them would remove" in refused.stderr
    assert contents(folder) == before


def test_nothing_private_is_published(
    populated_synthetic: Database, published_synthetic: Path, synthetic_sessions: Path
) -> None:
    private = {str(synthetic_sessions), str(populated_synthetic.store), str(Path.home())}
    private |= {populated_synthetic.prefix, populated_synthetic.folder.name, "_schema"}
    host = re.compile(rf"(?<!\w){re.escape(platform.node())}(?!\w)")  # it may be short, such as vm in svm
    if getpass.getuser() != "root":  # which is a word of the field, too
        private.add(getpass.getuser())
    texts = {
        name: (published_synthetic / name).read_text() for name in ("manifest.json", "README.md", "views.sql")
    }
    files = list(published_synthetic.rglob("*.parquet"))
    for path in files:
        table = parquet.read_table(path, partitioning=None)
        texts[path.name] = repr(table.to_pydict()) + repr(table.schema)
        assert not {"root", "registered_by", "registered_at", "modified_ns"} & set(table.column_names)
    assert len(files) == 158
    found = {(name, word) for name, text in texts.items() for word in private if word in text}
    found |= {(name, "host") for name, text in texts.items() if host.search(text)}
    assert found == set()
    assert read(published_synthetic, "tables/session/NwbFile.parquet")["relative_path"].to_pylist() == [
        f"ecephys_session_{number}.nwb" for number in (FIRST, SECOND)
    ]
    assert not any("administration" in name for name in contents(published_synthetic))


def test_columns_have_types_units_and_meanings(published_synthetic: Path) -> None:
    psth = read(published_synthetic, "tables/psth/Psth.Unit.parquet").schema
    rate = psth.field("psth_rate")
    assert pa.types.is_list(rate.type)  # windows differ
    assert rate.metadata[b"unit"] == b"Hz"
    waveform = read(published_synthetic, "tables/behavior/RigGeometry.parquet").schema
    assert waveform.metadata[b"meaning"]
    image = read(published_synthetic, "tables/responses/ReceptiveField.Unit.parquet").schema.field("rf_map")
    assert str(image.type).count("list") == 2
    with (published_synthetic / "dictionary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row for row in rows if not row["meaning"]] == []
    trial = {row["column"]: row for row in rows if row["table"] == "ChangeDetection.Trial"}
    assert trial["session_id"]["key"] == "true"
    assert trial["session_id"]["refers_to"] == "ChangeDetection.session_id"


@pytest.mark.parametrize("lengths", [(3, 3), (3, 4), (3, None), (0, 0)])
def test_curves_of_one_length_are_lists_of_that_length(lengths: tuple[int | None, int | None]) -> None:
    from populate.output.publish.rows import list_array
    from schemas.bases.publication import list_of
    from schemas.rows.copy_text import curve_texts

    arrays = [None if n is None else np.arange(n, dtype=np.float32) for n in lengths]
    found = list_array(arrays, list_of(pa.float32()))
    assert found.to_pylist() == [None if each is None else each.tolist() for each in arrays]
    texts = curve_texts(found).to_pylist()
    if lengths == (3, 3):
        fixed = list_array(arrays, list_of(pa.float32(), 3))
        assert curve_texts(fixed).to_pylist() == texts
        with pytest.raises(ValueError, match="not of 3"):
            list_array([np.zeros(4, np.float32)], list_of(pa.float32(), 3))
    from datajoint.blob import unpack

    for array, text in zip(arrays, texts, strict=True):
        if array is not None:
            np.testing.assert_array_equal(unpack(bytes.fromhex(text.removeprefix("\\\\x"))), array)


def test_row_groups_hold_whole_sessions_or_one_that_is_large(tmp_path: Path) -> None:
    from populate.output.publish import parquet_files
    from schemas.bases.publication import rows_per_group

    layout = pa.schema([("session_id", pa.int64()), ("x", pa.float64())])
    limit = rows_per_group(layout)
    sizes = {1: 10, 2: 20, 3: limit - 5, 4: limit + 7, 5: 3}
    tables = [
        pa.table({"session_id": pa.array([key] * n), "x": pa.array(np.zeros(n))}, schema=layout)
        for key, n in sizes.items()
    ]
    path = tmp_path / "x.parquet"
    parquet_files.write_parquet(path, layout, tables)
    about = parquet.ParquetFile(path).metadata
    groups = [about.row_group(number).num_rows for number in range(about.num_row_groups)]
    assert groups == [30, limit - 5, limit, 7, 3]
    former = parquet_files.FormerRows(path, sizes)
    for key, table in zip(sizes, tables, strict=True):
        assert former.of(key).equals(table)
    former.close()


@pytest.mark.files
def test_arrays_are_published_on_request_and_named_in_any_case(small: Database, tmp_path: Path) -> None:
    from schemas import behavior

    plain, full = tmp_path / "plain", tmp_path / "full"
    small.call("publish", plain)
    small.call("publish", full, "--arrays")
    assert not (plain / "arrays").exists()
    small.connect()
    row = (behavior.Running & {"session_id": FIRST}).fetch1()
    name = next(key for key, value in row.items() if hasattr(value, "load"))
    notes = {
        folder: json.loads(read(folder, "tables/behavior/Running.parquet")[name][0].as_py())
        for folder in (plain, full)
    }
    assert notes[plain] == {key: value for key, value in notes[full].items() if key != "sha256"}
    assert notes[full]["shape"] == list(row[name].shape)
    path = full / "arrays" / notes[full]["path"]
    np.testing.assert_array_equal(np.load(path), row[name].load())
    assert hashlib.sha256(path.read_bytes()).hexdigest() == notes[full]["sha256"]
    with (full / "arrays/manifest.csv").open() as file:
        listed = {each["path"]: each["sha256"] for each in csv.DictReader(file)}
    assert listed[notes[full]["path"]] == notes[full]["sha256"]
    small.call("publish", plain, "--arrays")
    assert contents(plain) == contents(full)


@pytest.mark.slow
@pytest.mark.files
def test_what_begins_like_a_formula_is_data(small: Database, tmp_path: Path) -> None:
    table = f'"{small.prefix}session"."mouse"'
    text = '=cmd|"/c calc"!A1\t\\N\n'
    before = small.server.query(f"SELECT genotype FROM {table}")[0][0]
    small.server.query(f"UPDATE {table} SET genotype = %s", text)
    try:
        small.call("publish", tmp_path / "x")
        assert read(tmp_path / "x", "tables/session/Mouse.parquet")["genotype"].to_pylist() == [text]
        found = small.vbn(
            "--published", tmp_path / "x", "export", "Mouse", "--out", tmp_path / "mouse.parquet"
        )
        assert found.returncode == 0
        assert parquet.read_table(tmp_path / "mouse.parquet")["genotype"].to_pylist() == [text]
    finally:
        small.server.query(f"UPDATE {table} SET genotype = %s", before)


def test_views_have_all_rows_and_comments(published_synthetic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(published_synthetic)
    database = duckdb.connect()
    database.execute(Path("views.sql").read_text())
    manifest = json.loads(Path("manifest.json").read_text())
    for table in manifest["tables"]:
        view = f"{table['module']}.{table['name'].replace('.', '_')}"
        assert database.sql(f"SELECT count(*) FROM {view}").fetchall() == [(table["rows"],)], view
    comments = dict(database.sql(
        "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'Recording_Unit'"
    ).fetchall())  # fmt: skip
    assert comments["snr"] == "(1) signal to noise ratio of the waveform"
    assert database.sql("SELECT count(*) FROM units").fetchall() == [(32,)]


def test_parameter_sets_and_provenance_are_tables(published_synthetic: Path) -> None:
    entries = read(published_synthetic, "tables/provenance/Entry.parquet").to_pylist()
    psth = [row for row in entries if row["table_name"] == "Psth"]
    assert {json.loads(row["entry"])["session_id"] for row in psth} == {FIRST, SECOND}
    assert all(len(row["params_hash"]) == 64 and row["source_hash"] for row in psth)
    sets = read(published_synthetic, "tables/provenance/ParameterSet.parquet").to_pylist()
    named = {(row["table_name"], row["set_name"]): row for row in sets}
    alignment = named["Alignment", "change_active"]
    assert json.loads(alignment["content"])["event"] == "change"
    assert ("UnitCriteria", "bennett_2025") in named


@pytest.mark.files
def test_the_descriptor_is_whole(published_synthetic: Path) -> None:
    content = json.loads((published_synthetic / "croissant.json").read_text())
    assert content["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    for name in ("name", "description", "license", "url", "creator", "version", "citeAs"):
        assert content[name]
    files = {each["@id"]: each["sha256"] for each in content["distribution"]}
    assert {name: contents(published_synthetic)[name] for name in files} == files
    fields = {field["@id"] for each in content["recordSet"] for field in each["field"]}
    for each in content["recordSet"]:
        assert {key["@id"] for key in each["key"]} <= fields
        for field in each["field"]:
            assert field["source"]["fileObject"]["@id"] in files
            if "references" in field:
                assert field["references"]["field"]["@id"] in fields


def snippets(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def run(words: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.files
def test_the_ten_lines_of_the_readme_run(
    published_synthetic: Path, populated_synthetic: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (published_synthetic / "README.md").read_text()
    python = snippets(text, "python")
    assert len(python) == 4
    for code in python:
        assert len(code.strip().splitlines()) <= 12
        program = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n{code}"
        environment = {**populated_synthetic.environment, "DJ_LOG_LEVEL": "CRITICAL"}
        assert len(run([sys.executable, "-c", program], published_synthetic, environment)) > 100
    monkeypatch.chdir(published_synthetic)
    database = duckdb.connect()
    database.execute(Path("views.sql").read_text())
    (statement,) = snippets(text, "sql")
    assert [row[0] for row in database.sql(statement).fetchall()] == [FIRST, SECOND]


def r_packages(*wanted: str) -> list[str]:
    """Return those of some packages that R has here; none where there is no R."""
    if shutil.which("Rscript") is None:
        return []
    found = f"cat(Filter(function(name) nzchar(system.file(package = name)), c{wanted!r}))"
    return subprocess.run(
        ["Rscript", "-e", found], capture_output=True, text=True, check=True, timeout=300
    ).stdout.split()


@pytest.mark.slow
@pytest.mark.files
def test_the_lines_in_r_run(published_synthetic: Path, populated_synthetic: Database) -> None:
    there = r_packages("arrow", "nanoparquet", "dplyr")
    if "dplyr" not in there or len(there) < 2:
        pytest.skip("there is no R with dplyr and arrow or nanoparquet")
    (code,) = snippets((published_synthetic / "README.md").read_text(), "r")
    assert len(code.strip().splitlines()) <= 12
    code = code if "arrow" in there else code.replace("library(arrow)", "library(nanoparquet)")
    code = f"found <- {{\n{code}}}\nwrite.csv(found, stdout(), row.names = FALSE)"
    printed = run(["Rscript", "-e", code], published_synthetic, {**os.environ})
    found = pd.read_csv(io.StringIO(printed[printed.index('"session_id"') :]))
    trials = pd.read_parquet(published_synthetic / TRIALS)
    expected = trials.groupby("session_id").agg(
        n=("hit", "size"), hits=("hit", "sum"), misses=("miss", "sum")
    )
    assert len(expected) == 2
    pd.testing.assert_frame_equal(found, expected.reset_index(), check_dtype=False)


@pytest.mark.files
def test_a_full_disk_is_named(
    small: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from populate.output.publish import publication

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publication, "write_parquet", full)
    refused = small.call("publish", tmp_path / "x", check=False)
    assert "No space left on device" in refused.stderr
    assert "run the same command again" in refused.stderr
