"""What `vbn populate` asks the server before it works."""

from __future__ import annotations

import pytest

from populate.work import runner
from schemas.server.datajoint import dj
from tests.fixtures.database import Database

pytestmark = pytest.mark.database


def test_sessions_with_nothing_left_are_not_asked_about_one_by_one(
    populated_synthetic: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    populated_synthetic.connect()
    asked: list[str] = []
    query = dj.Connection.query

    def noted(self: dj.Connection, statement: str, *arguments: object, **options: object) -> object:
        asked.append(statement)
        return query(self, statement, *arguments, **options)

    keys, tables = runner.session_keys(), runner.populated_tables()
    assert len(keys) == 2
    list(runner.run(keys, tables))  # headings are read
    monkeypatch.setattr(dj.Connection, "query", noted)
    numbers = []
    for some in (keys[:1], keys):
        asked.clear()
        assert not list(runner.run(some, tables))
        numbers.append(len(asked))
    assert numbers[0] == numbers[1] > len(tables)


def test_only_sessions_with_open_jobs_are_worked_on(populated_synthetic: Database) -> None:
    populated_synthetic.connect()
    keys = [*runner.session_keys(), runner.NO_SESSION]
    (table,) = (runner.jobs.prepared(cls) for cls in runner.populated_tables(["LickBouts"]))
    assert runner._with_open_jobs(keys, [table]) == [runner.NO_SESSION]
    job = {**keys[1], "lick_bout_params": "allensdk", "status": "pending", "priority": 5}
    table.jobs.insert1(job)  # by hand: what is made already has none
    try:
        assert runner._with_open_jobs(keys, [table]) == [keys[1], runner.NO_SESSION]
    finally:
        (table.jobs & keys[1]).delete_quick()
