"""A published folder in place of a database: the same answers, nothing written, damage refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr
from pyarrow import parquet

import schemas
from schemas import behavior, ecephys, figures, queries, session
from schemas.deploy.published import loaded_files, owner_connection, rows_at_a_time
from schemas.rows.fetch import fetch_frame
from schemas.server import published
from schemas.server.access import RefusedError
from schemas.server.datajoint import dj
from tests.fixtures.database import Database
from vbn.errors import (
    AbsentArrayError,
    ConflictError,
    InvalidContentError,
    NotFoundError,
    ServerError,
    SettingError,
)

FIRST, SECOND = 9000000001, 9000000002


def rows(query: Any) -> pd.DataFrame:
    return fetch_frame(query)


def good() -> Any:
    return queries.units(where="snr > 1")


def why_not(question: Callable[[], Any]) -> str:
    """Return why a question has no answer: mice of these short sessions hardly lick."""
    with pytest.raises(NotFoundError) as caught:
        question()
    return str(caught.value)


SHARED: dict[str, Callable[[], Any]] = {
    "area_connectivity": queries.area_connectivity,
    "cell_classes": lambda: rows(queries.cell_classes()),
    "changes": lambda: rows(queries.changes()),
    "columns": lambda: queries.columns("snr"),
    "connectivity": queries.connectivity,
    "contrast": lambda: queries.contrast(queries.units(), "snr", min_units=1, n_resamples=100),
    "correlations": queries.correlations,
    "count_units": lambda: queries.count_units(good(), ["structure_acronym"]),
    "decoding_courses": lambda: queries.decoding_courses(["VISp"]),
    "decoding_table": lambda: queries.decoding_table(["VISp"]),
    "encoding_dropouts": lambda: queries.encoding_dropouts(good()),
    "encoding_kernels": lambda: queries.encoding_kernels(good().keys(order_by="unit_id", limit=1)[0]),
    "encoding_table": lambda: queries.encoding_table(good()),
    "familiar_novel_pairs": lambda: rows(queries.familiar_novel_pairs()),
    "flash_table": lambda: queries.flash_table(FIRST),
    "flashes": lambda: rows(queries.flashes(SECOND)),
    "full_field_flashes": lambda: rows(queries.full_field_flashes()),
    "gabors": lambda: rows(queries.gabors()),
    "images": lambda: rows(queries.images()),
    "layer4_sinks": queries.layer4_sinks,
    "noise_correlation": lambda: queries.noise_correlation(FIRST, criteria="quickstart"),
    "novelty": lambda: queries.novelty(criteria="all", min_units=1, n_resamples=100),
    "omissions": lambda: rows(queries.omissions()),
    "presentation_counts": lambda: queries.presentation_counts(FIRST),
    "psth_matrix": lambda: queries.psth_matrix(good()),
    "psth_matrix of flashes": lambda: queries.psth_matrix(queries.units(), "omission_active"),
    "responses_table": lambda: queries.responses_table(good()),
    "session_intervals": lambda: queries.session_intervals(FIRST),
    "sessions": lambda: rows(queries.sessions()),
    "spike_tensor": lambda: queries.spike_tensor(good() & {"session_id": FIRST}, queries.changes(FIRST)),
    "spike_times": lambda: queries.spike_times(good()),
    "strategy_table": queries.strategy_table,
    "strategy_weights": lambda: why_not(lambda: queries.strategy_weights(FIRST)),
    "to_arrow": lambda: queries.to_arrow(good()).to_pandas(),
    "to_intervals": lambda: queries.to_intervals(queries.flashes(FIRST)).as_dataframe(),
    "to_polars": lambda: queries.to_polars(good()).to_pandas(),
    "to_pynapple": lambda: {
        key: each.t for key, each in queries.to_pynapple(good() & {"session_id": FIRST}).items()
    },
    "trial_decoding_table": lambda: queries.trial_decoding_table(["VISp"]),
    "trial_table": queries.trial_table,
    "unit_layers": lambda: queries.unit_layers(good()),
    "unit_table": lambda: queries.unit_table(good()),
    "units": lambda: rows(queries.units(criteria="quickstart")),
    "with_results": lambda: queries.with_results(rows(good()), good(), ["change_rate_active"]),
    "figure change_hierarchy": figures.change_hierarchy,
    "figure change_response": lambda: figures.change_response(FIRST, "VISpm"),
    "figure laser_evidence": lambda: figures.laser_evidence(FIRST),
    "figure session_behavior": lambda: figures.session_behavior(FIRST),
    "figure session_overview": lambda: figures.session_overview(FIRST),
    "figure session_probes": lambda: figures.session_probes(FIRST),
    "figure training_history": lambda: figures.training_history("990001"),
    "figure unit_card": lambda: figures.unit_card(int(min(ecephys.Recording.Unit.to_arrays("unit_id")))),
}
NO_TABLES = {  # what asks no table, or takes other arguments than a question
    "REQUIREMENTS", "RESPONSES", "EarlierMethodWarning", "IncompleteWarning", "lab_queries", "lab_query",
    "add_notes", "list_kind", "list_members", "lists", "notes", "open_matrix", "remove_list", "rename_list",
    "restrict", "save_list", "save_matrix", "to_spikeinterface", "withdraw_note",
}  # fmt: skip


def plain(value: Any) -> Any:
    """Return an answer in a form that ``==`` compares, NaN with NaN."""
    if isinstance(value, pd.DataFrame):
        return {str(name): plain(column.to_list()) for name, column in value.items()} | {
            "": plain(value.index.to_list())
        }
    if isinstance(value, xr.DataArray):
        return {name: plain(each.values) for name, each in value.coords.items()} | {"": plain(value.values)}
    if isinstance(value, pd.Series):
        return plain(value.to_frame("series"))
    if isinstance(value, np.ndarray):
        return (value.shape, str(value.dtype), plain(value.ravel().tolist()))
    if dataclasses.is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return repr(value)


def answer(ask: Callable[[], Any]) -> Any:
    """Return an answer, or what is said where there is none: that must be the same, too."""
    try:
        return plain(ask())
    except Exception as error:  # noqa: BLE001 - compared
        return f"{type(error).__name__}: {error}"


@pytest.fixture(scope="module", autouse=True)
def _back_to_databases() -> Iterator[None]:
    """Let the next module's databases not be looked for in the published folder."""
    yield
    schemas.disconnect()


