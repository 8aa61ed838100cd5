"""The release's tables before, with or after the files: the same rows in the end.

The sessions are those of which one is flagged, which must be known by then.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.corpus, pytest.mark.files]  # the same on both servers
# What the flags and the experience reach; the rest is imported from the same files.
TABLES = ("Recording", "UnitSelection")


def with_the_files(database: Any, corpus: Path) -> None:
    database.vbn("register", corpus, "--catalogue", corpus / "project_metadata")


def before_the_files(database: Any, corpus: Path) -> None:
    database.vbn("catalogue", corpus / "project_metadata")
    database.vbn("register", corpus)


def after_the_files(database: Any, corpus: Path) -> None:
    database.vbn("register", corpus)
    database.vbn("catalogue", corpus / "project_metadata")


def after_the_selection(database: Any, corpus: Path) -> None:
    """The units of a session are selected before it is known to be flagged."""
    database.vbn("register", corpus)
    populate(database)
    database.vbn("catalogue", corpus / "project_metadata")


def before_and_with_the_files(database: Any, corpus: Path) -> None:
    database.vbn("catalogue", corpus / "project_metadata")
    with_the_files(database, corpus)


def with_the_files_a_second_time(database: Any, corpus: Path) -> None:
    database.vbn("register", corpus)
    with_the_files(database, corpus)


def populate(database: Any) -> None:
    database.vbn("populate", *(word for name in TABLES for word in ("--table", name)))


ORDERS = (
    before_the_files,
    after_the_files,
    after_the_selection,
    before_and_with_the_files,
    with_the_files_a_second_time,
)


@pytest.fixture(scope="module")
def in_order(
    corpus_hard: Path, populated_corpus_hard: Any, make_database: Callable[..., Any]
) -> Callable[[Callable[[Any, Path], None]], Any]:
    """A function that enters files and tables in an order, and selects the units of both."""
    made = {with_the_files.__name__: populated_corpus_hard}

    def enter(order: Callable[[Any, Path], None]) -> Any:
        if order.__name__ not in made:
            database = made[order.__name__] = make_database()
            order(database, corpus_hard)
            populate(database)
        made[order.__name__].connect()
        return made[order.__name__]

    return enter


def rows_of_sessions(database: Any) -> dict[str, Any]:
    """What the tables say of the sessions, and which units pass which filter."""
    from schemas import selection, session

    database.connect()
    kept = {"order_by": "session_id"}
    sessions = session.Session.proj(
        ..., *(f"-{name}" for name in session.Session.heading.names if name.endswith("_at"))
    )
    chosen = (selection.UnitSelection.Unit.proj()).to_dicts()
    return {
        "mice": session.Mouse.to_dicts(order_by="mouse_id"),
        "sessions": sessions.to_dicts(**kept),
        "selections": sorted((row["session_id"], row["unit_criteria"], row["unit_id"]) for row in chosen),
        "flagged": flags_told(database),
    }


def flags_told(database: Any) -> list[tuple[int, str]]:
    issues = database.json("issues")
    return sorted(
        (row["session_id"], row["issue_detail"]) for row in issues if "abnormal" in row["issue_detail"]
    )


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.__name__)
def test_the_order_of_files_and_tables_does_not_matter(in_order: Any, order: Any) -> None:
    assert rows_of_sessions(in_order(order)) == rows_of_sessions(in_order(with_the_files))


@pytest.mark.parametrize("order", [with_the_files, *ORDERS], ids=lambda order: order.__name__)
def test_flagged_sessions_are_out_of_bennett_2025_and_no_others(
    in_order: Any, corpus_hard: Path, order: Any
) -> None:
    import pandas as pd

    from schemas import queries, session

    in_order(order)
    table = pd.read_csv(corpus_hard / "project_metadata/ecephys_sessions.csv", index_col="ecephys_session_id")
    flagged = table[["abnormal_histology", "abnormal_activity"]].notna().any(axis=1)
    assert set(flagged) == {True, False}
    chosen = set(queries.units(criteria="bennett_2025").to_arrays("session_id").tolist())
    assert chosen == set(table.index[~flagged])
    levels = session.Session.to_dicts(order_by="session_id")
    expected = table.sort_index()["experience_level"].tolist()
    assert [row["experience_level"] for row in levels] == expected


@pytest.mark.parametrize("order", [with_the_files, *ORDERS], ids=lambda order: order.__name__)
def test_the_tables_agree_with_the_files_they_are_of(in_order: Any, order: Any) -> None:
    """Times labelled as UTC that are Pacific, names not cut short, file ids of -999: nothing disagrees."""
    codes = {row["issue_code"] for row in in_order(order).json("issues")}
    assert codes
    assert "catalogue_disagrees" not in codes
