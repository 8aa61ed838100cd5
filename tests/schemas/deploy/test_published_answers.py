"""Statements of any form have the same answers from a folder that is loaded in parts as from the database.

A column or row that is not loaded but read would be answered in silence, by a number that stands in for it.
"""

# ruff: noqa: E501 - statements in one line
from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import schemas
from schemas import ecephys, responses, selection, session, stimulus
from schemas.bases.publication import PublishedTable, published_tables
from schemas.deploy import published, published_chunks, scanned, waiting
from schemas.deploy.waiting import Waiting
from schemas.server import datajoint
from schemas.server.access import RefusedError
from schemas.server.connection import DRIVER_ERRORS, active
from schemas.server.datajoint import dj, driver_of
from schemas.server.published import ACCOUNT
from tests.fixtures.database import Database
from tests.schemas.deploy.test_published import SECOND, empty_tables
from vbn.errors import ConflictError

TABLES = {
    "u": ecephys.Recording.Unit,
    "c": responses.ChangeResponse.Unit,
    "p": stimulus.Stimulus.Presentation,
    "s": ecephys.Structure,
    "sel": selection.UnitSelection.Unit,
}
KEY = "mouse_id, session_id, probe_name, unit_id"
COLUMNS = {
    "u": ("session_id", "unit_id", "probe_name", "mouse_id", "snr", "quality", "cluster_id"),
    "c": ("session_id", "unit_id", "probe_name", "change_rate_active", "change_evoked_rate_active"),
    "p": ("session_id", "presentation_id", "block", "active", "image_name", "trial_id", "start_frame"),
    "s": ("structure_acronym", "structure_name", "parent_acronym"),
    "sel": ("session_id", "unit_id", "unit_criteria"),
}
N_GENERATED = 30
pytestmark = pytest.mark.files


@dataclass(frozen=True)
class Statement:
    """A statement in SQL, where ``{u}`` stands for the name of a table, and what is filled in by the driver."""

    text: str
    arguments: tuple[Any, ...] = ()

    def ask(self) -> Any:
        names = {name: cls().full_table_name for name, cls in TABLES.items()}
        plain = {f"plain_{name}": names[name].replace('"', "") for name in ("u", "s") if name in names}
        sent = self.text
        for name, full in {**names, **plain}.items():
            sent = sent.replace(f"{{{name}}}", full)
        rows = dj.conn().query(sent, args=self.arguments).fetchall()
        return sorted(map(repr, rows))


class Partly:
    """A folder of whose tables nothing is loaded, again and again."""

    def __init__(self) -> None:
        folder = active().published
        assert folder is not None
        self.folder = folder
        classes = list(TABLES.values())
        self.tables = [each for each in published_tables() if each.table in classes]
        assert len(self.tables) == len(TABLES)
        assert Waiting.current is not None
        self.all = dict(Waiting.current.tables)

    def empty(self) -> Waiting:
        """Forget what is loaded of the tables."""
        marks = published.marks_schema(self.folder.prefix)
        with published.owner_connection() as connection, connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            for each in self.tables:
                cursor.execute(f"DELETE FROM {self._place(each)}")
                cursor.execute(f"REVOKE SELECT ON {self._place(each)} FROM {ACCOUNT}")
                for kind, column in (("file", "name"), ("chunk", "file"), ("row_group", "file")):
                    cursor.execute(f'DELETE FROM "{marks}".{kind} WHERE {column} = %s', (each.file,))
                cursor.execute(
                    f"DROP TABLE IF EXISTS {published_chunks.loaded_rows_table(self.folder, each)} CASCADE"
                )
        return self.anew()

    def anew(self) -> Waiting:
        """Be as another process that opens the folder."""
        found = Waiting(self.folder, dict(self.all), {})
        datajoint.around_queries(found.ask)
        return found

    def _place(self, table: PublishedTable) -> str:
        return published.full_name(self.folder, table)

    def rows_there(self) -> int:
        total = 0
        with published.owner_connection() as connection, connection.cursor() as cursor:
            for each in self.tables:
                cursor.execute(f"SELECT count(*) FROM {self._place(each)}")
                total += cursor.fetchone()[0]
        return total