@pytest.fixture
def opened(published_synthetic: Path, populated_synthetic: Database) -> Iterator[Any]:
    populated_synthetic.connect()
    yield schemas.open(published_synthetic)
    schemas.disconnect()


def empty_tables(patch: pytest.MonkeyPatch) -> None:
    """Let folders be loaded under one prefix, whose tables are created once and emptied here."""
    from schemas.bases.publication import published_tables
    from schemas.deploy import published
    from schemas.server.published import ACCOUNT, PublishedFolder

    patch.setattr(PublishedFolder, "prefix", "pub_copy_")
    with published.owner_connection() as connection, connection.cursor() as cursor:
        if published._is_prepared(connection, "pub_copy_"):
            cursor.execute("SELECT name FROM pub_copy_loaded.file")
            loaded = {str(name) for (name,) in cursor.fetchall()}
            for each in published_tables(("curation",)):
                if each.file in loaded:
                    place = f'"pub_copy_{each.module}"."{each.table.table_name}"'
                    cursor.execute(f"REVOKE SELECT ON {place} FROM {ACCOUNT}")
            cursor.execute(
                "SELECT string_agg(quote_ident(table_schema) || '.' || quote_ident(table_name), ', ') FROM "
                "information_schema.tables WHERE table_schema LIKE 'pub_copy_%' AND table_schema NOT LIKE "
                "'%administration' AND table_name <> '~lineage' AND table_type = 'BASE TABLE'"
            )
            cursor.execute(f"TRUNCATE {cursor.fetchone()[0]} CASCADE")


