"""A database of an earlier version: refused in words, upgraded by ``vbn deploy``, nothing lost."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LAYOUTS = Path(__file__).parents[1] / "layouts"
PREFIX_OF_LAYOUTS = "layout0_"
OLD_SESSION = 9000000001
CHANGES = [1, 2, 4]


def load(database: Any, layout: int) -> None:
    """Load a dump into an empty prefix, as a client of the server does."""
    backend = "mysql" if database.server.backend == "mysql" else "embedded"
    with gzip.open(LAYOUTS / f"layout_{layout}_{backend}.sql.gz", "rt") as file:
        text = file.read().replace(PREFIX_OF_LAYOUTS, database.prefix)
    statements = text.split(";\n") if backend == "mysql" else [text]
    with contextlib.closing(database.server.open_connection()) as connection, connection.cursor() as cursor:
        for statement in filter(str.strip, statements):
            cursor.execute(statement)


def own_contents(database: Any) -> dict[str, Any]:
    """Return the rows of all tables but those that a deploy fills."""
    filled = ("administration.migration", "ecephys.#structure")
    return {name: rows for name, rows in database.contents().items() if name not in filled and rows}


def layout_of(database: Any) -> dict[str, list[str]]:
    return {name.replace(database.prefix, ""): columns for name, columns in database.tables().items()}


@pytest.fixture
def old_database(make_database: Callable[..., Any]) -> Any:
    database = make_database(deployed=False)
    load(database, 0)
    yield database
    database.drop()


def test_an_upgrade_keeps_all_rows_and_gives_the_layout_of_a_new_database(
    old_database: Any, shared_database: Any, synthetic_files: list[Path]
) -> None:
    before = own_contents(old_database)
    assert len(before) > 15
    if old_database.server.backend == "mysql":  # on the embedded server every command upgrades
        refused = old_database.vbn("status", check=False)
        assert refused.returncode == 1
        assert "are of an earlier version of this package (text is compared with case" in refused.stderr
        assert refused.stderr.strip().endswith("vbn backup DIR && vbn deploy")
    checked = old_database.vbn("deploy", "--check", check=False)
    assert checked.returncode == 1
    assert "due: change 1 of the layout: text is compared with case" in checked.stdout
    assert f"missing: {old_database.prefix}administration.migration" in checked.stdout
    assert own_contents(old_database) == before

    assert "Change 1 of the layout" in old_database.vbn("deploy").stdout

    assert "are up to date" in old_database.vbn("deploy", "--check").stdout
    assert own_contents(old_database) == before
    assert layout_of(old_database) == layout_of(shared_database)
    entered = old_database.server.query(
        f'SELECT migration FROM "{old_database.prefix}administration"."migration"'
    )
    assert sorted(row[0] for row in entered) == CHANGES
    structures = old_database.server.query(
        f'SELECT count(*) FROM "{old_database.prefix}ecephys"."#structure"'
        " WHERE structure_acronym IN ('cm', 'CM', 'Cm')"
    )
    assert structures == [(2,)]
    # and it works on: the old session's rows stand beside a new one's
    old_database.vbn("register", synthetic_files[1])
    old_database.vbn("populate", "--table", "Recording", "--table", "ChangeDetection", check=False)
    old_database.connect()
    from schemas import behavior, ecephys

    assert len(behavior.ChangeDetection & {"session_id": OLD_SESSION}) == 1
    assert len(behavior.ChangeDetection()) == 2
    assert len(ecephys.Recording()) == 1


def test_an_upgrade_that_was_interrupted_is_made_again(old_database: Any) -> None:
    """MySQL commits each table's change at once: some are of the new layout, and no entry says so."""
    if old_database.server.backend != "mysql":
        pytest.skip("PostgreSQL has nothing to change in this layout: run with --backend mysql")
    for table in ("session.mouse", "ecephys.#structure"):
        schema, name = table.split(".")
        old_database.server.query("SET foreign_key_checks = 0")
        old_database.server.query(
            f'ALTER TABLE "{old_database.prefix}{schema}"."{name}" '
            "CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"
        )
    old_database.server.query("SET foreign_key_checks = 1")
    before = own_contents(old_database)
    old_database.vbn("deploy")
    assert own_contents(old_database) == before
    pattern = old_database.prefix.replace("_", "\\_") + "%"
    collations = old_database.server.query(
        "SELECT DISTINCT collation_name FROM information_schema.columns WHERE collation_name IS NOT NULL "
        f"AND table_schema LIKE '{pattern}'"
    )
    assert collations == [("utf8mb4_0900_bin",)]