@pytest.fixture
def open_partly(
    published_synthetic: Path, populated_synthetic: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Partly]]:
    """Open the folder, so that no table is loaded yet; until then the database is connected."""
    populated_synthetic.connect()
    empty_tables(monkeypatch)
    monkeypatch.setattr(waiting, "LOADED_AT_ONCE", 0)

    def opened() -> Partly:
        schemas.disconnect()
        schemas.open(published_synthetic)
        return Partly()

    yield opened
    schemas.disconnect()


def different_answers(
    asked: dict[str, Callable[[], Any]], open_partly: Callable[[], Partly], anew: Callable[[], bool]
) -> list[str]:
    """Return the names of questions that a folder of which a part is loaded does not answer as the database."""
    expected = {name: ask() for name, ask in asked.items()}
    partly = open_partly()
    partly.empty()
    different = []
    for name, ask in asked.items():
        if anew():
            partly.empty()
        if ask() != expected[name]:
            different.append(name)
    return different


class Grammar:
    """Draws statements about the tables, with values that occur and others."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.values = {
            (name, column): [
                value for (value,) in dj.conn().query(f"SELECT DISTINCT {column} FROM {place}").fetchall()
            ]
            for name, place in ((name, cls().full_table_name) for name, cls in TABLES.items())
            for column in COLUMNS[name]
        }

    def statement(self) -> Statement:
        self.arguments: list[Any] = []
        text = self.random.choice((self.plain, self.joined, self.nested, self.combined, self.correlated))()
        return Statement(text, tuple(self.arguments))

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def value(self, name: str, column: str) -> str:
        value = self.random.choice(self.values[name, column])
        if value is None or self.random.random() < 0.05:
            return "NULL"
        if isinstance(value, bool):
            return str(value)
        if isinstance(value, str):
            value = self.random.choice(
                (value, value, value.upper(), f"{value} ", "", "Ä", "it's", "100%", "a\\")
            )
        elif self.random.random() < 0.2:
            value = -value
        if self.random.random() < 0.3:
            self.arguments.append(value)
            return "%s"
        text = f"{value}".replace("'", "''").replace("%", "%%")
        return f"'{text}'" if isinstance(value, str) or self.random.random() < 0.3 else text

    def test(self, name: str, alias: str) -> str:
        column = self.random.choice(COLUMNS[name])
        place = f"{alias}.{column}"
        match self.random.randrange(9):
            case 0:
                return f"{place} IS {self.pick('', 'NOT ')}NULL"
            case 1 | 2:
                values = ", ".join(self.value(name, column) for _ in range(self.random.randint(1, 3)))
                return f"{place} {self.pick('', '', 'NOT ')}IN ({values})"
            case 3:
                return f"{place} {self.pick('<', '<>', '>=')} {self.value(name, column)}"
            case 4:
                return f"({place} = {self.value(name, column)}) IS {self.pick('NOT TRUE', 'TRUE', 'UNKNOWN')}"
            case 5:
                return f"{place} IS {self.pick('', 'NOT ')}DISTINCT FROM {self.value(name, column)}"
            case 6:
                return f"NOT ({place} = {self.value(name, column)})"
            case _:
                return f"{place} = {self.value(name, column)}"

    def condition(self, *names: str, depth: int = 2) -> str:
        if depth and self.random.random() < 0.6:
            parts = (self.condition(*names, depth=depth - 1) for _ in range(2))
            return "(" + self.pick(" AND ", " OR ").join(parts) + ")"
        name = self.random.choice(names)
        return self.test(name, name)

    def columns(self, name: str) -> str:
        chosen = self.random.sample(COLUMNS[name], 2)
        return ", ".join(f"{name}.{each}" for each in chosen)

    def plain(self) -> str:
        name = self.random.choice(list(TABLES))
        what = self.pick("count(*)", f"{name}.*", self.columns(name), self.columns(name), f"{name}", "*")
        return f"SELECT {what} FROM {{{name}}} {name} WHERE {self.condition(name)}"

    def joined(self) -> str:
        left, right = self.random.choice((("u", "c"), ("c", "u"), ("u", "sel"), ("c", "sel")))
        kind = self.pick("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN")
        on = " AND ".join(f"{left}.{each} = {right}.{each}" for each in ("session_id", "unit_id"))
        more = f" AND {self.test(right, right)}" if kind != "FULL JOIN" and self.random.random() < 0.5 else ""
        what = self.pick(
            f"{self.columns(left)}, {self.columns(right)}", "count(*)", f"{left}.*", f"{right}.unit_id"
        )
        return (
            f"SELECT {what} FROM {{{left}}} {left} {kind} {{{right}}} {right} ON {on}{more} "
            f"WHERE {self.condition(left, right)}"
        )

    def nested(self) -> str:
        name = self.random.choice(("u", "c", "p", "sel"))
        inner = f"SELECT * FROM {{{name}}} {name} WHERE {self.condition(name)}"
        with_ = f"WITH {name} AS {self.pick('', 'MATERIALIZED ')}({inner}) "
        source = f"({inner}) {name}"
        column = self.random.choice(COLUMNS[name])
        asked = self.pick(
            f"count(DISTINCT {name}.{column})", f"max({name}.{column}::text)", f"{name}.{column}, count(*)"
        )
        group = f" GROUP BY {name}.{column}" if ", " in asked else ""
        if self.random.random() < 0.5:
            return f"{with_}SELECT {asked} FROM {name} WHERE {self.condition(name)}{group}"
        return f"SELECT {asked} FROM {source} WHERE {self.condition(name)}{group}"

    def combined(self) -> str:
        column = self.pick("session_id", "unit_id")
        parts = [
            f"SELECT {name}.{column} FROM {{{name}}} {name} WHERE {self.condition(name)}"
            for name in ("u", "c")
        ]
        return self.pick(" UNION ", " UNION ALL ", " EXCEPT ", " INTERSECT ").join(parts)

    def correlated(self) -> str:
        inner = "SELECT {} FROM {c} c WHERE c.unit_id = u.unit_id AND " + self.condition("u", "c")
        exists = f"{self.pick('', 'NOT ')}EXISTS ({inner.replace('{}', '1')})"
        lateral = f", LATERAL ({inner.replace('{}', 'c.change_rate_active')}) q"
        scalar = f"(SELECT count(*) FROM ({inner.replace('{}', '1')}) q)"
        if self.random.random() < 0.4:
            return f"SELECT {self.columns('u')}, q.change_rate_active FROM {{u}} u{lateral}"
        if self.random.random() < 0.5:
            return f"SELECT u.unit_id, {scalar} FROM {{u}} u"
        return f"SELECT {self.columns('u')} FROM {{u}} u WHERE {exists}"


def drawn_statements(seed: int, number: int) -> list[Statement]:
    """Return statements that the database answers: it refuses some, such as a text compared with a number."""
    grammar = Grammar(seed)
    found: list[Statement] = []
    while len(found) < number:
        statement = grammar.statement()
        try:
            statement.ask()
        except DRIVER_ERRORS:
            continue
        found.append(statement)
    return found


def test_drawn_statements_are_answered_as_by_the_database(open_partly: Callable[[], Partly]) -> None:
    drawn = drawn_statements(1, N_GENERATED)
    draw = random.Random(2)
    asked = {f"{number}: {each}": each.ask for number, each in enumerate(drawn)}
    assert different_answers(asked, open_partly, lambda: draw.random() < 0.5) == []


HOSTILE = {
    "a condition of both tables": Statement(
        "SELECT u.unit_id, c.change_rate_active FROM {u} u JOIN {c} c USING (mouse_id, session_id, probe_name, "
        "unit_id) WHERE u.session_id = %s OR c.session_id = 1",
        (SECOND,),
    ),
    "of both, by a loop": Statement(
        "SELECT count(q.unit_id), sum(q.change_rate_active) FROM {u} u, LATERAL (SELECT * FROM {c} c WHERE "
        "c.unit_id = u.unit_id AND (u.session_id = %s OR c.session_id = 1) OFFSET 0) q",
        (SECOND,),
    ),
    "of both, of all rows": Statement(
        "SELECT count(q.unit_id), count(DISTINCT q.session_id) FROM {u} u, LATERAL (SELECT * FROM {c} c WHERE "
        "(u.session_id = %s AND c.unit_id > 0) OR c.session_id = 1 OFFSET 0) q",
        (SECOND,),
    ),
    "a row as text": Statement("SELECT u::text FROM {u} u"),
    "a row as JSON": Statement("SELECT to_jsonb(u) FROM {u} AS u ORDER BY 1"),
    "a row's count": Statement("SELECT count(u), count(DISTINCT u) FROM {u} u"),
    "a row in an array": Statement("SELECT array_agg(u ORDER BY unit_id)::text FROM {u} u"),
    "a row's field": Statement("SELECT (q.u).snr FROM (SELECT u FROM {u} u OFFSET 0) q"),
    "rows that are equal": Statement("SELECT count(*) FROM {u} a JOIN {u} b ON a = b"),
    "a natural join": Statement("SELECT count(*) FROM {u} NATURAL JOIN (SELECT * FROM {u}) q"),
    "columns by place": Statement("SELECT * FROM {s} AS q(a, b, c, d) WHERE b IS NOT NULL ORDER BY 1"),
    "one column by place": Statement("SELECT max(b) FROM {s} AS q(a, b, c, d)"),
    "a name in escapes": Statement('SELECT max(U&"\\0073nr") FROM {u}'),
    "without quotes": Statement("SELECT max(snr), count(*) FROM {plain_u}"),
    "in capitals": Statement("SELECT max(SNR), COUNT(*) FROM {plain_u} WHERE SESSION_ID > 0"),
    "a table command": Statement("TABLE {s}"),
    "a comment": Statement("SELECT max(snr) FROM /* a comment */ {u} -- LIMIT 0"),
    "ends as a check": Statement("SELECT max(snr) FROM {u} -- LIMIT 0 /* checked */"),
    "no rows": Statement("SELECT * FROM {u} LIMIT 0"),
    "a query in a text": Statement("SELECT * FROM ts_stat('SELECT to_tsvector(probe_name) FROM {u}')"),
    "semicolon": Statement("SELECT max(snr) FROM {u};"),
    "two statements": Statement("SELECT 1; SELECT max(snr), count(*) FROM {u}"),
    "percent signs": Statement("SELECT count(*) FROM {s} WHERE length(structure_acronym) = length('a%%b')"),
    "percent signs fold": Statement("SELECT max(snr) FROM {u} WHERE session_id = %s + length('%%') - 1", (SECOND,)),
    "a list": Statement("SELECT unit_id FROM {u} WHERE session_id = ANY(%s)", ([SECOND, None],)),
    "an aggregate's filter": Statement("SELECT count(*) FILTER (WHERE snr > 2), count(*) FROM {u}"),
    "a window": Statement("SELECT unit_id, rank() OVER (ORDER BY snr) FROM {u}"),
    "nothing can be": Statement("SELECT max(snr) FROM {u} WHERE session_id = 1 AND session_id = 2"),
    "false": Statement("SELECT count(*), max(snr) FROM {u} WHERE false"),
    "a subquery once": Statement("SELECT unit_id FROM {u} WHERE session_id = (SELECT max(session_id) FROM {c})"),
    "any subquery": Statement("SELECT unit_id FROM {u} WHERE (session_id = 1) = ANY (SELECT false FROM {c})"),
    "a recursive one": Statement(
        "WITH RECURSIVE t(a) AS (SELECT structure_acronym FROM {s} WHERE structure_acronym = 'VIS' UNION SELECT "
        "s.structure_acronym FROM {s} s JOIN t ON s.parent_acronym = t.a) SELECT * FROM t"
    ),
    "a number as text": Statement("SELECT max(snr) FROM {u} WHERE session_id::text = %s", (str(SECOND),)),
    "a sum of a minimum": Statement("SELECT min(session_id), max(session_id), min(snr) FROM {u}"),
    "a sample": Statement("SELECT count(*) FROM {u} TABLESAMPLE SYSTEM (100)"),
    "a system column": Statement("SELECT count(DISTINCT ctid), count(xmin::text) FROM {u}"),
    "a column as a function": Statement("SELECT u.cluster_id FROM {u} u WHERE snr(u) > 1"),
}  # fmt: skip


GROUPED = {
    "by a key": Statement("SELECT u.snr, count(*), quality FROM {u} u JOIN {c} c USING (" + KEY + ") GROUP BY " + ", ".join(f"u.{name}" for name in KEY.split(", "))),
    "of plain names": Statement("SELECT structure_name, count(*) FROM {s} GROUP BY structure_acronym"),
    "in a calculation": Statement("SELECT length(s.structure_name) + 1, max(parent_acronym) FROM {s} s GROUP BY\n s.structure_acronym"),
    "in a subquery": Statement("SELECT max(q.n), count(*) FROM (SELECT structure_name n, count(*) FROM {s} GROUP BY structure_acronym) q GROUP BY length(q.n)"),
    "in both": Statement("SELECT s.structure_name, (SELECT max(z.structure_name) FROM (SELECT structure_name FROM {s} GROUP BY structure_acronym) z) FROM {s} s GROUP BY s.structure_acronym"),
    "with words in texts": Statement("SELECT structure_name || ' GROUP BY (', ')', count(*) FROM {s} GROUP BY structure_acronym"),
    "of a name in capitals": Statement("SELECT STRUCTURE_NAME, count(*) FROM {s} GROUP BY STRUCTURE_ACRONYM"),
    "of several sets": Statement("SELECT structure_name, parent_acronym, count(*) FROM {s} GROUP BY GROUPING SETS ((structure_acronym), (structure_acronym, parent_acronym))"),
    "with a condition": Statement("SELECT structure_name FROM {s} GROUP BY structure_acronym HAVING count(*) = 1 AND min(parent_acronym) IS NOT NULL"),
    "of two tables": Statement("SELECT s.structure_name, o.structure_name, o.parent_acronym FROM {s} s JOIN {s} o ON s.parent_acronym = o.structure_acronym GROUP BY s.structure_acronym, o.structure_acronym"),
}  # fmt: skip
"""Statements that take columns which the key decides that they group by: of a table, not of a view."""

GROUPED_OTHERWISE = {
    "of the condition alone": Statement("SELECT count(*) FROM {s} GROUP BY structure_acronym HAVING structure_name > 'b'"),
    "of all columns": Statement("SELECT s.*, count(*) FROM {s} s GROUP BY s.structure_acronym"),
    "of the outer query": Statement("SELECT (SELECT count(*) FROM {s} o WHERE o.parent_acronym = s.structure_name OR o.structure_acronym = s.parent_acronym) FROM {s} s GROUP BY s.structure_acronym"),
    "that the key does not decide": Statement("SELECT u.snr FROM {u} u GROUP BY u.session_id"),
}  # fmt: skip
"""Statements that must be answered or refused as by the database, whatever is loaded for them."""


def whole_tables(waits: Waiting) -> set[str]:
    """Return the tables that are loaded as a whole though they could be in parts."""
    return {name for name in waits._parts if name not in waits.tables}


def test_what_is_grouped_by_a_key_is_loaded_in_parts(open_partly: Callable[[], Partly]) -> None:
    expected = {name: each.ask() for name, each in GROUPED.items()}
    assert all(expected.values())
    partly = open_partly()
    for name, each in GROUPED.items():
        waits = partly.empty()
        assert each.ask() == expected[name], name
        assert waits._parts, name
        assert whole_tables(waits) == set(), name
        assert each.ask() == expected[name], name  # now that all of it is there


def test_what_is_grouped_otherwise_is_answered_as_by_the_database(open_partly: Callable[[], Partly]) -> None:
    def refused(statement: Statement) -> Callable[[], Any]:
        def ask() -> Any:
            try:
                return statement.ask()
            except DRIVER_ERRORS as error:
                return type(error).__name__, str(error).partition("\n")[0]

        return ask

    asked = {name: refused(each) for name, each in GROUPED_OTHERWISE.items()}
    assert different_answers(asked, open_partly, lambda: True) == []


MAY_BE_REFUSED = {"a query in a text"}


def told(statement: Statement) -> Callable[[], Any]:
    def ask() -> Any:
        try:
            return statement.ask()
        except RefusedError:
            return "refused"

    return ask


def test_hostile_statements_are_answered_as_by_the_database(open_partly: Callable[[], Partly]) -> None:
    asked = {name: told(each) for name, each in HOSTILE.items()}
    draw = random.Random(4)
    assert set(different_answers(asked, open_partly, lambda: draw.random() < 0.3)) == MAY_BE_REFUSED
    assert asked["a query in a text"]() == "refused"


def unit_rows(query: Any, *names: str) -> list[str]:
    return sorted(map(repr, query.to_dicts() if not names else query.to_arrays(*names).tolist()))


U, C, P, SEL = TABLES["u"], TABLES["c"], TABLES["p"], TABLES["sel"]
OF_DATAJOINT: dict[str, Callable[[], Any]] = {
    "all": lambda: unit_rows(U()),
    "of a key": lambda: unit_rows(U & {"session_id": SECOND}),
    "a column": lambda: unit_rows(U & {"session_id": SECOND}, "snr"),
    "a list": lambda: unit_rows((U & [{"session_id": SECOND}, "snr > 3"]).proj("snr", "quality")),
    "an empty list": lambda: len(U & []),
    "without": lambda: unit_rows((U - (C & "change_rate_active > 1")).proj()),
    "of a query": lambda: unit_rows((U & (C & "change_rate_active > 1")).proj("snr")),
    "unique": lambda: unit_rows(dj.U("cluster_id") & U()),
    "counted": lambda: unit_rows(dj.U("quality").aggr(U(), n="count(*)")),
    "united": lambda: len(U.proj() + (U & 'snr > 2').proj()),
    "NULL": lambda: len(P & {"trial_id": None}),
    "a wrong type": lambda: len(U & "quality = '1'"),
    "in order": lambda: U.to_dicts(order_by="snr DESC, unit_id", limit=3, offset=2),
    "contains": lambda: [bool(U & key) for key in SEL.keys(order_by="unit_id", limit=3)],
    "not": lambda: unit_rows((P & dj.Not({"active": True})).proj()),
    "renamed": lambda: unit_rows(U.proj("snr", cluster="cluster_id") & "cluster IS NOT NULL"),
    "calculated": lambda: unit_rows(U.proj(twice="snr * 2") & "twice > 4"),
    "top": lambda: unit_rows(U & dj.Top(limit=4, order_by="unit_id")),
}  # fmt: skip


def test_datajoints_queries_are_answered_as_by_the_database(open_partly: Callable[[], Partly]) -> None:
    draw = random.Random(3)
    names = list(OF_DATAJOINT)
    draw.shuffle(names)
    asked = {name: OF_DATAJOINT[name] for name in names}
    assert different_answers(asked, open_partly, lambda: draw.random() < 0.6) == []


def test_what_is_not_loaded_is_refused_and_not_answered(open_partly: Callable[[], Partly]) -> None:
    partly = open_partly()
    waits = partly.empty()
    (U & {"session_id": SECOND}).to_arrays("snr")
    place = U().full_table_name
    view = waits._parts[place.replace('"', "")].view
    datajoint.around_queries(None)  # as whoever reads past it
    query = dj.conn().query
    assert query(f"SELECT snr FROM {view} WHERE session_id = {SECOND}").fetchall()
    assert len(query(f"SELECT quality FROM {view} WHERE session_id = 1").fetchall()) == 0
    for text in NOT_LOADED:
        with pytest.raises(DRIVER_ERRORS, match="is not loaded in row group"):
            query(text.replace("{}", view))
    for text in ("SELECT snr FROM {}", "SELECT count(*) FROM {}", "TABLE {}", "COPY {} TO STDOUT"):
        with pytest.raises(RefusedError, match="permission denied"):
            query(text.replace("{}", place))
    rows = published_chunks.loaded_rows_table(
        partly.folder, next(each for each in partly.tables if each.table is U)
    )
    with pytest.raises(RefusedError, match="permission denied"):
        query(f"SELECT quality FROM {rows}")


NOT_LOADED = (
    "SELECT quality FROM {}", "SELECT * FROM {}", "SELECT u FROM {} u", "SELECT count(u) FROM {} u",
    "SELECT u::text FROM {} u", "SELECT to_jsonb(u) FROM {} u", "SELECT count(quality) FROM {}",
    "SELECT count(*) FROM {} WHERE quality IS NULL", "SELECT count(*) FROM {} WHERE quality IS NOT NULL",
    "SELECT coalesce(quality, 'good') FROM {}", "SELECT count(*) FROM {} a NATURAL JOIN {} b",
    "SELECT max(cluster_id) FROM {}", "SELECT 1 FROM {} ORDER BY quality", "SELECT DISTINCT quality FROM {}",
    "SELECT count(*) FROM (SELECT DISTINCT quality FROM {}) q", "SELECT 1 FROM {} GROUP BY quality",
    "SELECT count(*) FROM {} WHERE quality = quality", "SELECT count(*) FROM {} WHERE quality IN ('a', NULL)",
    "SELECT s.session_id FROM (VALUES (1)) s(session_id) FULL JOIN {} u ON u.cluster_id = s.session_id",
    "SELECT q.quality FROM (VALUES (1)) s(a) LEFT JOIN LATERAL (SELECT quality FROM {}) q ON true",
    "WITH q AS MATERIALIZED (SELECT quality FROM {}) SELECT count(*) FROM q",
    "SELECT rank() OVER (ORDER BY cluster_id) FROM {}", "SELECT snr FROM {} UNION SELECT cluster_id FROM {}",
    "SELECT CASE WHEN cluster_id = 1 THEN 1 ELSE 0 END FROM {}", "SELECT quality FROM {} LIMIT 1",
    "SELECT (SELECT quality) FROM {}", "SELECT EXISTS (SELECT 1 WHERE quality = 'good') FROM {}",
    "SELECT max(cluster_id) FILTER (WHERE false), min(cluster_id) FROM {}",
)  # fmt: skip


def test_columns_that_a_subquery_hands_on_do_not_come(open_partly: Callable[[], Partly]) -> None:
    """Nor do those of other questions come with a row group."""
    partly = open_partly()
    waits = partly.empty()
    parts = waits._parts_of(U().full_table_name.replace('"', ""))
    assert parts is not None
    (U & {"session_id": SECOND}).to_arrays("quality")
    dj.conn().query(f"SELECT max(q.snr) FROM (SELECT * FROM {U().full_table_name}) AS q").fetchall()
    (U * SEL & "snr > 1").proj("cluster_id").to_dicts()
    len(U.proj("amplitude_cutoff"))
    n_groups = parts.about.num_row_groups
    columns = {name: sum(1 for _, each in parts._chunks if each == name) for _, name in parts._chunks}
    assert columns.keys() == {"quality", "snr", "cluster_id"}
    assert columns["snr"] == n_groups
    assert columns["quality"] < n_groups or n_groups == 1


def test_what_a_plan_did_not_show_is_loaded_when_it_is_read(
    open_partly: Callable[[], Partly], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = unit_rows(U(), "snr")
    open_partly().empty()
    monkeypatch.setattr(scanned, "_not_loaded", lambda _node: {})
    assert unit_rows(U(), "snr") == expected


def test_two_processes_and_a_killed_one_leave_a_rectangle(open_partly: Callable[[], Partly]) -> None:
    """Each asks for other rows and columns; one dies between two row groups."""
    expected = {name: unit_rows(U(), name) for name in ("snr", "quality")}
    partly = open_partly()
    partly.empty()
    first = session.Session.keys(order_by="session_id", limit=1)[0]
    (U & first).to_arrays("snr")
    other = partly.anew()
    (U & {"session_id": SECOND}).to_arrays("quality")
    assert other is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published_chunks, "copy_lines", killed_at_third(published_chunks.copy_lines))
        partly.anew()
        with pytest.raises(KeyboardInterrupt):
            (U & "isi_violations >= 0").to_arrays("isi_violations")
        with pytest.raises(KeyboardInterrupt):
            U.to_arrays("presence_ratio")
    partly.anew()
    assert {name: unit_rows(U(), name) for name in expected} == expected


def killed_at_third(real: Callable[..., Any]) -> Callable[..., Any]:
    calls = iter(range(100))

    def copy_lines(*arguments: Any) -> Any:
        if next(calls) % 3 == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    return copy_lines


@pytest.mark.slow
def test_a_transaction_sees_all_or_is_refused(open_partly: Callable[[], Partly]) -> None:
    expected = unit_rows(U(), "snr")
    partly = open_partly()
    partly.empty()
    with dj.conn().transaction:
        assert unit_rows(U(), "snr") == expected
    partly.empty()
    driver = driver_of(dj.conn())
    driver.set_session(isolation_level="REPEATABLE READ", autocommit=False)
    try:
        dj.conn().query("SELECT 1")
        with pytest.raises(ConflictError, match="would not see what is loaded"):
            U.to_arrays("snr")
        driver.rollback()
    finally:
        driver.set_session(isolation_level="DEFAULT", autocommit=True)
    assert unit_rows(U(), "snr") == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "set_path", ["SET search_path = {}", "SELECT set_config('search_path', '{}', false)"]
)
def test_a_search_path_hides_no_table(set_path: str, open_partly: Callable[[], Partly]) -> None:
    def ask() -> Any:
        schema = U().full_table_name.split(".")[0].replace('"', "")
        dj.conn().query(set_path.format(schema))
        try:
            return dj.conn().query(f'SELECT max(snr), count(*) FROM "{U.table_name}"').fetchall()
        finally:
            dj.conn().query("RESET search_path")

    assert different_answers({set_path: ask}, open_partly, lambda: False) == []
