"""What a server that takes no changes answers, in words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
import pymysql
import pytest

from populate.work.causes import Cause, cause_of
from schemas.server.access import RefusedError, explain_refusals, tls_of_postgres, tls_setting
from schemas.server.datajoint import dj
from tests.fixtures.certificates import self_signed_certificate
from vbn.errors import SettingError

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


def wanted(backend: str = "postgresql", *, use_tls: bool | None = None) -> Any:
    return tls_setting(SimpleNamespace(backend=backend, host="db.lab.org", use_tls=use_tls))


def test_a_named_ca_is_what_driver_and_programs_verify_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(self_signed_certificate()[0])
    monkeypatch.setenv("VBN_TLS_CA", str(ca))
    monkeypatch.setenv("PGSSLROOTCERT", "none")  # put back afterwards
    assert wanted("mysql") == {"ca": str(ca), "check_hostname": True}
    assert tls_of_postgres(wanted()) == {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(ca)}
    assert tls_of_postgres(True) == {"PGSSLMODE": "require"}
    assert tls_of_postgres(None) == {"PGSSLMODE": "prefer"}
    asked: list[str] = []

    def connect(**how: Any) -> Any:
        asked.append(how["sslmode"])
        return SimpleNamespace()

    monkeypatch.setattr(psycopg2, "connect", connect)
    for mode in ("verify-full", "verify-ca"):
        monkeypatch.setenv("VBN_TLS_CHECK_HOST", str(mode == "verify-full"))
        adapter = dj.adapters.get_adapter("postgresql")
        adapter.connect("db.lab.org", 5432, "ann", "word", use_tls=wanted())
    assert asked == ["verify-full", "verify-ca"]


@pytest.mark.parametrize(
    ("content", "settings", "words"),
    [
        (None, {}, "No such file or directory. Copy the CA's file"),
        ("no certificate", {}, "holds no certificate"),
        ("", {"VBN_TLS_CHECK_HOST": "maybe"}, "must be true or false"),
        ("good", {"use_tls": "false"}, "switches encryption off"),
    ],
)
def test_a_ca_that_cannot_be_used_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, settings: dict[str, str], words: str
) -> None:
    if content is not None:
        made = self_signed_certificate()[0] if content == "good" else content.encode()
        (tmp_path / "ca.pem").write_bytes(made)
    for name, value in {"VBN_TLS_CA": str(tmp_path / "ca.pem"), **settings}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=words):
        wanted(use_tls=False if "use_tls" in settings else None)
