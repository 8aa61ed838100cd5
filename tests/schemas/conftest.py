"""What several tests of the tables share."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.server.datajoint import dj
from tests.fixtures.database import Database


@pytest.fixture
def synthetic_database(populated_synthetic: Database) -> Database:
    """The synthetic sessions' database, with the table classes bound to it."""
    populated_synthetic.connect()
    return populated_synthetic


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect what DataJoint's connections send from here on."""
    asked: list[str] = []
    query = dj.Connection.query

    def noting(self: Any, statement: str, *arguments: Any, **options: Any) -> Any:
        asked.append(statement)
        return query(self, statement, *arguments, **options)

    monkeypatch.setattr(dj.Connection, "query", noting)
    return asked
