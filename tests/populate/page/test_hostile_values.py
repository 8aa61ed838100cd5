"""What stands in the database is shown as text: no value runs, or becomes a part of a page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit
from urllib.request import urlopen

import pytest

from tests.fixtures.page import WAIT_MS, Served, start, stop

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("panel") is None, reason="vbn serve needs Panel"),
    pytest.mark.files,
]

HOSTILE = (  # the longest that leaves room for the value is put in front of it
    "\"'><x-s></x-s></title></script><script>window.ran=1</script><img src onerror=window.ran=1>$\\x$",
    "<x-s><img src onerror=ran=1>",
    "<img src onerror=ran=1>",
    "<x-s>",
)
FIRST_CELLS = ".sheet tbody tr:first-child td:visible"
ROOM = 9  # characters
# What stands on the page and is no name that the code knows.
SHOWN = re.compile(
    "mouse_id|genotype|((initial|change|task)_)?image_name|selectivity_preferred_image|(session|cre|reporter)_(type|line)|stage|image_set|experience_level|structure_(acronym|name)"
    "|probe_name|issue_(table|code|detail)|error_message|host|cell_class"
    "|(unit|session)_(label|note|note_author)|list_(name|description|author|made_from)"
)
KEYS = {"postgresql": ("SET session_replication_role = {}", "replica", "origin"),
        "mysql": ("SET FOREIGN_KEY_CHECKS = {}", "0", "1")}  # fmt: skip


def fill_with_hostile_texts(database: Any, source: Any) -> None:
    """Copy the rows of another database, and put markup in front of all texts that are shown."""
    setting, off, on = KEYS[database.server.backend]
    database.server.query(setting.format(off))
    try:
        _fill(database, source)
    finally:
        database.server.query(setting.format(on))


def _fill(database: Any, source: Any) -> None:
    query = database.server.query
    is_mysql = database.server.backend == "mysql"
    type_name = "NULL" if is_mysql else "CASE data_type WHEN 'USER-DEFINED' THEN udt_name END"
    for table in source.tables():
        schema, name = table.replace(source.prefix, database.prefix).replace('"', "").split(".")
        if name[0] == "#" or name in ("migration", "array_store"):
            continue
        listed = query(
            f"SELECT column_name, {type_name} FROM information_schema.columns "
            f"WHERE table_schema = '{schema}' AND table_name = '{name}' ORDER BY ordinal_position"
        )
        values = (f'"{column}"' + (f'::text::"{schema}"."{kind}"' if kind else "") for column, kind in listed)
        query(f'INSERT INTO "{schema}"."{name}" SELECT {", ".join(values)} FROM {table}')
    _fill_by_people(database)
    columns = query(
        "SELECT table_schema, table_name, column_name, character_maximum_length "
        "FROM information_schema.columns "
        f"WHERE table_schema LIKE '{database.prefix}%' AND data_type IN ('character varying', 'varchar')"
    )
    shown = [column for column in columns if SHOWN.fullmatch(column[2])]
    longest: dict[str, int] = {}
    for _schema, _table, name, length in shown:
        longest[name] = min(length, longest.get(name, length))
    for schema, table, name, _length in shown:
        text = next(text for text in HOSTILE if len(text) + min(ROOM, longest[name] - 5) <= longest[name])
        query(
            f'UPDATE "{schema}"."{table}" SET "{name}" = left(concat(%s, "{name}"), {longest[name]}) '
            f"WHERE \"{name}\" <> ''",
            text,
        )


def _fill_by_people(database: Any) -> None:
    """Enter a list and notes, as people might without our commands."""
    query, curation = database.server.query, f'"{database.prefix}curation"'
    of_session = f'FROM "{database.prefix}session"."session"'
    of_unit = f'FROM "{database.prefix}ecephys"."_recording__unit"'
    moment = "'2026-01-01 00:00:00'"
    query(
        f"INSERT INTO {curation}.named_list (list_name, list_kind, n_listed, list_description, list_author, "
        f"list_made_at, list_made_from) VALUES ('mine', 'sessions', 2, 'mine', 'ann', {moment}, 'vbn')"
    )
    query(
        f"INSERT INTO {curation}.list_session (list_name, mouse_id, session_id) "
        f"SELECT 'mine', mouse_id, session_id {of_session}"
    )
    shared = f"'label', 'note', 'ann', {moment}"
    for table, name, key, source in (
        ("unit_note", "unit", "mouse_id, session_id, unit_id", of_unit),
        ("session_note", "session", "mouse_id, session_id", of_session),
    ):
        names = f"{name}_note_id, {name}_label, {name}_note, {name}_note_author, {name}_noted_at"
        query(f"INSERT INTO {curation}.{table} ({key}, {names}) SELECT {key}, 'id', {shared} {source}")


@pytest.fixture(scope="module")
def served_hostile(
    populated_synthetic: Any, reader_account: dict[str, str], make_database: Callable[..., Any]
) -> Iterator[Served]:
    """The page on a copy of a populated database whose texts are hostile."""

    database = make_database()
    fill_with_hostile_texts(database, populated_synthetic)
    # The rows refer to the other's arrays, which are not this database's to remove.
    served = start(database, {"DJ_STORES": populated_synthetic.environment["DJ_STORES"]})
    yield served
    stop(served)


ALL = """() => {
    const within = root => [...root.querySelectorAll('*')].flatMap(
        each => [each, ...(each.shadowRoot ? within(each.shadowRoot) : [])]);
    return within(document);
}"""
INJECTED = f"""() => [
    ...({ALL})().filter(each => each.matches('x-s, [onerror]')).map(each => each.outerHTML),
    ...(window.ran ? ['a script ran'] : []),
]"""
ADDRESSES = f"""() => ({ALL})().flatMap(each =>
    each.localName === 'a' && !each.hasAttribute('download') ? [each.href]
    : each.form && each.name ? [`${{location.pathname}}?${{each.name}}=${{encodeURIComponent(each.value)}}`]
    : [])"""


def kind_of(url: str) -> tuple[str, frozenset[str]]:
    """Return the page of an address, and what it selects within a session."""
    parts = urlsplit(url)
    return parts.path, frozenset(dict(parse_qsl(parts.query))) - {"session"}


def examine(page: Any) -> tuple[list[str], list[str]]:
    """Return what was injected into a page, after the mouse was on its cells, and what it links to."""
    sync_api.expect(page.locator(".waiting")).to_have_count(0, timeout=WAIT_MS)
    page.clock.install()  # which makes delays of tooltips short
    injected = page.evaluate(INJECTED)
    for cell in page.locator(FIRST_CELLS).all():
        cell.hover()
        page.clock.run_for(1000)
        injected += page.evaluate(INJECTED)  # the next one closes the tooltip
    return injected, page.evaluate(ADDRESSES)


def test_no_value_runs_or_becomes_a_part_of_a_page(
    served_hostile: Served, visit: Callable[[str], Any]
) -> None:
    """Each kind of address that is linked or can be chosen is visited, then every page with bad names."""
    from populate.page.figures import FIGURES_OF_PAGE
    from populate.page.layout import NAVIGATION
    from populate.page.views import PAGES

    pages = {*PAGES, *NAVIGATION}

    waiting, found = [served_hostile.url], {}
    while waiting:
        url = waiting.pop(0)
        if url.startswith(served_hostile.url) and kind_of(url) not in found:
            page = visit(url)
            found[kind_of(url)], linked = examine(page)
            page.close()
            waiting += [urljoin(url, link) for link in linked]
    assert {path.strip("/") for path, _names in found} == pages
    names = {name for figure in FIGURES_OF_PAGE.values() for name in figure.parameters}
    names = names.union(*(known for _path, known in found))
    for path in pages:
        for bad in (names, names - {"session", "unit"}):
            page = visit(f"{served_hostile.url}{path}?{urlencode(dict.fromkeys(bad, HOSTILE[0]))}")
            found[path, frozenset(bad)], _linked = examine(page)
            page.close()
    assert {kind: injected for kind, injected in found.items() if injected} == {}


def test_files_never_are_pages(served_hostile: Served) -> None:
    """Whatever the address of a file holds, a browser takes the answer for a file or a plain text."""
    names = query_texts(served_hostile, "stimulus", "image", "image_name")
    assert any("<x-s>" in name for name in names)
    kinds = set()
    for path in ("image", "issues.csv", "units.csv", "figure/brain.png"):
        for name in (*names[:3], HOSTILE[0]):
            words = dict.fromkeys(("name", "session", "unit", "where", "severity", "columns"), name)
            url = f"{served_hostile.url}{path}?{urlencode(words)}"
            try:
                answer = urlopen(url)
            except HTTPError as error:
                answer = error
            with answer:
                kinds.add(answer.headers["Content-Type"].partition(";")[0])
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert kinds == {"image/png", "text/plain"}


def query_texts(served: Served, schema: str, table: str, column: str) -> list[str]:
    """Return the texts of a column."""
    rows = served.database.server.query(
        f'SELECT "{column}" FROM "{served.database.prefix}{schema}"."{table}"'
    )
    return [text for (text,) in rows]
