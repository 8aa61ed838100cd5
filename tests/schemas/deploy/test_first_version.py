"""A database that the first version filled: deployed, nothing is lost; recomputed, it is as made anew.

The dumps are of commit 5e3df33, with all results of a short session, and parameter sets of somebody's own.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fixtures.database import Database
from tests.schemas.deploy.test_upgrade import LAYOUTS, load

RENAMED_FILTERS = {"good": "good_0_1", "visual_coding": "visual_coding_0_1"}
# Sets whose results a database that was made anew does not have.
OLD_SETS = {*RENAMED_FILTERS.values(), "repeated_active"}
OWN_SETS = {
    "UnitCriteria": "own_snr",
    "ImageSelectivityParams": "own_window",
    "FullFieldResponseParams": "own_flashes",
}
RENAMED_TABLES = {
    f"responses.{before}flash_response{after}": f"responses.{before}full_field_response{after}"
    for before, after in (("#", "_params"), ("__", ""), ("__", "__unit"))
}
RENAMED_COLUMNS = {
    "flash_response": ("(n_)?flash_", r"\g<1>full_field_"),
    "receptive_field": ("(n_)?field_", r"\g<1>rf_"),
    "change_response": ("change_(modulation|first_spike)", r"change_siegle_2021_\g<1>"),
}
OF_SETS = ("_content", "_hash", "_version")  # adapted to the present methods
# Python 3.11 has filters since its fourth release; the archive is our own.
EXTRACTION: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
FILLED_BY_DEPLOY = ("administration.migration", "ecephys.#structure")


class Site:
    """A database with the session's file, whose root the commands are told."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with tarfile.open(LAYOUTS / "first_version.tar.xz") as tar:
            tar.extractall(database.folder / "first", **EXTRACTION)
        self.data = database.folder / "first" / "data"

    def vbn(self, *arguments: object) -> str:
        roots = json.dumps({"data": str(self.data)})
        return str(self.database.vbn(*arguments, env={"VBN_ROOTS": roots}).stdout)

    def fill_store(self) -> None:
        """Lay the arrays where the rows say that they are."""
        for path in self.database.referenced_files():
            name = re.sub(r"_[\w-]{8}\.npy$", ".npy", path.as_posix())
            name = name.replace(f"_schema/{self.database.prefix}", "store/")
            (self.database.store / path).parent.mkdir(parents=True, exist_ok=True)
            (self.database.store / path).write_bytes((self.data.parent / name).read_bytes())


@pytest.fixture(scope="module")
def old(make_database: Callable[..., Database]) -> Iterator[tuple[Site, dict[str, Any], dict[str, Any]]]:
    """The dump, deployed; its tables, and versions of methods, before."""
    database = make_database(deployed=False)
    load(database, "first_version")
    site = Site(database)
    site.fill_store()
    before = rows_of(database)
    site.vbn("deploy")
    yield site, before, rows_of(database)
    database.drop()