@pytest.fixture
def copy(
    published_synthetic: Path, populated_synthetic: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A copy of the folder for a test to damage; its tables are created once, and emptied for each test."""
    populated_synthetic.connect()
    empty_tables(monkeypatch)
    yield Path(shutil.copytree(published_synthetic, tmp_path / "copy"))
    schemas.disconnect()


def test_every_shared_query_and_figure_has_the_same_answer(
    published_synthetic: Path, populated_synthetic: Database
) -> None:
    names = {name.split(" ")[0] for name in SHARED}
    assert set(queries.__all__) - names == NO_TABLES
    populated_synthetic.connect()
    expected = {name: answer(ask) for name, ask in SHARED.items()}
    schemas.open(published_synthetic)
    found = {name: answer(ask) for name, ask in SHARED.items()}
    schemas.disconnect()
    assert [name for name in SHARED if found[name] != expected[name]] == []
    refused = {name: text for name, text in expected.items() if isinstance(text, str)}
    # Of a small world without layers, with too few changes to decode, and too few bouts for strategies, and
    # without what is computed on request only.
    assert len(refused) <= 9, refused
    assert not any(text.startswith(("TypeError", "AttributeError")) for text in refused.values()), refused


def test_every_row_and_array_is_as_it_was(published_synthetic: Path, populated_synthetic: Database) -> None:
    from populate.admin.checksums import table_checksums

    expected = table_checksums(volatile=False, database=populated_synthetic.connect())
    found = table_checksums(volatile=False, database=schemas.open(published_synthetic))
    schemas.disconnect()
    assert len(found) > 100
    assert {name for name in found if found[name] != expected[name]} == {"session.nwb_file"}  # its place


def test_the_command_line_answers_as_from_the_database(
    published_synthetic: Path, populated_synthetic: Database
) -> None:
    words = ("query", "units", "--criteria", "quickstart", "--json")
    expected = populated_synthetic.vbn(*words).stdout
    assert len(expected) > 100
    assert populated_synthetic.vbn("--published", published_synthetic, *words).stdout == expected
    environment = {"VBN_PUBLISHED": str(published_synthetic)}
    assert populated_synthetic.vbn(*words, env=environment).stdout == expected


def test_nothing_can_be_written(opened: Any, populated_synthetic: Database) -> None:
    with pytest.raises(RefusedError, match="published folder, which can only be read"):
        session.Mouse.insert1({"mouse_id": "1", "genotype": "wt/wt", "driver_line": []})
    with pytest.raises(RefusedError, match="published folder"):
        opened.connection.query(f'TRUNCATE "{opened.prefix}session"."session" CASCADE')
    with pytest.raises(SettingError, match="published folder"):
        schemas.connect(create=True)
    for words in (("register", "."), ("populate",), ("delete", "--session", FIRST, "--go"), ("deploy",)):
        ended = populated_synthetic.vbn("--published", opened.published.folder, *words, check=False)
        assert ended.returncode == 1, words
        assert "published folder" in ended.stderr, words
        assert "bug" not in ended.stderr, words
    assert len(session.Session()) == 2


def test_the_database_is_there_again_afterwards(
    published_synthetic: Path, populated_synthetic: Database
) -> None:
    before = populated_synthetic.connect()
    opened = schemas.open(published_synthetic)
    assert opened.prefix != before.prefix
    assert str(published_synthetic) in str(opened)
    schemas.disconnect()
    after = populated_synthetic.connect()
    assert (after.prefix, after.backend, after.published) == (before.prefix, before.backend, None)
    assert after.store.folder == populated_synthetic.store


def test_a_setting_made_after_disconnecting_is_that_of_the_next_database(
    opened: Any, populated_synthetic: Database, tmp_path: Path
) -> None:
    schemas.disconnect()
    other = {"protocol": "file", "location": str(tmp_path / "other")}
    dj.config.stores["vbn"] = other
    connected = schemas.connect(populated_synthetic.prefix)
    assert connected.store.folder == tmp_path / "other"
    assert dj.config.stores["vbn"]["location"] == other["location"]


@pytest.mark.files
def test_a_large_table_is_loaded_when_it_is_asked_for(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from schemas.deploy import published, waiting
    from schemas.server.published import PublishedFolder

    monkeypatch.setattr(waiting, "LOADED_AT_ONCE", 0)
    database = schemas.open(copy)
    marks = f'"{database.prefix}loaded"'
    loaded = f"SELECT name FROM {marks}.file UNION SELECT file FROM {marks}.row_group"

    def names() -> set[str]:
        with published.owner_connection() as connection, connection.cursor() as cursor:
            cursor.execute(loaded)
            return {name for (name,) in cursor.fetchall()}

    assert names() == set()
    assert len(session.Mouse()) == 1
    assert names() == {"tables/session/Mouse.parquet"}
    trials = fetch_frame(behavior.ChangeDetection.Trial())
    assert len(trials) == 4
    assert "tables/behavior/ChangeDetection.Trial.parquet" in names()
    removed = published.forget_loaded(PublishedFolder.read(copy))
    assert f"{database.prefix}session" in removed


@pytest.mark.files
def test_tables_of_few_long_rows_wait_as_well(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of `FlashBehavior` is a megabyte."""
    from schemas.deploy import waiting

    sizes = {
        path.relative_to(copy).as_posix(): path.stat().st_size
        for path in (copy / "tables").rglob("*.parquet")
    }
    bound = sizes[PROBES]
    monkeypatch.setattr(waiting, "LOADED_BYTES", bound)
    schemas.open(copy)
    with owner_connection() as connection:
        loaded = loaded_files(connection, published.PublishedFolder.read(copy).prefix)
    assert len(loaded) > 50
    assert all(sizes[name] < bound for name in loaded)
    assert len(ecephys.Recording.Probe()) > 0


def test_rows_with_long_curves_are_loaded_a_few_at_a_time(tmp_path: Path) -> None:
    for n_numbers, expected in ((1, 20_000), (2**20, 3), (2**23, 1)):
        curves = pa.array([np.arange(n_numbers, dtype=np.float32)] * 4)
        parquet.write_table(pa.table({"curve": curves}), tmp_path / "a.parquet", use_dictionary=False)
        assert rows_at_a_time(parquet.read_metadata(tmp_path / "a.parquet")) == expected


def relist(folder: Path, *names: str) -> Path:
    """Write the list of checksums as who damages a folder on purpose would; hashes of parts are left out."""
    path = folder / "checksums.sha256"
    lines = dict(line.split("  ")[::-1] for line in path.read_text().splitlines())
    lines = {
        name: digest for name, digest in lines.items() if name not in map(published.chunk_list_of, names)
    }
    lines |= {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    path.write_text("".join(f"{digest}  {name}\n" for name, digest in lines.items()))
    return path


def relink(path: Path) -> Path:
    path.unlink()
    path.symlink_to("/etc/hostname")
    return path


def append(folder: Path, line: str) -> None:
    with (folder / "checksums.sha256").open("a") as file:
        file.write(line)


def rewrite(folder: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    parquet.write_table(change(parquet.read_table(folder / name, partitioning=None)), folder / name)
    relist(folder, name)


TRIALS, PROBES = "tables/behavior/ChangeDetection.Trial.parquet", "tables/ecephys/Recording.Probe.parquet"


def with_note(**changes: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        notes = [json.dumps(json.loads(note) | changes) for note in table["probe_spike_times"].to_pylist()]
        place = table.column_names.index("probe_spike_times")
        return table.set_column(place, "probe_spike_times", pa.array(notes, pa.string()))

    return change


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def with_broken_note(note: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: with_column(
        table, "probe_spike_times", pa.array([note] * table.num_rows, pa.string())
    )


def with_no_text(table: pa.Table) -> pa.Table:
    broken = pa.array([b"\xff\xfe"] * table.num_rows, pa.binary())
    return with_column(table, "probe_name", pa.Array.from_buffers(
        pa.string(), len(broken), broken.buffers()
    ))  # fmt: skip


def retyped_curves(kind: pa.DataType, value: Any) -> Callable[[pa.Table], pa.Table]:
    return lambda table: with_column(table, "psth_rate", pa.array([value] * table.num_rows, kind))


def with_many_rows(folder: Path) -> None:
    """A file of kilobytes with a row group of many rows, as the manifest says, too."""
    table = parquet.read_table(folder / TRIALS, partitioning=None)
    rows = pa.concat_tables([table.slice(0, 1)] * 200_000).combine_chunks()
    parquet.write_table(rows, folder / TRIALS, row_group_size=len(rows), compression="zstd")
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for each in manifest["tables"]:
        each["rows"] = len(rows) if each["file"] == TRIALS else each["rows"]
    path.write_text(json.dumps(manifest))
    relist(folder, TRIALS, "manifest.json")


def with_rows(folder: Path, number: str) -> None:
    path = folder / "manifest.json"
    path.write_text(re.sub(r'"rows": \d+', f'"rows": {number}', path.read_text()))
    relist(folder, "manifest.json")


def with_broken_page(folder: Path) -> None:
    content = bytearray((folder / TRIALS).read_bytes())
    content[4:200] = b"\0" * 196
    (folder / TRIALS).write_bytes(content)
    relist(folder, TRIALS)


def long_text(table: pa.Table) -> pa.Table:
    return with_column(table, "probe_name", pa.array(["x" * 2**21] * table.num_rows))


def put_in_place_of_the_list(folder: Path, make: Callable[[Path], Any]) -> None:
    (folder / "checksums.sha256").unlink()
    make(folder / "checksums.sha256")


def renamed(table: pa.Table) -> pa.Table:
    return table.rename_columns(["other", *table.column_names[1:]])


def retyped(table: pa.Table) -> pa.Table:
    place = table.column_names.index("session_id")
    return table.set_column(place, "session_id", table["session_id"].cast(pa.string()))


def twice(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, 1), table.slice(0, table.num_rows - 1)])


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a file that was changed": (lambda folder: (folder / TRIALS).write_bytes(b"PAR1"), "it was changed"),
    "a file that is gone": (lambda folder: (folder / TRIALS).unlink(), "It is missing"),
    "a manifest that was changed": (
        lambda folder: (folder / "manifest.json").write_text("{}"),
        "was changed",
    ),
    "no manifest": (
        lambda folder: ((folder / "manifest.json").write_text("[]"), relist(folder, "manifest.json")),
        "no manifest of vbn publish",
    ),
    "deep nesting": (
        lambda folder: (
            (folder / "manifest.json").write_text("[" * 200_000),
            relist(folder, "manifest.json"),
        ),
        "no manifest of vbn publish",
    ),
    "no Parquet": (
        lambda folder: ((folder / TRIALS).write_bytes(b"PAR1 no PAR1"), relist(folder, TRIALS)),
        "cannot be read as Parquet",
    ),
    "another column": (lambda folder: rewrite(folder, TRIALS, renamed), "lacks mouse_id"),
    "another type": (lambda folder: rewrite(folder, TRIALS, retyped), "session_id is of the type string"),
    "fewer rows": (lambda folder: rewrite(folder, TRIALS, lambda table: table.slice(1)), "rows, not"),
    "a row twice": (lambda folder: rewrite(folder, TRIALS, twice), "cannot hold its rows"),
    "an array elsewhere": (
        lambda folder: rewrite(folder, PROBES, with_note(path="../../etc/passwd.npy")),
        "no place below",
    ),
    "an array of objects": (lambda folder: rewrite(folder, PROBES, with_note(dtype="O")), "of numbers"),
    "a negative shape": (lambda folder: rewrite(folder, PROBES, with_note(shape=[-1])), "of numbers"),
    "a path out of the folder": (
        lambda folder: append(folder, f"{'0' * 64}  ../../secret\n"),
        "is not a checksum and a path in the folder",
    ),
    "no list": (lambda folder: (folder / "checksums.sha256").write_bytes(b"\xff\xfe"), "not a list"),
    "a list without an end": (
        lambda folder: put_in_place_of_the_list(folder, lambda path: path.symlink_to("/dev/zero")),
        "It is a link",
    ),
    "a list that never comes": (
        lambda folder: put_in_place_of_the_list(folder, os.mkfifo),
        "no regular file",
    ),
    "infinitely many rows": (lambda folder: with_rows(folder, "1e999"), "no manifest of vbn publish"),
    "a broken page": (with_broken_page, "Its rows cannot be read|cannot be read as Parquet"),
    "no text": (lambda folder: rewrite(folder, PROBES, with_no_text), "Its rows cannot be read"),
    "a long text": (lambda folder: rewrite(folder, PROBES, long_text), "the longest of 2097152"),
    "a nested note": (
        lambda folder: rewrite(folder, PROBES, with_broken_note("[" * 200_000)),
        "has a value that it cannot",
    ),
    "a type that is code": (
        lambda folder: rewrite(folder, PROBES, with_note(dtype="f8,(")),
        "that it cannot",
    ),
    "a shape that is none": (lambda folder: rewrite(folder, PROBES, with_note(shape={})), "of numbers"),
    "a link": (
        lambda folder: relink(folder / TRIALS),
        "a link to elsewhere",
    ),
}


@pytest.mark.files
@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_damaged_or_hostile_is_refused_in_words(what: str, copy: Path) -> None:
    damage, words = HOSTILE[what]
    damage(copy)
    with pytest.raises(InvalidContentError, match=words):
        schemas.open(copy)
    assert published.configured() is None


@pytest.mark.files
def test_a_folder_that_is_published_anew_while_it_is_open_is_named_as_such(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from schemas.deploy import waiting

    monkeypatch.setattr(waiting, "LOADED_AT_ONCE", 0)
    schemas.open(copy)
    listed = (copy / "checksums.sha256").read_text()
    (copy / "checksums.sha256").unlink()  # on its way
    path = copy / "tables/ecephys/Recording.Unit.parquet"
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    with pytest.raises(InvalidContentError, match=r"being published anew, or was removed.*open it again"):
        fetch_frame(ecephys.Recording.Unit())
    (copy / "checksums.sha256").write_text(listed.replace("a", "b", 1))
    with pytest.raises(InvalidContentError, match=r"published anew after it was opened\. Open it again"):
        fetch_frame(ecephys.Recording.Unit())
    (copy / "checksums.sha256").write_text(listed)
    with pytest.raises(InvalidContentError, match=r"it was changed\. Copy the folder again"):
        fetch_frame(ecephys.Recording.Unit())


def lose_connection(cursor: Any) -> None:
    with owner_connection() as other, other.cursor() as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", (cursor.connection.info.backend_pid,))
    cursor.execute("SELECT 1")


def fill_disk(cursor: Any) -> None:
    cursor.execute("DO $$ BEGIN RAISE disk_full USING MESSAGE = 'could not extend file'; END $$")


@pytest.mark.files
@pytest.mark.parametrize(
    ("fail", "words"),
    [(fill_disk, "has no room .*could not extend file.*VBN_HOME"), (lose_connection, "was lost meanwhile")],
)
def test_what_the_server_lacks_is_not_said_of_the_folder(
    copy: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[[Any], None], words: str
) -> None:
    from schemas.deploy import published_chunks, waiting

    monkeypatch.setattr(waiting, "LOADED_AT_ONCE", 0)
    schemas.open(copy)
    whole = published_chunks.TableParts._copy

    def failing(_parts: Any, cursor: Any, *_: Any) -> None:
        fail(cursor)

    monkeypatch.setattr(published_chunks.TableParts, "_copy", failing)
    with pytest.raises(ServerError, match=words):
        fetch_frame(ecephys.Recording.Unit())
    monkeypatch.setattr(published_chunks.TableParts, "_copy", whole)
    assert len(fetch_frame(ecephys.Recording.Unit())) > 10


@pytest.mark.files
def test_a_row_group_of_far_too_many_rows_is_not_read(copy: Path) -> None:
    with_many_rows(copy)
    schemas.open(copy)  # a large table waits for its first query
    with pytest.raises(InvalidContentError, match="It claims a row group of 200000 rows"):
        len(behavior.ChangeDetection.Trial())


@pytest.mark.files
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.list_(pa.list_(pa.float32()), 1), [[1.0, 2.0]]),
        (pa.list_(pa.list_(pa.float32(), 2)), [[1.0, 2.0]]),
        (pa.list_(pa.list_(pa.float32(), 2), 1), [[1.0, 2.0]]),
        (pa.list_(pa.string()), ["a"]),
        (pa.large_list(pa.float32()), [1.0]),
    ],
)
def test_only_plain_lists_of_numbers_are_curves(
    copy: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType, value: Any
) -> None:
    """NumPy makes objects of others, whose bytes are addresses of this process."""
    from schemas.rows.copy_text import _packed

    rewrite(copy, "tables/psth/Psth.Unit.parquet", retyped_curves(kind, value))
    with pytest.raises(InvalidContentError, match="psth_rate is of the type"):
        schemas.open(copy)
    with pytest.raises(ValueError, match="not of numbers"):
        _packed(np.array([[1.0]], object))


