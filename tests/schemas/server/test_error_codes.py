"""The one table of server error codes."""

from __future__ import annotations

import ast
from pathlib import Path

import psycopg2
import pymysql
import pytest
from psycopg2.errorcodes import lookup

from schemas.server import error_codes
from schemas.server.error_codes import LOCKED, READ_ONLY, code_of, is_away, is_lost

PROJECT = Path(__file__).parents[3]


def test_codes_are_read_from_either_drivers_errors() -> None:
    assert code_of(pymysql.err.OperationalError(1213, "Deadlock found")) in LOCKED
    assert code_of(pymysql.err.InternalError("Packet sequence number wrong")) is None
    assert code_of(psycopg2.OperationalError("server closed the connection unexpectedly")) is None
    assert code_of(ValueError()) is None


@pytest.mark.parametrize(
    ("code", "lost", "away"),
    [
        *[(2013, True, True), (1040, False, True), (1290, False, True), (1062, False, False)],
        *[("08006", True, True), ("53100", False, True), ("57P05", False, True), ("23505", False, False)],
    ],
)
def test_what_is_lost_is_away_and_a_full_server_is_not_lost(code: int | str, lost: bool, away: bool) -> None:
    assert (is_lost(code), is_away(code)) == (lost, away)


def test_every_state_is_one_that_postgresql_knows() -> None:
    states = [code for code in LOCKED | READ_ONLY if isinstance(code, str)]
    assert all(
        issubclass(psycopg2.errors.lookup(state), psycopg2.Error) and lookup(state) for state in states
    )


def test_nobody_else_knows_numbers() -> None:
    """What other modules compare with an error's code has a name."""
    named = {code for code in vars(error_codes).values() if isinstance(code, int) and code > 1000}
    named |= LOCKED | READ_ONLY | error_codes.ACCOUNT_EXISTS | error_codes.MAY_NOT_LOCK | error_codes.REFUSED
    offenders = [
        f"{path.relative_to(PROJECT)}:{node.lineno}"
        for package in ("schemas", "populate")
        for path in (PROJECT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Constant) and node.value in named and not isinstance(node.value, bool))
        or (isinstance(node, ast.Constant) and node.value == "pgcode")
        or (isinstance(node, ast.Attribute) and node.attr == "pgcode")
        if path != Path(str(error_codes.__file__))
    ]
    assert offenders == []