def rows_of(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return ``schema.table`` -> its rows."""
    found = {}
    for table, columns in database.tables().items():
        kept = ", ".join(f'"{name}"' for name in columns)
        rows = database.server.query(f"SELECT {kept} FROM {table}")
        name = table.replace(database.prefix, "").replace('"', "")
        found[name] = [dict(zip(columns, row, strict=True)) for row in rows]
    return found


def with_new_names(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the first version under the present names of its columns."""
    for of_tables, (old, new) in RENAMED_COLUMNS.items():
        if of_tables in table:
            row = {re.sub(f"^{old}", new, name): value for name, value in row.items()}
    return row


def counted(rows: list[dict[str, Any]], columns: set[str]) -> Counter[str]:
    """Count rows by the values of some columns, filters by their new names."""

    def value(row: dict[str, Any], name: str) -> Any:
        held = row[name]
        if name == "unit_criteria":
            return RENAMED_FILTERS.get(held, held)
        held = bytes(held) if isinstance(held, memoryview) else held
        return json.dumps(held, sort_keys=True) if isinstance(held, dict | list) else held

    return Counter(repr([value(row, name) for name in sorted(columns)]) for row in rows)


def test_nothing_is_lost(old: tuple[Site, dict[str, Any], dict[str, Any]], shared_database: Database) -> None:
    site, before, after = old
    assert sum(map(bool, before.values())) > 40
    for table, rows in before.items():
        if table in FILLED_BY_DEPLOY or not rows:
            continue
        rows = [with_new_names(table, row) for row in rows]
        now = after[RENAMED_TABLES.get(table, table)]
        is_of_sets = ".#" in table
        common = {
            name for name in rows[0].keys() & now[0].keys() if not (is_of_sets and name.endswith(OF_SETS))
        }
        assert common, table
        assert not counted(rows, common) - counted(now, common), table
        assert len(now) == len(rows) or is_of_sets, table
    tables = [database.tables() for database in (site.database, shared_database)]
    of_ours, of_new = (
        {name.replace(database.prefix, ""): columns for name, columns in each.items()}
        for database, each in zip((site.database, shared_database), tables, strict=True)
    )
    assert of_ours == of_new
    assert "are up to date" in site.vbn("deploy", "--check")


def test_sets_of_somebody_s_own_are_there_and_unchanged(
    old: tuple[Site, dict[str, Any], dict[str, Any]],
) -> None:
    site, *_ = old
    site.database.connect()
    from schemas.bases.parameter_table import parameter_tables

    for table, name in OWN_SETS.items():
        cls = parameter_tables()[table]
        settings = cls.get(name)
        assert cls.add(name, settings) is False
    assert parameter_tables()["ImageSelectivityParams"].get("own_window").response_window_s == (0.05, 0.2)


def test_stale_rows_are_those_of_changed_methods_and_recomputing_gives_what_is_made_anew(
    old: tuple[Site, dict[str, Any], dict[str, Any]], make_database: Callable[..., Database]
) -> None:
    from populate.work.staleness import stale_rows
    from schemas.bases.provenance import METHOD, MadeWith
    from schemas.bases.registry import tables

    site, *_ = old
    site.database.connect()
    changed = set()
    for cls in tables(MadeWith):
        versions = set(cls.to_arrays(f"{cls.provenance_prefix()}_{METHOD}").tolist())
        if versions - {cls.method_version}:
            changed.add(cls.__name__)
    rows = stale_rows()
    assert {row.table for row in rows if "the method has changed" in row.reason} == changed
    known = ("the method has changed", "the parameters have changed", "made from")
    assert all(row.reason.startswith(known) for row in rows)
    assert "ImageSelectivity" in changed
    assert {row.key["image_selectivity_params"] for row in rows if row.table == "ImageSelectivity"} == {
        "repeated_active",
        "own_window",
    }
    site.vbn("recompute", "--yes")
    assert stale_rows() == []
    site.vbn("populate")
    fresh = filled_anew(site, make_database())
    of_old, of_new = (each.contents(without=("package_version",)) for each in (site.database, fresh))
    assert of_old.keys() == of_new.keys()
    for table, new in of_new.items():
        if table.startswith(("administration", "selection.#", "session.catalogue", "session.nwb_file")):
            continue
        ours, fresh_rows = (
            Counter(repr(row) for row in rows if not OLD_SETS & {*row}) for rows in (of_old[table], new)
        )
        assert ours == fresh_rows, table


def filled_anew(site: Site, database: Database) -> Database:
    """Fill another database with the same file and the same parameter sets."""
    other = Site(database)
    other.vbn("register", other.data, "--catalogue", other.data / "project_metadata")
    for table, name in OWN_SETS.items():
        content = database.folder / f"{name}.json"
        content.write_text(site.vbn("params", "show", table, name))
        other.vbn("params", "add", table, name, "--content", content)
    other.vbn("populate")
    return database
