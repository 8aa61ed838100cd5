"""The servers' error codes, by meaning: MySQL's numbers (errno) and PostgreSQL's SQLSTATEs.

The names are those of the drivers; numbers that PyMySQL does not name are named here.
"""

from __future__ import annotations

from psycopg2 import errorcodes as postgres
from pymysql.constants import CR as CLIENT
from pymysql.constants import ER as MYSQL

CONNECTION_CLOSED = 0  # PyMySQL's own
WRONG_VALUE = 1525
NEED_REPREPARE = 1615
DATA_OUT_OF_RANGE = 1690
READ_ONLY_MODE = 1836
CONNECTION_KILLED = 1927  # MariaDB
USER_LOCK_DEADLOCK = 3058
SESSION_WAS_KILLED = 3169
LOCK_NOWAIT = 3572
CLIENT_INTERACTION_TIMEOUT = 4031

Code = int | str | None

REFUSED: frozenset[Code] = frozenset(
    {MYSQL.ACCESS_DENIED_ERROR, MYSQL.SPECIFIC_ACCESS_DENIED_ERROR, MYSQL.PROCACCESS_DENIED_ERROR}
    | {MYSQL.CANT_CREATE_USER_WITH_GRANT}
)
"""MySQL refuses a global privilege or an operation on accounts; DataJoint does not translate these."""

MAY_NOT_LOCK: frozenset[Code] = frozenset(
    {MYSQL.DBACCESS_DENIED_ERROR, MYSQL.ACCESS_DENIED_ERROR, MYSQL.SPECIFIC_ACCESS_DENIED_ERROR}
)
"""MySQL refuses to lock all tables."""

READ_ONLY: frozenset[Code] = frozenset(
    {MYSQL.OPTION_PREVENTS_STATEMENT, READ_ONLY_MODE, postgres.READ_ONLY_SQL_TRANSACTION}
)
"""The server accepts no changes; MySQL uses the first code for other options, too."""

DISK_FULL: frozenset[Code] = frozenset({MYSQL.DISK_FULL, MYSQL.RECORD_FILE_FULL, postgres.DISK_FULL})
"""The server has no room for its files."""

ACCOUNT_EXISTS: frozenset[Code] = frozenset({MYSQL.CANNOT_USER, postgres.DUPLICATE_OBJECT})
"""An account cannot be created; MySQL uses its code for every failed operation on accounts."""

DIVISION_BY_ZERO: Code = postgres.DIVISION_BY_ZERO
"""MySQL has NULL instead, unless it inserts."""

MALFORMED: frozenset[Code] = frozenset(
    {WRONG_VALUE, MYSQL.TRUNCATED_WRONG_VALUE, postgres.INVALID_TEXT_REPRESENTATION}
    | {postgres.INVALID_DATETIME_FORMAT, postgres.DATETIME_FIELD_OVERFLOW}
)
"""A text is not of the form of what it is compared with, such as of a date."""

LOCKED: frozenset[Code] = frozenset(
    {MYSQL.LOCK_WAIT_TIMEOUT, MYSQL.LOCK_DEADLOCK, MYSQL.TABLE_DEF_CHANGED, NEED_REPREPARE}
    | {USER_LOCK_DEADLOCK, LOCK_NOWAIT, postgres.SERIALIZATION_FAILURE, postgres.DEADLOCK_DETECTED}
    | {postgres.LOCK_NOT_AVAILABLE, postgres.QUERY_CANCELED}
)
"""Another client holds, or held, a lock that the statement needs."""

_LOST = frozenset(
    {CONNECTION_CLOSED, CLIENT.CR_UNKNOWN_ERROR, CLIENT.CR_CONNECTION_ERROR, CLIENT.CR_CONN_HOST_ERROR}
    | {CLIENT.CR_UNKNOWN_HOST, CLIENT.CR_SERVER_GONE_ERROR, CLIENT.CR_SERVER_HANDSHAKE_ERR}
    | {CLIENT.CR_SERVER_LOST, CLIENT.CR_COMMANDS_OUT_OF_SYNC, CLIENT.CR_MALFORMED_PACKET}
    | {CLIENT.CR_SERVER_LOST_EXTENDED}
)
_AWAY = _LOST | frozenset(
    {MYSQL.CON_COUNT_ERROR, MYSQL.SERVER_SHUTDOWN, MYSQL.ABORTING_CONNECTION, MYSQL.NET_READ_ERROR}
    | {MYSQL.NET_READ_INTERRUPTED, MYSQL.NET_ERROR_ON_WRITE, MYSQL.NET_WRITE_INTERRUPTED}
    | {MYSQL.TOO_MANY_USER_CONNECTIONS, MYSQL.QUERY_INTERRUPTED, CONNECTION_KILLED, SESSION_WAS_KILLED}
    | {CLIENT_INTERACTION_TIMEOUT, MYSQL.DISK_FULL, MYSQL.RECORD_FILE_FULL}
    | {MYSQL.OPTION_PREVENTS_STATEMENT, READ_ONLY_MODE}
)
_LOST_STATES = (
    postgres.CLASS_CONNECTION_EXCEPTION, postgres.ADMIN_SHUTDOWN, postgres.CRASH_SHUTDOWN,
    postgres.CANNOT_CONNECT_NOW,
)  # fmt: skip
_AWAY_STATES = (
    *_LOST_STATES, postgres.CLASS_INSUFFICIENT_RESOURCES, postgres.IDLE_SESSION_TIMEOUT,
    postgres.CLASS_SYSTEM_ERROR, postgres.READ_ONLY_SQL_TRANSACTION,
)  # fmt: skip


def has_no_result(code: Code) -> bool:
    """Return whether a value keeps a query from being answered: one of its own, or one that is there."""
    if isinstance(code, str):
        return code.startswith(postgres.CLASS_DATA_EXCEPTION)
    return code in MALFORMED or code == DATA_OUT_OF_RANGE


def code_of(error: BaseException) -> Code:
    """Return the code of a driver's exception: a SQLSTATE, or MySQL's number; None if it has none."""
    state: str | None = getattr(error, "pgcode", None)
    first = error.args[0] if error.args else None
    return state or (first if isinstance(first, int) else None)


def is_lost(code: Code) -> bool:
    """Return whether the connection is lost."""
    return code in _LOST or (isinstance(code, str) and code.startswith(_LOST_STATES))


def is_away(code: Code) -> bool:
    """Return whether the server is unavailable for now: connection lost, disk full, read-only."""
    return code in _AWAY or (isinstance(code, str) and code.startswith(_AWAY_STATES))
