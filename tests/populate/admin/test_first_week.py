"""A new student's first week on a lab's server, from a recording of her own to tables of her own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.bases import lab as declared
from schemas.deploy import lab_modules
from tests.fixtures.rig import MAPPING, RigFile
from tests.populate.admin.test_restore import drop_schemas
from tests.populate.admin.test_roles import Lab, configured, lab  # noqa: F401 - a fixture
from tests.populate.admin.test_spaces import MODULE, make_tables, space_of, two  # noqa: F401 - a fixture


@pytest.mark.slow
def test_a_first_week(
    two: Lab,  # noqa: F811
    open_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Inspected, mapped, imported, joined, listed, computed from, and restored under another prefix."""
    forget_modules(monkeypatch)
    own, mapping = RigFile().write(open_folder / "first_week.nwb"), open_folder / "first_week.toml"
    mapping.write_text(MAPPING)
    (release,) = json.loads(two.vbn("reader", "sessions", "--json").stdout)
    # Monday: she sees what her recording lacks; an admin enters it, and the lab's worker imports it.
    seen = two.vbn("reader", "inspect", own, "--mapping", mapping, "--import-only", "--json")
    (report,) = json.loads(seen.stdout)
    assert (report["failed"], report["made"]["Recording"]) == ({}, 1)
    registered = two.vbn("admin", "register", own, "--mapping", mapping, "--json")
    number = json.loads(registered.stdout)["session_id"]
    assert number == report["session_id"]
    two.vbn("worker", "populate", "--table", "Recording")
    # Tuesday: what is whose, joined and apart.
    counted = {row["project"]: row["n_units"] for row in projects(two)}
    units = json.loads(two.vbn("reader", "query", "units", "--project", "all", "--json").stdout)
    assert counted == {name: sum(row["project"] == name for row in units) for name in counted}
    assert set(counted) == {"our-rig", "vbn-release"}
    of_release = two.vbn("reader", "query", "units", "--project", "vbn-release", "--json").stdout
    assert {row["session_id"] for row in json.loads(of_release)} == {release["session_id"]}
    # Wednesday: a list, which the page proposes as a command, and her notebook reads.
    words = ("query", "units", "--project", "our-rig", "--save-list", "first-units")
    assert "first-units: a list of 4 units." in two.vbn("reader", *words).stderr
    with configured({**two.database.server.settings, **two.environment("reader")}, two.database):
        import schemas
        from schemas import queries

        schemas.connect(two.database.prefix)
        assert set(queries.units(in_list="first-units").to_arrays("session_id")) == {number}
    # Thursday: a table of her own, which the lab's worker computes.
    two.vbn("admin", "admin", "create-space", two.name("reader"))
    make_tables(two, "reader", tmp_path, monkeypatch)
    try:
        two.vbn("admin", "deploy", "--module", MODULE)
        done = two.vbn("worker", "populate", "--table", "Rank", "--module", MODULE)
        assert done.stdout == "1 entries made, 0 failed.\n"
        # Friday: the backup, beside production, as another process sees it.
        forget_modules(monkeypatch)
        restored_is_the_same(two, tmp_path / "backup", number)
    finally:
        sys.modules.pop(MODULE, None)
        two.vbn("reader", "list", "remove", "first-units")


def forget_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know of no lab's modules, as a new process does."""
    monkeypatch.setattr(declared, "_declared", [])
    monkeypatch.setattr(lab_modules, "_loaded", set())


def projects(lab: Lab) -> list[dict[str, Any]]:  # noqa: F811
    return list(json.loads(lab.vbn("reader", "project", "list", "--json").stdout))


def restored_is_the_same(lab: Lab, backup: Path, number: int) -> None:  # noqa: F811
    """Restore a backup under another prefix; lists, sessions, mapping, space and its rows are there."""
    drill, space = f"{lab.database.prefix}week_", space_of(lab, "reader")
    lab.vbn("owner", "backup", backup)
    try:
        lab.vbn("owner", "restore", backup, "--prefix", drill)
        there = f"{drill}{space.removeprefix(lab.database.prefix)}"
        for table in ("score", "__rank"):
            rows = lab.database.server.query(f'SELECT * FROM "{there}"."{table}"')
            assert rows == lab.database.server.query(f'SELECT * FROM "{space}"."{table}"')
            assert len(rows) == 1
        vbn = ("--prefix", drill)
        assert json.loads(lab.vbn("owner", *vbn, "project", "list", "--json").stdout) == projects(lab)
        shown = json.loads(lab.vbn("owner", *vbn, "query", "units", "--list", "first-units", "--json").stdout)
        assert {row["session_id"] for row in shown} == {number}
        (state,) = json.loads(lab.vbn("owner", *vbn, "admin", "spaces", "--json").stdout)
        assert (state["name"], state["owner"], state["n_tables"]) == (there, lab.name("reader"), 2)
    finally:
        drop_schemas(lab.database, drill)