def test_an_upgrade_leaves_a_prefix_that_begins_alike_alone(old_database: Any) -> None:
    if old_database.server.backend != "mysql":
        pytest.skip("PostgreSQL has nothing to change in this layout: run with --backend mysql")
    neighbour = f"{old_database.prefix}other_session"
    query = old_database.server.query
    query(f'CREATE DATABASE "{neighbour}" COLLATE utf8mb4_0900_ai_ci')
    try:
        query(f'CREATE TABLE "{neighbour}"."mouse" (mouse_id varchar(32) PRIMARY KEY)')
        old_database.vbn("deploy")
        columns = f"SELECT collation_name FROM information_schema.columns WHERE table_schema = '{neighbour}'"
        assert query(columns) == [("utf8mb4_0900_ai_ci",)]
    finally:
        query(f'DROP DATABASE "{neighbour}"')


def indexes_of_units(database: Any) -> list[tuple[Any, ...]]:
    """Return the indexes by which a unit is found by its id alone."""
    schema = f"{database.prefix}ecephys"
    if database.server.backend == "mysql":
        return database.server.query(
            f"SELECT index_name FROM information_schema.statistics WHERE table_schema = '{schema}' "
            "AND table_name = '_recording__unit' AND column_name = 'unit_id' AND seq_in_index = 1"
        )
    return database.server.query(
        f"SELECT indexname FROM pg_indexes WHERE schemaname = '{schema}' "
        "AND tablename = '_recording__unit' AND indexdef LIKE '%(unit_id)'"
    )


def test_units_get_an_index_by_their_id_once(old_database: Any, shared_database: Any) -> None:
    assert indexes_of_units(old_database) == []
    old_database.vbn("deploy")
    assert len(indexes_of_units(old_database)) == len(indexes_of_units(shared_database)) == 1
    # entered, but not yet noted, when it was interrupted
    migration = f'"{old_database.prefix}administration"."migration"'
    old_database.server.query(f"DELETE FROM {migration} WHERE migration = 2")
    assert "Change 2 of the layout" in old_database.vbn("deploy").stdout
    assert len(indexes_of_units(old_database)) == 1


def test_two_deploys_at_once_make_each_change_once(old_database: Any) -> None:
    processes = [old_database.start("deploy") for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert sum("Change 1 of the layout" in output for output, _ in outputs) == 1
    assert len(old_database.contents()["administration.migration"]) == len(CHANGES)


def test_a_database_of_a_newer_version_is_left_alone(empty_database: Any) -> None:
    migration = f'"{empty_database.prefix}administration"."migration"'
    empty_database.server.query(
        f"INSERT INTO {migration} VALUES (99, 'something new', '2030-01-01', 'somebody', '9.9')"
    )
    try:
        for command in ("status", "deploy"):
            done = empty_database.vbn(command, check=False)
            assert done.returncode == 1
            assert "are of a newer version of this package than" in done.stderr
            assert "(change 99 of the layout)" in done.stderr
    finally:
        empty_database.server.query(f"DELETE FROM {migration} WHERE migration = 99")


def test_a_table_that_somebody_changed_by_hand_is_named(make_database: Callable[..., Any]) -> None:
    database = make_database()
    try:
        mouse = f'"{database.prefix}session"."mouse"'
        database.server.query(f"ALTER TABLE {mouse} ADD COLUMN favourite_cheese varchar(32) NULL")
        checked = database.vbn("deploy", "--check", check=False)
        assert checked.returncode == 1
        found = f"{database.prefix}session.mouse has columns that no definition names: favourite_cheese"
        assert checked.stdout == f"differs: {found}\n"
    finally:
        database.drop()
