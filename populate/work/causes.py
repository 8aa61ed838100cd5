"""Causes of failures, which decide whether another try may help.

A failure that the data cause would happen again, so it is recorded at once. A server, network or store that
is temporarily away, or a lock held by somebody else, says nothing about the job.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import psycopg2
import pymysql

from schemas.server.datajoint import dj
from schemas.server.error_codes import LOCKED, Code, code_of, is_away
from vbn.errors import (
    AbsentArrayError,
    FileError,
    HostError,
    QuotaError,
    SettingError,
    StoreError,
    VbnError,
    lacks_memory,
)
from vbn.web.client import Transient

STORE_IS_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
STORE_IS_CLOSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
AWAY_FOR_NOW = frozenset(
    {errno.ETIMEDOUT, errno.ESTALE, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EPIPE}
    | {errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH}
)
# By name, as the library is installed only where the store is on S3.
S3_AWAY = frozenset({"botocore.exceptions.HTTPClientError", "botocore.exceptions.EndpointConnectionError"})

REFUSALS = ("Access denied", "authentication failed", "no password supplied", "does not exist")


class Cause(StrEnum):
    """What caused a failure."""

    DATA = "data"
    SERVER = "server"  # the connection is lost, the server away, starting, stopping or full
    LOCK = "lock"  # a deadlock, or a lock that another connection holds
    REMOTE_FILE = "remote_file"  # a file on the web or a network disk that is temporarily unreadable
    STORE = "store"  # the array store is full, closed or away
    MEMORY = "memory"
    QUOTA = "quota"  # the space of the table is larger than it may be
    HOST = "host"  # this machine lacks a root, a mount, the store or a filter; others may have it


@dataclass(frozen=True)
class JobPatience:
    """How often a job is tried, and the pauses in between.

    Parameters
    ----------
    tries : total number over all workers; the last failure is recorded.
    first_wait_s, longest_wait_s : pause after the first failure, doubled after each further one.
    causes : causes of failures after which the job is tried again.
    waits_for_store : whether a full or closed store stops the work instead of failing each job.
    """

    tries: int
    first_wait_s: float
    longest_wait_s: float
    causes: tuple[Cause, ...] = (Cause.SERVER, Cause.LOCK, Cause.REMOTE_FILE)
    waits_for_store: bool = False

    def wait_s(self, failures: int) -> float:
        """Return the pause after a number of failures, shortened at random by up to a half.

        This keeps several workers from coming back at the same moment.
        """
        longest = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(failures - 1, 30))
        return longest * (0.5 + secrets.randbelow(1001) / 2000)


def cause_of(error: BaseException) -> Cause:
    """Return the cause of an exception, or of the one that it was raised from.

    Parameters
    ----------
    error : the exception that ended a job or a connection.
    """
    for link in _chain(error):
        if isinstance(link, HostError):
            return Cause.HOST
        if isinstance(link, QuotaError):
            return Cause.QUOTA
        if isinstance(link, FileError):
            if lacks_memory(link):
                return Cause.MEMORY
            return Cause.REMOTE_FILE if any(map(_is_away, _chain(link))) else Cause.DATA
        if cause := _own_cause(link):
            return cause
    return Cause.DATA


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_away(error: BaseException) -> bool:
    """Return whether a file is temporarily unreachable."""
    if isinstance(error, OSError) and error.errno in AWAY_FOR_NOW:
        return True
    return isinstance(error, Transient | TimeoutError | ConnectionError)


def _own_cause(error: BaseException) -> Cause | None:
    """Return the cause that an exception alone shows, None if it shows none."""
    if lacks_memory(error) and not isinstance(error, VbnError):
        return Cause.MEMORY
    if isinstance(error, AbsentArrayError):
        return Cause.DATA  # the store is there, and has lost it
    if isinstance(error, StoreError):
        return Cause.STORE
    if isinstance(error, SettingError):
        return Cause.DATA  # whatever followed from the setting
    if isinstance(error, dj.errors.LostConnectionError):
        return Cause.SERVER
    if isinstance(error, pymysql.err.MySQLError | psycopg2.Error):
        return _cause_by_code(error)
    if isinstance(error, OSError) and error.errno in STORE_IS_FULL | STORE_IS_CLOSED:
        return Cause.STORE
    if any(f"{kind.__module__}.{kind.__name__}" in S3_AWAY for kind in type(error).__mro__):
        return Cause.STORE
    return Cause.REMOTE_FILE if _is_away(error) else None


def _cause_by_code(error: pymysql.err.MySQLError | psycopg2.Error) -> Cause:
    code = code_of(error)
    if code in LOCKED:
        return Cause.LOCK
    return Cause.SERVER if is_away(code) or _lacks_code(error, code) else Cause.DATA


def _lacks_code(error: Exception, code: Code) -> bool:
    """Return whether a driver has no code for what happened, such as an interrupted answer."""
    if isinstance(error, pymysql.err.MySQLError):
        return (
            isinstance(error, pymysql.err.InterfaceError)
            or not error.args
            or "sequence" in str(error.args[0])
        )
    is_connection_error = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    return code is None and is_connection_error and not any(words in str(error) for words in REFUSALS)
