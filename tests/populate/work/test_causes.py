"""Causes of failures, and the pauses between tries."""

from __future__ import annotations

import errno

import psycopg2
import pymysql

from populate.work.causes import JobPatience, cause_of
from schemas.server.datajoint import dj
from vbn.errors import InvalidContentError, NotReadableError, ServerError, SettingError, StoreError
from vbn.web.client import Transient


def raised(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def test_causes_are_distinguished() -> None:
    lost = dj.errors.LostConnectionError("gone")
    for error, cause in (
        (lost, "server"),
        (pymysql.err.OperationalError(2006, "gone away"), "server"),
        (pymysql.err.OperationalError(1053, "shutdown"), "server"),
        (pymysql.err.InterfaceError(0, ""), "server"),
        (pymysql.err.InternalError("Packet sequence number wrong - got 3 expected 1"), "server"),
        (pymysql.err.IntegrityError(1062, "Duplicate entry 'sequence' for key 'PRIMARY'"), "data"),
        (pymysql.err.OperationalError(1213, "deadlock"), "lock"),
        (pymysql.err.OperationalError(1205, "lock wait"), "lock"),
        (pymysql.err.OperationalError(1045, "Access denied"), "data"),
        (pymysql.err.DataError(1406, "too long"), "data"),
        (psycopg2.OperationalError("server closed the connection unexpectedly"), "server"),
        (psycopg2.OperationalError('FATAL: password authentication failed for user "x"'), "data"),
        (raised(ServerError("does not answer"), lost), "server"),
        (raised(NotReadableError("s3://x", "6 tries failed"), Transient("no answer")), "remote_file"),
        (raised(NotReadableError("/x", "no permission"), PermissionError(errno.EACCES, "x")), "data"),
        (raised(NotReadableError("/x", "cannot be read"), OSError(errno.ESTALE, "x")), "remote_file"),
        (InvalidContentError("/x", "it is empty"), "data"),
        (OSError(errno.ENOSPC, "full"), "store"),
        (OSError(errno.EROFS, "read-only"), "store"),
        (StoreError("full"), "store"),
        (raised(SettingError("a row is too large"), lost), "data"),
        (MemoryError(), "memory"),
        (RuntimeError("can't start new thread"), "memory"),
        (
            raised(NotReadableError("/x", "no memory"), OSError("memory allocation failed for chunk")),
            "memory",
        ),
        (raised(InvalidContentError("/x", "pynwb cannot"), MemoryError()), "memory"),
        (RuntimeError("another"), "data"),
        (ValueError("a bug"), "data"),
    ):
        assert cause_of(error) == cause, error
    patience = JobPatience(10, 1.0, 60.0)
    for failures, longest in ((1, 1.0), (3, 4.0), (7, 60.0), (500, 60.0)):
        assert longest / 2 <= patience.wait_s(failures) <= longest
