"""What a server that takes no changes answers, in words."""

from __future__ import annotations

from types import SimpleNamespace

import psycopg2
import pymysql
import pytest

from populate.work.causes import Cause, cause_of
from schemas.server.access import RefusedError, explain_refusals
from schemas.server.datajoint import dj

pytestmark = pytest.mark.files

OF_REPLICA = (
    "The MySQL server is running with the --super-read-only option so it cannot execute this statement"
)
OF_SETTINGS = (
    "The MySQL server is running with the --secure-file-priv option so it cannot execute this statement"
)


class ReadOnly(psycopg2.errors.ReadOnlySqlTransaction):
    pgcode = "25006"


def translated(backend: str, error: Exception) -> Exception:
    info = {"user": "ann", "host": "replica.lab.org", "port": 3306}
    connection = SimpleNamespace(adapter=dj.adapters.get_adapter(backend), conn_info=info)
    explain_refusals(connection, "vbn_", "worker")
    return connection.adapter.translate_error(error, "INSERT INTO `vbn_session`.`mouse` VALUES (1)")


@pytest.mark.parametrize(
    ("backend", "error"),
    [
        ("mysql", pymysql.err.OperationalError(1290, OF_REPLICA)),
        ("postgresql", ReadOnly("cannot execute INSERT in a read-only transaction")),
    ],
)
def test_a_replica_is_named_as_such_and_may_become_the_server_that_is_written_to(
    backend: str, error: Exception
) -> None:
    found = translated(backend, error)
    assert isinstance(found, RefusedError)
    assert str(found).startswith(f"The {backend} server replica.lab.org:3306 is read-only")
    assert cause_of(found) is Cause.SERVER  # a worker waits rather than failing the job


def test_what_other_options_of_a_server_forbid_is_not_said_to_be_of_a_replica() -> None:
    assert "read-only" not in str(translated("mysql", pymysql.err.OperationalError(1290, OF_SETTINGS)))
