"""A published folder on a web server: the same answers, few bytes, nothing unchecked, no token shown."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

import schemas
from schemas import ecephys, psth, queries, session
from schemas.bases.publication import chunk_span
from schemas.deploy import published_chunks
from schemas.deploy.published import owner_connection
from schemas.deploy.scanned import restriction_of
from schemas.deploy.waiting import Waiting
from schemas.queries import checks
from schemas.server import published_site
from schemas.server.connection import Database as OpenedDatabase
from tests.fixtures.database import Database
from tests.fixtures.web_server import Fault, Site, no_fault
from tests.schemas.deploy.test_published import FIRST, SECOND, SHARED, answer, empty_tables, relist
from vbn.errors import InvalidContentError, NotFoundError, NotReadableError, SettingError
from vbn.home import home_folder
from vbn.web.client import Patience

SAMPLE = (
    "area_connectivity", "count_units", "cell_classes", "encoding_table", "flash_table", "psth_matrix",
    "psth_matrix of flashes", "responses_table", "spike_times", "trial_table", "unit_table", "units",
    "with_results", "figure session_overview", "figure unit_card",
)  # fmt: skip
PSTHS, UNITS = "tables/psth/Psth.Unit.parquet", "tables/ecephys/Recording.Unit.parquet"
pytestmark = pytest.mark.files


@pytest.fixture(autouse=True)
def _nothing_here(populated_synthetic: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin with empty tables, and with no file from a web server; give up soon."""
    populated_synthetic.connect()
    empty_tables(monkeypatch)
    shutil.rmtree(home_folder() / published_site.PLACE, ignore_errors=True)
    monkeypatch.setattr(published_site, "PATIENCE", Patience(tries=2, first_wait_s=0.01, timeout_s=5))
    yield
    schemas.disconnect()


@pytest.fixture
def served(published_synthetic: Path, make_site: Callable[..., Site]) -> Site:
    return make_site(published_synthetic)


@pytest.fixture
def served_copy(published_synthetic: Path, make_site: Callable[..., Site], tmp_path: Path) -> Site:
    """A site whose files a test may damage."""
    names = shutil.ignore_patterns("arrays", ".*")
    return make_site(Path(shutil.copytree(published_synthetic, tmp_path / "copy", ignore=names)))


def asked_for(site: Site) -> set[str]:
    return {request.path.lstrip("/") for request in site.requests}


def n_groups(site: Site, name: str) -> int:
    return parquet.read_metadata(site.folder / name).num_row_groups


def needed_bytes(site: Site, name: str, columns: set[str], session_id: int) -> int:
    """Return the bytes of columns in the row groups that have a session."""
    about = parquet.read_metadata(site.folder / name)
    total = 0
    for number in range(about.num_row_groups):
        chunks = [about.row_group(number).column(each) for each in range(about.num_columns)]
        ids = next(each.statistics for each in chunks if each.path_in_schema == "session_id")
        if ids.min <= session_id <= ids.max:
            spans = [chunk_span(each) for each in chunks if each.path_in_schema.split(".")[0] in columns]
            total += sum(stop - start for start, stop in spans)
    return total


def test_shared_queries_and_every_row_are_as_in_the_database(
    served: Site, populated_synthetic: Database
) -> None:
    from populate.admin.checksums import table_checksums

    expected = {name: answer(SHARED[name]) for name in SAMPLE}
    sums = table_checksums(volatile=False, database=populated_synthetic.connect())
    database = schemas.open(served.url)
    assert {name: answer(SHARED[name]) for name in SAMPLE} == expected
    assert sum(request.body_bytes for request in served.requests if request.path == f"/{PSTHS}") > 0
    found = table_checksums(volatile=False, database=database)  # what is not here yet comes, too
    assert {name for name in found if found[name] != sums[name]} == {"session.nwb_file"}