@pytest.mark.files
def test_an_array_that_is_a_link_to_elsewhere_is_not_read(copy: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "secret.npy", np.arange(3.0))
    schemas.open(copy)
    probe = ecephys.Recording.Probe() & ecephys.Recording.Probe.keys()[0]
    reference = probe.fetch1("probe_spike_times")
    assert len(reference.load())
    path = copy / "arrays" / reference.path
    path.unlink()
    path.symlink_to(tmp_path / "secret.npy")
    for options in ({}, {"mmap_mode": "r"}):
        reference = probe.fetch1("probe_spike_times")
        with pytest.raises(InvalidContentError, match="link to elsewhere"):
            reference.load(**options)


@pytest.mark.files
def test_what_is_no_publication_or_of_another_version_is_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no folder"):
        schemas.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="not to its end"):
        schemas.open(tmp_path / "empty")
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    relist(copy, "manifest.json")
    with pytest.raises(ConflictError, match="reads format 1"):
        schemas.open(copy)


@pytest.mark.slow
@pytest.mark.files
def test_arrays_that_were_not_published_are_named_as_such(
    populated_synthetic: Database, tmp_path: Path
) -> None:
    populated_synthetic.call("publish", tmp_path / "tables only")
    schemas.open(tmp_path / "tables only")
    assert len(queries.psth_matrix(good())) > 1
    with pytest.raises(AbsentArrayError, match=r"published without its arrays.*vbn publish --arrays"):
        queries.spike_times(good())
    schemas.disconnect()


def test_lists_and_notes_that_were_not_published_are_not_found_empty(
    populated_synthetic: Database, published_synthetic: Path
) -> None:
    for words in (("lists",), ("notes",), ("list", "show", "x")):
        refused = populated_synthetic.call("--published", published_synthetic, *words, check=False)
        assert refused.returncode == 1
        assert "was published without notes and lists of people" in refused.stderr


def test_opening_asks_nobody_else(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _self, place: connected.append(place))
    assert len(ecephys.Recording.Unit()) == 32
    assert connected == []
