"""What a snapshot lists is what the server has, found without questions that take seconds."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.server.datajoint import dj


def test_tables_are_those_of_the_server_and_views_are_not_joined(
    shared_database: Any, make_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL joins two views of its catalogue row by row: half a minute with three databases."""
    from populate.admin.snapshot import Snapshot
    from tests.fixtures.contents import MODULES

    make_database()  # another on the same server
    asked: list[str] = []
    query = dj.Connection.query

    def noting(self: Any, statement: str, *arguments: Any, **options: Any) -> Any:
        asked.append(statement)
        return query(self, statement, *arguments, **options)

    with Snapshot.taken(shared_database.connect()) as snapshot, monkeypatch.context() as patch:
        patch.setattr(dj.Connection, "query", noting)
        found = snapshot.tables()
        assert snapshot.tables_in([]) == []
    assert max(statement.count("information_schema.") for statement in asked) == 1
    ours = ", ".join(f"'{shared_database.prefix}{module}'" for module in MODULES)
    listed = shared_database.server.query(
        "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns "
        f"WHERE table_schema IN ({ours})"
    )
    columns = {(s, t, name, str(kind).lower()) for s, t, name, kind in listed if not t.startswith("~")}
    assert {(of.schema, of.name, name, kind) for of in found for name, kind in of.columns.items()} == columns
    assert [of.full_name for of in found] == sorted(of.full_name for of in found)