def test_the_command_line_answers_as_from_the_folder(
    served: Site, published_synthetic: Path, populated_synthetic: Database
) -> None:
    words = ("query", "units", "--criteria", "quickstart", "--json")
    expected = populated_synthetic.vbn("--published", published_synthetic, *words).stdout
    assert len(expected) > 100
    assert populated_synthetic.vbn("--published", served.url, *words).stdout == expected
    assert populated_synthetic.vbn(*words, env={"VBN_PUBLISHED": f"{served.url}/"}).stdout == expected
    refused = populated_synthetic.vbn("--published", f"{served.url}?sig=secret", "populate", check=False)
    assert refused.returncode == 1
    assert "published folder" in refused.stderr
    assert "secret" not in refused.stderr


def test_a_question_about_a_session_moves_its_columns_and_row_groups(served: Site) -> None:
    schemas.open(served.url)
    assert asked_for(served) <= {"checksums.sha256", "manifest.json"}
    assert n_groups(served, PSTHS) > 10
    served.requests.clear()
    rows = (psth.Psth.Unit & {"session_id": FIRST}).proj("peak_rate").to_dicts()
    sent = [each.body_bytes for each in served.requests if each.path == f"/{PSTHS}"]
    assert len(rows) == len({each["unit_id"] for each in rows}) * len({each["alignment"] for each in rows})
    columns = {*psth.Psth.Unit.primary_key, "peak_rate"}
    assert sum(sent[1:]) <= 1.2 * needed_bytes(served, PSTHS, columns, FIRST)  # the first one is the footer
    served.requests.clear()
    assert len((psth.Psth.Unit & {"session_id": FIRST}).to_arrays("peak_rate")) == len(rows)
    assert served.requests == []
    (psth.Psth.Unit & {"session_id": FIRST}).to_arrays("psth_rate")
    sent = [each.body_bytes for each in served.requests]
    assert 0 < sum(sent) <= 1.2 * needed_bytes(served, PSTHS, {"psth_rate"}, FIRST)


def test_a_count_moves_keys_alone_and_a_check_of_a_condition_nothing(served: Site) -> None:
    schemas.open(served.url)
    assert len(ecephys.Recording.Unit()) == 32
    sent = [each.body_bytes for each in served.requests if each.path == f"/{UNITS}"]
    keys = set(ecephys.Recording.Unit.primary_key)
    needed = sum(needed_bytes(served, UNITS, keys, each) for each in (FIRST, SECOND))
    assert 0 < sum(sent[1:]) <= 1.2 * needed
    served.requests.clear()
    checks._require_understood(ecephys.Recording.Unit & "snr > 3", "snr > 3")
    with pytest.raises(SettingError, match="does not understand"):
        checks._require_understood(ecephys.Recording.Unit & "snr > > 3", "snr > > 3")
    assert served.requests == []


