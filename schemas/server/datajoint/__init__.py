"""The only place that imports DataJoint and relies on its undocumented behavior.

All other modules import ``dj`` and the functions below from here, so that a new version of DataJoint has to
be reviewed in one place only; ``tests/schemas/server/test_datajoint.py`` tests each assumption separately.
`binding` binds table classes to a database, `headings` reads their columns, `by_columns` inserts and decodes
rows.

Some of DataJoint's warnings are silenced on import: a missing ``datajoint.json`` is supported here (the
embedded server), and a deprecation within DataJoint concerns only DataJoint.
"""

from __future__ import annotations

import contextlib
import os
import socket
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import psycopg2.errors
import pymysql

from vbn.errors import SettingError

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="No datajoint.json found")
    warnings.filterwarnings("ignore", message="datajoint.migrate is deprecated")
    warnings.filterwarnings("ignore", message="Failed to load config")  # `settings` raises an error
    try:
        import datajoint as dj
        from datajoint import blob, instance
        from datajoint.adapters.postgres import PostgreSQLAdapter
        from datajoint.codecs import decode_attribute, get_codec
        from datajoint.condition import make_condition
        from datajoint.declare import prepare_declare
        from datajoint.hash_registry import get_store_backend
        from datajoint.heading import Heading
        from datajoint.settings import find_config_file
        from datajoint.utils import from_camel_case
    except ImportError as error:
        raise ImportError(f"{error}. Run: pip install --upgrade vbn-datajoint") from error
    except ValueError as error:  # pydantic's and DataJoint's own, on settings that cannot be used
        raise SettingError(f"DataJoint's settings (DJ_* variables) cannot be used: {error}") from error

__all__ = [
    "Heading", "decode_attribute", "dj", "find_config_file", "from_camel_case", "get_store_backend",
    "prepare_declare",
]  # fmt: skip

Key = dict[str, Any]


_connect_to_postgres = PostgreSQLAdapter.connect


# The most tables of a join that PostgreSQL puts into the best order. With 8, its default, it takes a tenth of
# a second to plan a join by equal names, as DataJoint writes it, for an answer of one row.
MOST_TABLES_REORDERED = 6


def _connect_to_server(adapter: Any, *place: Any, use_tls: Any = None, **options: Any) -> Any:
    """Connect to PostgreSQL; verify its certificate by the ``ca`` of ``use_tls``, which DataJoint ignores.

    A session plans joins of many tables faster, in the order in which they are written.
    """
    if isinstance(use_tls, dict) and "ca" in use_tls:
        os.environ["PGSSLROOTCERT"] = str(use_tls["ca"])
        options["sslmode"] = "verify-full" if use_tls["check_hostname"] else "verify-ca"
    connection = _connect_to_postgres(adapter, *place, use_tls=use_tls, **options)
    with connection.cursor() as cursor:
        cursor.execute(f"SET join_collapse_limit = {MOST_TABLES_REORDERED}")
    return connection


PostgreSQLAdapter.connect = _connect_to_server


def current_connection() -> Any:
    """Return the connection that ``dj.conn()`` would return, None if it would open a new one."""
    return instance._singleton_connection


def driver_of(connection: Any) -> Any:
    """Return the underlying connection of PyMySQL or psycopg2."""
    return connection._conn


def hold_transaction(connection: Any) -> None:
    """Say that a transaction is open which was begun by a statement.

    Otherwise DataJoint goes on outside of it, on a new connection, when this one is lost.
    """
    connection._in_transaction = True


def open_driver(connection: Any) -> Any:
    """Return a new connection of the driver to the server of DataJoint's connection; in any thread.

    DataJoint's own way to MySQL is deprecated by the driver, and silencing that is not for threads.
    """
    known = connection._build_connect_kwargs()
    if connection.adapter.backend != "mysql":
        return connection.adapter.connect(**known)
    tls = known["use_tls"] if getattr(driver_of(connection), "ssl", False) else False
    return pymysql.connect(
        **{name: known[name] for name in ("host", "port", "user", "password", "charset")},
        autocommit=True,
        ssl_disabled=tls is False,
        ssl=None if tls is False else ({} if tls is True else tls),
    )


def descriptor_of(driver: Any) -> int:
    """Return the file descriptor of a driver's connection."""
    return int(driver.fileno() if hasattr(driver, "fileno") else driver._sock.fileno())


def settings_of(connection: Any) -> Any:
    """Return the settings that a connection was opened with."""
    return connection._config


def configuration_source() -> str | None:
    """Return the configuration file that was read."""
    path = dj.config._config_path
    return None if path is None else str(path)


