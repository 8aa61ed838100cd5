"""What we take for granted of DataJoint's insides; a new version that does otherwise is told of here."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas import behavior, ecephys, psth, session
from schemas.bases.registry import part_classes, schema_names, tables
from schemas.rows.insert import insert_rows
from schemas.server import datajoint as fence
from schemas.server.datajoint import binding, dj, find_config_file, headings
from schemas.server.settings import STORE_NAME
from schemas.server.stores import opened_store

PROJECT = Path(__file__).parents[3]
FENCE = PROJECT / "schemas" / "server" / "datajoint"


def require(holds: object, what: str, where: str = "__init__.py") -> None:
    """Fail in words."""
    assert holds, (
        f"DataJoint {dj.__version__} does it otherwise: {what}. See schemas/server/datajoint/{where}"
    )


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for package in ("schemas", "populate"):
        for path in (PROJECT / package).rglob("*.py"):
            if FENCE not in path.parents:
                yield path.relative_to(PROJECT), ast.parse(path.read_text())


def test_nobody_else_imports_datajoint() -> None:
    imports = [
        (str(path), name)
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    ]
    assert len(imports) > 500
    assert [(path, name) for path, name in imports if name.split(".")[0] == "datajoint"] == []


def modules_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]


# Bokeh has no other way to the application that answers, which is where headers are set.
KNOWN_EXCEPTION = "populate/page/server.py", "_tornado"


def test_nobody_else_touches_a_private_name_that_is_not_ours() -> None:
    """A name with an underscore that a module uses as an attribute is defined in that module."""
    offenders = []
    for path, tree in sources():
        nodes = list(ast.walk(tree))
        defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ours = {node.name for node in nodes if isinstance(node, defined)}
        ours |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        ours |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        attributes = [node for node in nodes if isinstance(node, ast.Attribute) and is_private(node.attr)]
        attributes = [node for node in attributes if node.attr != "_exit"]  # documented: os._exit
        ours |= {node.attr for node in attributes if isinstance(node.ctx, ast.Store) and is_self(node.value)}
        ours |= {KNOWN_EXCEPTION[1]} if str(path) == KNOWN_EXCEPTION[0] else set()
        offenders += [f"{path}:{node.lineno} {node.attr}" for node in attributes if node.attr not in ours]
    assert offenders == []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


@pytest.fixture
def connection(synthetic_database: Any) -> Any:
    """The connection to a small release that is populated."""
    return synthetic_database.connect().connection


def test_the_connection_that_is_open_is_known_without_opening_one(connection: Any) -> None:
    require(
        fence.current_connection() is dj.conn(), "dj.conn() keeps its connection elsewhere", "__init__.py"
    )


def test_the_drivers_connection_is_behind_datajoints(connection: Any) -> None:
    driver = fence.driver_of(connection)
    module = "pymysql" if connection.adapter.backend == "mysql" else "psycopg2"
    require(
        type(driver).__module__.startswith(module), "a connection keeps its driver's elsewhere", "__init__.py"
    )


def test_a_connection_has_the_settings_that_we_ask_for(connection: Any) -> None:
    found = fence.settings_of(connection)
    require(found.provenance.capture is False, "settings.provenance.capture", "__init__.py: settings_of")
    require(isinstance(found.jobs.default_priority, int), "settings.jobs.default_priority")
    require(found.jobs.keep_completed is False, "jobs that are done are removed")


def test_the_configuration_file_that_was_read_is_known() -> None:
    require(hasattr(dj.config, "_config_path"), "config._config_path", "__init__.py: configuration_source")
    assert fence.configuration_source() in (None, str(find_config_file()))


def test_a_new_connection_is_in_no_transaction(connection: Any) -> None:
    connection.start_transaction()
    fence.reconnect(connection)
    require(
        not connection.in_transaction,
        "a connection notes its transaction elsewhere",
        "__init__.py: reconnect",
    )
    with connection.transaction:
        assert connection.in_transaction


def test_what_the_driver_raises_is_said_by_us(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def explain(*said: Any) -> Exception:
        seen.extend(said)
        return LookupError("in our words")

    monkeypatch.setattr(connection.adapter, "translate_error", None)
    fence.explain_errors(connection, explain)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - which one is the question
        connection.query("SELECT nonsense")
    require(
        raised.type is LookupError, "errors pass by adapter.translate_error", "__init__.py: explain_errors"
    )
    error, translated, query = seen
    require(query == "SELECT nonsense", "translate_error knows the statement", "__init__.py: explain_errors")
    assert not isinstance(error, dj.DataJointError)
    assert isinstance(translated, Exception)


def test_whatever_is_asked_of_a_table_is_told_before(connection: Any) -> None:
    told: list[str] = []

    def ask(_connection: Any, statement: str, arguments: Any, send: fence.Send) -> Any:
        told.append(statement)
        return send(statement, arguments)

    fence.around_queries(ask)
    try:
        len(session.Mouse())
        session.Mouse().to_dicts()
        (ecephys.Recording.Unit & "snr > 2").to_arrays("snr")
        session.Session.proj().aggr(session.NwbFile, n="count(*)").to_dicts()
    finally:
        fence.around_queries(None)
    n_told = len(told)
    session.Mouse().to_dicts()
    named = all(any(name in each for each in told) for name in ("mouse", "__unit", "nwb_file", "count("))
    require(
        named and len(told) == n_told,
        "what a published folder holds is loaded when a statement of dj.Connection.query names it",
    )


def test_a_restriction_is_a_condition_in_sql(connection: Any) -> None:
    row = session.NwbFile.proj().to_dicts()[0]
    condition = fence.condition_of(session.NwbFile(), row)
    query = f"SELECT count(*) FROM {session.NwbFile.full_table_name} WHERE {condition}"
    require(connection.query(query).fetchone()[0] == 1, "make_condition", "__init__.py: condition_of")


def test_a_populated_table_takes_rows_in_its_make_only(connection: Any) -> None:
    refuses = not fence.takes_rows(psth.Psth()) and fence.takes_rows(session.Mouse())
    require(refuses, "_allow_insert says whether a table may be inserted into", "__init__.py: takes_rows")
    with pytest.raises(dj.DataJointError, match="auto-populated"):
        insert_rows(psth.Psth(), [dict.fromkeys(psth.Psth.heading.names, 1)])


def test_an_array_of_the_store_is_a_reference_and_a_file(connection: Any) -> None:
    table = ecephys.Recording.Probe
    stored = connection.query(f"SELECT probe_spike_times FROM {table.full_table_name}").fetchone()[0]
    stored = json.loads(stored) if isinstance(stored, str) else stored
    reference = fence.decode_array(stored, connection)
    require(reference.path == stored["path"], "codec npy gives a reference with its path")
    with opened_store(STORE_NAME).open(reference.path) as file:
        np.testing.assert_array_equal(np.load(file), reference.load())


def test_a_job_table_takes_no_questions_to_make_and_is_what_populate_uses(
    connection: Any, questions: list[str]
) -> None:
    table = psth.Psth()
    jobs = fence.JobTable(table)
    require(questions == [], "Job._generate_definition is all that asks the server", "__init__.py: JobTable")
    fence.use_jobs(table, jobs)
    require(table.jobs is jobs, "a table keeps its job table in _jobs", "__init__.py: use_jobs")
    key = dict.fromkeys(jobs.primary_key, "x")
    require(key and jobs.key_of({**key, "host": "y"}) == key, "Job._get_pk", "__init__.py: JobTable.key_of")
    require(jobs.full_table_name == dj.Job(table).full_table_name, "the name of a job table")


def test_foreign_keys_are_read_once_while_job_tables_are_made(connection: Any, questions: list[str]) -> None:
    jobs = dj.Job(psth.Psth())
    with fence.foreign_keys_read_once(connection):
        questions.clear()
        assert jobs._get_fk_derived_pk_attrs()
        require(questions == [], "dependencies.load() reads the foreign keys", "__init__.py")
    jobs._get_fk_derived_pk_attrs()
    require(questions != [], "a new job table takes the foreign keys no more: drop foreign_keys_read_once")


def test_binding_again_leaves_classes_as_they_were(connection: Any, synthetic_database: Any) -> None:
    before = {cls: (cls.__doc__, cls.heading.names) for cls in tables()}
    for schema in (session.schema, behavior.schema):
        schema.connection.schemas.pop(schema.database)
        schema.database, name = None, schema.database
        with binding.tables_known_to_exist():
            schema.bind(name, connection, create=False)
    same = {cls: (cls.__doc__, cls.heading.names) for cls in tables()} == before
    require(
        same, "activate() appends the definition to the docstring, and no more", "binding.py: Schema.bind"
    )
    known = set(connection.schemas) >= {session.schema.database, behavior.schema.database}
    require(known, "a connection's schemas are those whose dependencies it reads", "binding.py: Schema.bind")


def test_tables_are_asked_for_by_is_declared(connection: Any) -> None:
    missing = dj.FreeTable(connection, f"{session.schema.database}.nowhere")
    with binding.tables_known_to_exist():
        require(missing.is_declared is True, "Table.is_declared", "binding.py: tables_known_to_exist")
    assert missing.is_declared is False


def described(table: Any) -> dict[str, Any]:
    """Return all that a heading holds, hidden attributes as well, read anew."""
    heading = fence.Heading(table_info=table.heading.table_info)
    return {"names": heading.names, **vars(heading)}


def test_headings_read_at_once_are_those_that_datajoint_reads(
    connection: Any, synthetic_database: Any
) -> None:
    every = [table() for master in tables() for table in (master, *part_classes(master))]
    every += [fence.JobTable(cls()) for cls in tables(dj.Imported, dj.Computed)]
    names = schema_names(synthetic_database.prefix)
    try:
        headings.read_at_once(None, ())
        by_itself = [described(table) for table in every]
        headings.read_at_once(connection, names)
        at_once = [described(table) for table in every]
    finally:
        headings.read_at_once(connection, names)
    for table, mine, its in zip(every, at_once, by_itself, strict=True):
        assert mine == its, table.full_table_name


def test_no_question_is_left_once_a_schemas_headings_are_read(
    connection: Any, synthetic_database: Any, questions: list[str]
) -> None:
    headings.read_at_once(connection, schema_names(synthetic_database.prefix))
    described(behavior.Licks())
    questions.clear()
    described(behavior.ChangeDetection.Trial())
    described(fence.JobTable(behavior.Licks()))
    require(questions == [], f"other questions about a heading: {questions[:1]}", "headings.py: QUERIES")
