"""Results of an earlier method: refused where they would be put together, named everywhere else."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from populate.output.optotagging_report import shares_by_line
from populate.page import content
from schemas import figures, queries
from schemas.queries.methods import earlier_methods
from tests.fixtures.database import Database
from vbn.errors import ConflictError, NotFoundError

FIRST, SECOND = 9000000001, 9000000002
VERSIONS = {
    "ChangeResponse": ("responses", "__change_response", "change_response_method_version"),
    "CellClass": ("responses", "__cell_class", "cell_class_method_version"),
    "OptotagLabel": ("optotagging", "__optotag_label", "optotag_label_method_version"),
    "TaskStatistics": ("performance", "__task_statistics", "task_statistics_method_version"),
    "Stimulus": ("stimulus", "_stimulus", "stimulus_method_version"),
    "Psth": ("psth", "__psth", "psth_method_version"),
}


@pytest.fixture(autouse=True)
def database(populated_synthetic: Database) -> Database:
    populated_synthetic.connect()
    return populated_synthetic


@contextmanager
def earlier(database: Database, table: str, *session_ids: int) -> Iterator[None]:
    """Let rows of a table be of an earlier method within the block."""
    schema, name, column = VERSIONS[table]
    chosen = ", ".join(map(str, session_ids))

    def shift(by: int) -> None:
        database.server.query(
            f'UPDATE "{database.prefix}{schema}"."{name}" SET {column} = {column} + {by} '
            f"WHERE session_id IN ({chosen})"
        )

    shift(-1)
    try:
        yield
    finally:
        shift(1)


def hierarchy(**options: Any) -> None:
    with suppress(NotFoundError):  # no unit of the short sessions responds to changes
        figures.change_hierarchy(criteria="all", min_units=1, **options)


ASKED: dict[str, tuple[str, Any]] = {
    "responses": ("ChangeResponse", lambda **options: queries.responses_table(queries.units(), **options)),
    "psth": ("Psth", lambda **options: queries.psth_matrix(queries.units(), **options)),
    "classes": ("CellClass", lambda **options: queries.psth_matrix(queries.units(), **options)),
    "made from": (
        "OptotagLabel",
        lambda **options: queries.responses_table(queries.units(), ["CellClass"], **options),
    ),
    "imported": (
        "Stimulus",
        lambda **options: queries.responses_table(queries.units(), ["FullFieldResponse"], **options),
    ),
    "trials": ("TaskStatistics", lambda **options: queries.trial_table(**options)),
    "hierarchy": ("ChangeResponse", hierarchy),
    "optotagging": ("OptotagLabel", lambda **options: figures.laser_evidence(FIRST, **options)),
    "report": ("OptotagLabel", shares_by_line),
}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("sessions", [(SECOND,), (FIRST, SECOND)], ids=["mixed", "all earlier"])
def test_what_would_be_put_together_is_refused(
    database: Database, name: str, sessions: tuple[int, ...]
) -> None:
    table, ask = ASKED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error", queries.EarlierMethodWarning)
        ask()
        with earlier(database, table, *sessions), pytest.raises(ConflictError) as caught:
            ask()
    assert f"{table} (rows: " in str(caught.value)
    assert "vbn recompute" in str(caught.value)
    assert "allow_mixed=True" in str(caught.value)
    with earlier(database, table, *sessions), pytest.warns(queries.EarlierMethodWarning, match=table):
        ask(allow_mixed=True)


def test_other_tables_sessions_and_sets_do_not_matter(database: Database) -> None:
    with warnings.catch_warnings(), earlier(database, "ChangeResponse", SECOND):
        warnings.simplefilter("error", queries.EarlierMethodWarning)
        queries.responses_table(queries.units(session_id=FIRST))
        queries.responses_table(queries.units(), ["OmissionResponse"])
        with pytest.raises(ConflictError):
            queries.responses_table(queries.units(session_id=SECOND), ["ChangeResponse"])


def test_versions_and_rows_are_counted(database: Database) -> None:
    from schemas import responses

    keys: dict[Any, dict[str, Any]] = {responses.ChangeResponse: {}}
    assert earlier_methods(keys) == []
    present = responses.ChangeResponse.method_version
    with earlier(database, "ChangeResponse", SECOND):
        (found,) = earlier_methods(keys)
    assert (found.table, found.present, found.rows) == (
        "ChangeResponse",
        present,
        {present - 1: 1, present: 1},
    )
    rows = f"1 of version {present - 1}, 1 of version {present}"
    assert str(found) == f"ChangeResponse (rows: {rows}; present: version {present})"


def test_figures_of_one_session_are_drawn_and_say_so(database: Database) -> None:
    with earlier(database, "Psth", FIRST), pytest.warns(queries.EarlierMethodWarning, match="Psth"):
        figures.change_response(FIRST, "CA1", criteria="all")
    with (
        earlier(database, "TaskStatistics", FIRST),
        pytest.warns(queries.EarlierMethodWarning, match="TaskStatistics"),
    ):
        figures.training_history("990001")
    with earlier(database, "CellClass", FIRST), pytest.warns(queries.EarlierMethodWarning, match="CellClass"):
        queries.units(cell_class="RS")


@pytest.mark.filterwarnings("default::schemas.queries.EarlierMethodWarning")
def test_commands_refuse_go_on_and_say_so(database: Database, tmp_path: Path) -> None:
    out = tmp_path / "figure.png"
    plot = ("plot", "optotagging", "--session", FIRST, "--out", out)
    query = ("query", "responses", "--table", "CellClass", "--limit", "1")
    for command in (plot, query, ("optotagging", "report")):
        assert "method" not in database.call(*command).stderr
        with earlier(database, "OptotagLabel", SECOND):
            refused = database.call(*command, check=False)
            assert refused.returncode == 1
            assert refused.stderr.startswith("vbn: Some results were not computed by the present method: ")
            assert refused.stderr.strip().endswith("--allow-mixed.")
            allowed = database.call(*command, "--allow-mixed")
        assert "vbn: Some results were not computed by the present method: OptotagL" in allowed.stderr
    with earlier(database, "Psth", FIRST):
        change = ("plot", "change-response", "--session", FIRST, "--structure", "CA1", "--all-units")
        drawn = database.call(*change, "--out", out)
    assert drawn.stderr.startswith("vbn: Some results were not computed by the present method: Psth")


@pytest.mark.filterwarnings("default::schemas.queries.EarlierMethodWarning")
def test_the_page_has_a_notice(database: Database) -> None:
    assert content.notice() == ""
    with earlier(database, "ChangeResponse", SECOND), earlier(database, "OptotagLabel", FIRST):
        notice = content.notice()
        assert "ChangeResponse (rows: 1 of version" in notice
        assert "OptotagLabel (rows: " in notice
        assert "vbn recompute" in notice
        assert isinstance(content.optotagging_control(), list)  # none of these few units has enough evidence
        rows = queries.unit_table(queries.units(session_id=FIRST), ["change_is_responsive"])
        assert len(rows)