def reconnect(connection: Any) -> None:
    """Reopen a connection: if interrupted in the middle of a result, it is out of step with the server."""
    connection.close()
    connection.connect()
    connection._in_transaction = False


class _LeftToParent:
    """Stands for the driver's connection of the process that this one was forked from, until it is used."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._driver = connection, driver_of(connection)

    def __getattr__(self, name: str) -> Any:
        connection = self._connection
        connection.connect()
        if connection._in_transaction:
            connection._in_transaction = False
            raise dj.errors.LostConnectionError("This process was forked from another's transaction.")
        return getattr(driver_of(connection), name)


def leave_to_parent(connection: Any) -> None:
    """Part a connection from its socket, which this process shares with the one that it was forked from.

    Closing it would end the parent's session. Its next use opens a new one.
    """
    driver = driver_of(connection)
    with contextlib.suppress(OSError, AttributeError, psycopg2.Error):  # closed already
        shared = descriptor_of(driver)
        ours, other = socket.socketpair()
        other.close()
        os.dup2(ours.fileno(), shared)
        ours.close()
    connection._conn = _LeftToParent(connection)


def explain_errors(connection: Any, explain: Callable[[Exception, Exception, str], Exception]) -> None:
    """Let a function replace the exceptions that a connection raises.

    Parameters
    ----------
    connection : the connection.
    explain : called with the driver's exception, DataJoint's translation of it, and the statement.
    """
    adapter = connection.adapter
    translate = type(adapter).translate_error

    def translate_and_explain(error: Exception, query: str = "") -> Exception:
        translated = translate(adapter, error, query)
        if isinstance(error, psycopg2.errors.RestrictViolation):  # PostgreSQL 18 tells RESTRICT apart
            translated = dj.errors.IntegrityError(str(error))
        return explain(error, translated, query)

    adapter.translate_error = translate_and_explain


def condition_of(table: Any, restriction: Any) -> str:
    """Return a restriction of a table as an SQL condition."""
    return str(make_condition(table, restriction, set()))


def takes_rows(table: Any) -> bool:
    """Return whether DataJoint allows inserts into a table, auto-populated ones only within their make."""
    return bool(getattr(table, "_allow_insert", True))


def decode_array(stored: Any, connection: Any) -> Any:
    """Return the stored value of a ``<npy@vbn>`` column as a reference to the array in the store."""
    return get_codec("npy").decode(stored, context={"config": settings_of(connection)})


def packed_array(array: Any) -> bytes:
    """Return an array as ``<blob>`` stores it, uncompressed, which it reads as well."""
    return bytes(blob.pack(array, compress=False))


Send = Callable[[str, Any], Any]
"""Sends a statement with arguments, and returns its result."""

_query = dj.Connection.query
_around: Callable[[Any, str, Any, Send], Any] | None = None


def around_queries(ask: Callable[[Any, str, Any, Send], Any] | None) -> None:
    """Let a function send DataJoint's statements; None ends that.

    Parameters
    ----------
    ask : called with connection, statement, arguments and `Send`; returns what that does.
    """
    global _around
    _around = ask


def _query_around(connection: Any, query: str, args: Any = (), **options: Any) -> Any:
    if _around is None:
        return _query(connection, query, args, **options)

    def send(statement: str, arguments: Any) -> Any:
        return _query(connection, statement, arguments, **options)

    return _around(connection, query, args, send)


dj.Connection.query = _query_around


def use_stores(make: Callable[[str, Any], Any]) -> None:
    """Let ``<npy@...>`` use ``make(name, settings)`` as a store, where DataJoint would open it at once."""

    def backend(_codec: Any, store_name: str, config: Any = None) -> Any:
        return make(store_name, config)

    dj.builtin_codecs.NpyCodec._get_backend = backend


@contextlib.contextmanager
def foreign_keys_read_once(connection: Any) -> Iterator[None]:
    """Let DataJoint read the foreign keys of all schemas once, not again for each job table it creates.

    No other table may be created meanwhile.
    """
    graph = connection.dependencies
    graph.load()
    graph.load = lambda *_arguments, **_options: None
    try:
        yield
    finally:
        del graph.load


class JobTable(dj.Job):
    """A job table that already exists."""

    def _generate_definition(self) -> str:
        """Return nothing: only a new table needs it, and it takes reading the foreign keys of all schemas."""
        return ""

    def key_of(self, row: Key) -> Key:
        """Return the primary key in a row."""
        key: Key = self._get_pk(row)
        return key


def use_jobs(table: Any, jobs: JobTable) -> None:
    """Let ``table.populate`` and ``table.jobs`` use a job table."""
    table._jobs = jobs
