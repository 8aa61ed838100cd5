"""What a server that takes no changes answers, in words."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

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
        return MagicMock()

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


ENCRYPTION, REFUSAL = (80877103, 80877104), b"SFATAL\0C28000\0Mpast the handshake\0\0"


@contextlib.contextmanager
def encrypted_server(folder: Path, certificate: bytes, key: bytes) -> Iterator[int]:
    """Speak PostgreSQL's protocol up to the encrypted channel, and refuse the account there."""
    (folder / "server.pem").write_bytes(certificate + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return  # closed
            with contextlib.suppress(OSError), plain:  # who does not trust the certificate hangs up
                while (code := struct.unpack("!ii", plain.recv(8))[1]) != ENCRYPTION[0]:
                    assert code in ENCRYPTION
                    plain.sendall(b"N")  # no Kerberos
                plain.sendall(b"S")
                with context.wrap_socket(plain, server_side=True) as channel:
                    channel.recv(1024)
                    channel.sendall(b"E" + struct.pack("!i", 4 + len(REFUSAL)) + REFUSAL)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=[listening], daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("ca", "host", "check_host", "words"),
    [
        ("own", "127.0.0.1", True, "past the handshake"),
        ("another", "127.0.0.1", True, "certificate verify failed"),
        ("another", "127.0.0.1", False, "certificate verify failed"),
        ("own", "localhost", True, "does not match host name"),
        ("own", "localhost", False, "past the handshake"),
        (None, "127.0.0.1", True, "past the handshake"),
    ],
)
def test_postgresql_is_left_before_the_password_unless_its_certificate_is_of_the_named_ca(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ca: str | None, host: str, check_host: bool, words: str
) -> None:
    own, key = self_signed_certificate()
    (tmp_path / "ca.pem").write_bytes(own if ca == "own" else self_signed_certificate()[0])
    monkeypatch.setenv("PGSSLROOTCERT", "none")  # put back afterwards
    monkeypatch.setenv("VBN_TLS_CHECK_HOST", str(check_host))
    if ca:
        monkeypatch.setenv("VBN_TLS_CA", str(tmp_path / "ca.pem"))
    adapter = dj.adapters.get_adapter("postgresql")
    with (
        encrypted_server(tmp_path, own, key) as port,
        pytest.raises(psycopg2.OperationalError, match=words),
    ):
        adapter.connect(host, port, "ann", "word", use_tls=wanted() if ca else True)