def test_a_second_opening_moves_nothing_but_a_question_whether_it_has_changed(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemas.open(served.url)
    expected = len(ecephys.Recording.Unit & "snr > 1")
    schemas.disconnect()
    served.requests.clear()
    schemas.open(served.url)
    assert len(ecephys.Recording.Unit & "snr > 1") == expected
    assert [(each.path, each.status, each.body_bytes) for each in served.requests] == [
        ("/checksums.sha256", 304, 0)
    ]
    schemas.disconnect()
    empty_tables(monkeypatch)  # as another version of the package would find them: the files are still here
    schemas.open(served.url)
    assert len(ecephys.Recording.Unit & "snr > 1") == expected
    assert sum(each.body_bytes for each in served.requests) == 0


def test_a_new_publication_under_the_same_url_is_seen(served_copy: Site) -> None:
    digest = schemas.open(served_copy.url).published.digest
    schemas.disconnect()
    (served_copy.folder / "README.md").write_text("anew")
    relist(served_copy.folder, "README.md")
    assert schemas.open(served_copy.url).published.digest != digest


def test_arrays_come_when_they_are_read(served: Site) -> None:
    schemas.open(served.url)
    reference = (ecephys.Recording.Probe() & ecephys.Recording.Probe.keys()[0]).fetch1("probe_spike_times")
    assert not any(name.startswith("arrays/") for name in asked_for(served))
    served.fault = lambda path: Fault("corrupt") if path.startswith("/arrays/") else None
    with pytest.raises(InvalidContentError, match="not the file that"):
        reference.load()
    served.fault = no_fault
    assert len(reference.load()) == len(reference.load(mmap_mode="r"))


def test_a_folder_without_hashes_of_parts_is_read_by_whole_tables(served_copy: Site) -> None:
    relist(
        served_copy.folder,
        *(f"tables/{path.parent.name}/{path.stem}.parquet" for path in served_copy.folder.glob("chunks/*/*")),
    )
    schemas.open(served_copy.url)
    assert len(ecephys.Recording.Unit & "snr > 1") > 10
    sent = [each.body_bytes for each in served_copy.requests if each.path == f"/{UNITS}"]
    assert sent == [(served_copy.folder / UNITS).stat().st_size]


@pytest.mark.parametrize(
    "fault", [Fault("drop"), Fault("status", 503, 0), Fault("status", 500), Fault("short")]
)
def test_what_passes_is_waited_for(served: Site, fault: Fault) -> None:
    schemas.open(served.url)
    served.faults.extend([fault])
    assert len(ecephys.Recording.Unit()) == 32
    served.faults.extend([fault])
    assert len(ecephys.Recording.Unit & "snr > 0") > 0
    assert served.failures[fault.kind] == 2


def test_a_server_without_ranges_sends_whole_files(served: Site) -> None:
    served.ranges = False
    schemas.open(served.url)
    assert len(ecephys.Recording.Unit & "snr > 1") > 10


def whole(kind: str, **options: Any) -> Callable[[str], Fault | None]:
    return lambda path: Fault(kind, **options) if path == f"/{UNITS}" else None


DURING: dict[str, tuple[Callable[[Site], Any], str]] = {
    "a byte is changed": (lambda site: setattr(site, "fault", whole("corrupt")), "was changed"),
    "another range": (lambda site: setattr(site, "fault", whole("shift")), "tries failed"),
    "a shorter range": (lambda site: setattr(site, "fault", whole("short")), "tries failed"),
    "never whole": (lambda site: setattr(site, "fault", whole("drop", part=0.0)), "tries failed"),
    "busy for ever": (lambda site: setattr(site, "fault", whole("status")), "tries failed"),
    "compressed": (lambda site: setattr(site, "fault", whole("gzip")), "compressed"),
    "gone": (lambda site: (site.folder / UNITS).unlink(), "no such file"),
    "another file": (
        lambda site: site.files.update({f"/{UNITS}": bytes((site.folder / UNITS).stat().st_size)}),
        "was changed",
    ),
    "a shorter file": (
        lambda site: site.files.update({f"/{UNITS}": (site.folder / UNITS).read_bytes()[:-99]}),
        "tries failed|was changed|other bytes",
    ),
    "a file of this machine": (
        lambda site: site.redirects.update({f"/{UNITS}": "file:///etc/passwd"}),
        "not safe to follow",
    ),
    "round and round": (
        lambda site: site.redirects.update({f"/{UNITS}": f"/{UNITS}"}),
        "redirected more than",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DURING)
def test_what_is_not_as_published_is_never_used(what: str, served_copy: Site) -> None:
    damage, words = DURING[what]
    schemas.open(served_copy.url)
    damage(served_copy)
    with pytest.raises((InvalidContentError, NotReadableError), match=words):
        len(ecephys.Recording.Unit())
    with pytest.raises((InvalidContentError, NotReadableError)):  # and not half of it the next time
        (ecephys.Recording.Unit & "snr > 1").to_arrays("snr")


def replace_list(site: Site, content: bytes) -> None:
    (site.folder / "checksums.sha256").write_bytes(content)


def with_wrong_chunks(site: Site, content: bytes) -> None:
    name = "chunks/ecephys/Recording.Unit.txt"
    (site.folder / name).write_bytes(content)
    relist(site.folder, name)


AT_ONCE: dict[str, tuple[Callable[[Site], Any], type[Exception], str]] = {
    "nothing there": (
        lambda site: (site.folder / "checksums.sha256").unlink(),
        NotFoundError,
        "has no checksums.sha256",
    ),
    "a page": (
        lambda site: replace_list(site, b"<html>"),
        InvalidContentError,
        "is not a checksum and a path",
    ),
    "no text": (lambda site: replace_list(site, b"\xff\xfe"), InvalidContentError, "not a list of checksums"),
    "a path out of the folder": (
        lambda site: replace_list(site, b"0" * 64 + b"  ../../secret\n"),
        InvalidContentError,
        "is not a checksum and a path",
    ),
    "an absolute path": (
        lambda site: replace_list(site, b"0" * 64 + b"  /etc/passwd\n"),
        InvalidContentError,
        "is not a checksum and a path",
    ),
    "a huge list": (lambda site: replace_list(site, b"0" * 2**21), NotReadableError, "longer than"),
    "a huge manifest": (
        lambda site: (
            (site.folder / "manifest.json").write_bytes(b" " * 2**21),
            relist(site.folder, "manifest.json"),
        ),
        InvalidContentError,
        "far too",
    ),
    "another manifest": (
        lambda site: (site.folder / "manifest.json").write_text("{}"),
        InvalidContentError,
        "not the file that checksums.sha256 lists",
    ),
    "no list of hashes": (
        lambda site: with_wrong_chunks(site, b"0" * 64 + b" 4 -1\n"),
        InvalidContentError,
        "no list of the hashes",
    ),
    "no hashes": (lambda site: with_wrong_chunks(site, b""), InvalidContentError, "It is empty"),
    "hashes of other parts": (
        lambda site: with_wrong_chunks(site, b"0" * 64 + b" 0 100\n"),
        InvalidContentError,
        "was changed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", AT_ONCE)
def test_hostile_publications_are_refused_in_words(
    what: str, served_copy: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LARGEST_LIST", "LARGEST_TEXT"):
        monkeypatch.setattr(published_site, name, 2**20)
    damage, kind, words = AT_ONCE[what]
    damage(served_copy)
    with pytest.raises(kind, match=words):  # noqa: PT012 - what is asked for at opening, and what later
        schemas.open(served_copy.url)
        session.Mouse().to_dicts()
        len(ecephys.Recording.Unit())


def test_tokens_are_sent_and_neither_shown_nor_written(
    served: Site, caplog: pytest.LogCaptureFixture
) -> None:
    token = "c2VjcmV0"
    caplog.set_level(logging.INFO)  # what --debug shows
    database = schemas.open(f"{served.url}/?sig={token}")
    assert len(ecephys.Recording.Unit()) == 32
    assert all(f"sig={token}" in each.path for each in served.requests)
    assert isinstance(database, OpenedDatabase)
    served.fault = lambda _path: Fault("status", 403)
    with pytest.raises(NotReadableError) as caught:
        (ecephys.Recording.Unit & "snr > 1").to_arrays("snr")
    shown = [str(database), repr(database), str(caught.value), caplog.text]
    assert "refused" in shown[2]
    kept = [path for path in home_folder().joinpath(published_site.PLACE).rglob("*") if path.is_file()]
    assert len(kept) > 3
    assert not any(token in text for text in [*shown, *map(str, kept)])
    assert not any(token.encode() in path.read_bytes() for path in kept)


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingError, match="user or password, which is not sent") as caught:
        schemas.open("https://me:hidden@localhost/tables")
    assert "hidden" not in str(caught.value)
    with pytest.raises(SettingError, match="no URL of a published folder"):
        schemas.open("https://")


def test_a_killed_transfer_goes_on_and_damage_here_is_mended(served: Site) -> None:
    opened = schemas.open(served.url).published
    path = opened.folder / UNITS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0" * 1000)  # as a process leaves it that is killed
    assert len(ecephys.Recording.Unit()) == 32
    assert hashlib.sha256(path.read_bytes()).hexdigest() != opened.checksums[UNITS]  # it is not all here
    assert opened.checked(UNITS) == path
    assert hashlib.sha256(path.read_bytes()).hexdigest() == opened.checksums[UNITS]


def test_a_statement_without_a_plan_gets_all_that_it_names(served: Site) -> None:
    database = schemas.open(served.url)
    place = ecephys.Recording.Unit().full_table_name
    query = database.connection.query
    expected = parquet.read_table(served.folder / UNITS, partitioning=None)["snr"].to_pylist()
    found = query(f"SELECT snr FROM {place} WHERE snr > %s ORDER BY unit_id", args=(-1,)).fetchall()
    assert sorted(value for (value,) in found) == sorted(expected)
    starred = query(f"SELECT u.* FROM {place} u ORDER BY unit_id", as_dict=True).fetchall()
    assert [row["snr"] for row in starred] == [
        row["snr"] for row in ecephys.Recording.Unit().to_dicts(order_by="unit_id")
    ]
    assert all(row["quality"] for row in starred)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("(u.session_id = '9000000001'::bigint)", {"session_id": {"9000000001"}}),
        ("((u.mouse_id)::text = '99'::text)", {"mouse_id": {"99"}}),
        ("(u.session_id = ANY ('{1,2}'::bigint[]))", {"session_id": {"1", "2"}}),
        ("((u.a = 1) AND (u.a = 2))", {"a": set()}),
        ("((u.a = 1) OR (u.b = 2))", {}),
        ("((NOT (u.a = 1)) AND (u.b = 2))", {"b": {"2"}}),
        ("((u.b)::text = 'x) AND (u.a = 1'::text)", {"b": {"x) AND (u.a = 1"}}),
        ("((u.b)::text = 'it\'\'s'::text)", {}),
        ("((u.b)::text = '100%'::text)", {}),
        ("((u.b)::text = 'a'::text COLLATE \"C\")", {}),
        ("(u.a = ANY ('{1,NULL}'::bigint[]))", {"a": {"1", "NULL"}}),
        ("((u.a = 1) IS NOT TRUE)", {}),
        ("(u.a <> 1)", {}),
        ("(u.a = u.b)", {}),
        ("((u.a + 1) = 2)", {}),
        ("(u.a = '1.0'::double precision)", {}),
        ("(CASE WHEN (u.a = 1) THEN 1 ELSE 2 END = 1)", {}),
        ("(other.session_id = 1)", {}),
        ("((other.session_id = 1) OR (u.session_id = 2))", {}),
        ("(session_id = 1)", {}),
    ],
)  # fmt: skip
def test_what_a_condition_says_of_columns_is_read_narrowly(
    condition: str, expected: dict[str, set[str]]
) -> None:
    assert restriction_of(condition, "u") == expected


def test_what_is_not_loaded_is_read_by_no_query(served: Site) -> None:
    """Whatever the columns that were not loaded hold, the answers are the same."""
    schemas.open(served.url)
    asked = [
        lambda: queries.units(where="snr > 1").proj("snr").to_dicts(order_by="unit_id"),
        lambda: len(ecephys.Recording.Unit()),
        lambda: sorted((ecephys.Recording.Unit & {"session_id": FIRST}).to_arrays("amplitude_cutoff")),
    ]
    expected = [answer(each) for each in asked]
    assert Waiting.current is not None
    parts = Waiting.current._parts[ecephys.Recording.Unit().full_table_name.replace('"', "")]
    with owner_connection() as connection, connection.cursor() as cursor:
        for bit, name in enumerate(parts._others):
            cursor.execute(
                f'UPDATE {parts._rows} SET "{name}" = (SELECT min("{name}") FROM {parts._rows}) '
                f'WHERE get_bit("{published_chunks.LOADED}", {bit}) = 0'
                if name in {"snr", "quality"}
                else f'UPDATE {parts._rows} SET "{name}" = NULL '
                f'WHERE get_bit("{published_chunks.LOADED}", {bit}) = 0'
            )
    assert [answer(each) for each in asked] == expected
    assert len(set(ecephys.Recording.Unit.to_arrays("isi_violations").tolist())) > 1  # it comes now
