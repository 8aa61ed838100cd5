"""The connection to the database: opening, closing, explained errors, and locks on the server."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg2
import pymysql
from psycopg2.errorcodes import IN_FAILED_SQL_TRANSACTION

from schemas.server import access, frozen, published, restoring, settings, stores
from schemas.server.datajoint import current_connection, dj, leave_to_parent, use_stores
from schemas.server.embedded import PORT, START_TIMEOUT_S, EmbeddedServer
from schemas.server.error_codes import code_of
from vbn.errors import ServerError, SettingError

LOCK_TIMEOUT_S = 300

DRIVER_ERRORS = (pymysql.err.MySQLError, psycopg2.Error, dj.errors.LostConnectionError)


@dataclass(frozen=True)
class Database:
    """A connection with the schemas of one prefix activated on it."""

    connection: Any
    prefix: str
    store: settings.Store
    embedded: EmbeddedServer | None
    role: str | None = None  # of the account: reader, worker or admin; None if it has none of these
    published: published.PublishedFolder | None = None

    @property
    def backend(self) -> str:
        """``mysql`` or ``postgresql``."""
        return str(self.connection.adapter.backend)

    def __str__(self) -> str:
        """Return the location in readable form."""
        if self.published:
            name = frozen.freeze_in(self.published.folder)
            return f"freeze '{name}'" if name else f"published folder {self.published.place}"
        if self.embedded:
            return f"embedded PostgreSQL in {self.embedded.data_folder}"
        info = self.connection.conn_info
        return f"{self.backend} on {info['host']}:{info['port']}"


_active: Database | None = None


def active() -> Database:
    """Return the database that the table classes are bound to.

    Raises
    ------
    SettingError
        If they are not bound.
    """
    if _active is None:
        raise SettingError("There is no connection to a database yet. Call schemas.connect() first.")
    return _active


def bound_to(prefix: str) -> Database | None:
    """Return the database that the table classes are bound to, if it is connected.

    None if it has another prefix, or another server or store than is configured now.
    """
    known = _active
    if known is None or known.prefix != prefix or known.store.spec != settings.resolve_store().spec:
        return None
    return known if _is_configured(known) and _answers(known.connection) else None


def _is_configured(known: Database) -> bool:
    """Return whether the settings still name the server of a database; a program may have changed them."""
    if known.published is not None:
        return True  # which folder is read, its store tells
    if known.embedded is not None:
        return not settings.server_is_configured()
    return settings.server_is_configured() and _is_of(known.connection, dj.config.database)


def _answers(connection: Any) -> bool:
    """Return whether the server answers; DataJoint does not notice that a PostgreSQL is gone."""
    try:
        if connection.is_connected:
            connection.query("SELECT 1", reconnect=False)
            return True
    except DRIVER_ERRORS as error:
        return code_of(error) == str(IN_FAILED_SQL_TRANSACTION)
    return False


def set_active(database: Database) -> None:
    """Record which database the table classes are bound to."""
    global _active
    _active = database


def open_database(prefix: str | None = None, *, to_restore: bool = False) -> Database:
    """Connect to the server as `connect` does, but accept missing tables and those of another version.

    The table classes are not bound to it.

    Parameters
    ----------
    prefix : prefix of the schemas' names.
    to_restore : accept a database whose restore was interrupted, too.

    Raises
    ------
    ConflictError
        If the database is being restored, or a restore of it was interrupted.
    """
    if published.configured() is not None:
        settings.set_aside_database()
    else:
        settings.return_to_database()
    prefix = settings.schema_prefix(prefix)
    folder = published.configured() if not published.is_loading() else None
    embedded = _use_embedded_server()
    store = _use_store()
    connection = _open_connection(embedded)
    if folder is not None:
        access.explain_refusals(connection, prefix, "reader")
        return Database(connection, prefix, store, None, "reader", folder)
    role = None if embedded else access.role_of(connection, prefix)
    access.explain_refusals(connection, prefix, role)
    if not to_restore:
        restoring.require_restored(connection, prefix)
    return Database(connection, prefix, store, embedded, role)


def disconnect() -> None:
    """Close the connection; the next `connect` opens a new one, to a database, not to what `open` opened."""
    global _active
    published.use(None)
    if _active is not None:
        _active.connection.close()
    _active = None
    settings.return_to_database()  # at once: what is set from here on, is meant for the next database


def _use_embedded_server() -> EmbeddedServer | None:
    """Start the embedded server and point DataJoint at it, unless a server is configured."""
    if settings.server_is_configured():
        return None
    server = EmbeddedServer(settings.home_folder())
    server.start()
    only_reads = published.configured() is not None and not published.is_loading()
    settings.use_embedded(server.socket_folder, PORT, published.ACCOUNT if only_reads else server.user)
    return server


def _use_store() -> settings.Store:
    store = settings.resolve_store()
    use_stores(stores.LazyStore)
    if store.spec:
        dj.config.stores[settings.STORE_NAME] = store.spec
    else:
        dj.config.stores.pop(settings.STORE_NAME, None)
    return store


def _open_connection(embedded: EmbeddedServer | None) -> Any:
    """Open a new connection, or return the open one; explain failures."""
    info = dj.config.database
    if info.user is None or info.password is None:
        raise SettingError(
            f"The server '{info.host}' is configured, but no {'user' if info.user is None else 'password'}. "
            "Set DJ_USER and DJ_PASS, or .secrets/database.user and .secrets/database.password."
        )
    if embedded is None and dj.config["database.password"] == settings.OF_SOCKET:
        raise SettingError(
            f"The server '{info.host}' was named after the embedded one was used, whose other settings are "
            "still there. Set database.backend, .port, .user and .password in dj.config, too."
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    tls = None if embedded else access.tls_setting(info)
    while True:
        try:
            with quiet_datajoint():
                return dj.conn(reset=not _is_connected_to(info), use_tls=tls)
        except DRIVER_ERRORS as error:
            if embedded is None:
                server = f"{info.backend} server {info.host}:{info.port}"
                raise ServerError(f"The {server} {_explain(error, str(info.user))}") from error
            if not _is_recovering(error) or time.monotonic() > deadline:
                raise ServerError(_explain_embedded(error, embedded)) from error
        time.sleep(0.2)
        embedded.start()  # unless it recovers by itself


def _is_recovering(error: Exception) -> bool:
    """Return whether a PostgreSQL will answer soon: it starts, or puts its data in order after a crash."""
    words = ("starting up", "recovery mode", "shutting down", "not yet accepting", "Connection refused")
    text = str(error)
    return any(word in text for word in words) or "No such file or directory" in text


def _explain_embedded(error: Exception, embedded: EmbeddedServer) -> str:
    """Return why the embedded server does not answer."""
    text = " ".join(str(error).split()) or type(error).__name__
    where = f"The embedded PostgreSQL in {embedded.data_folder}"
    if "No space left" in text:
        return f"{where} cannot work: its disk is full. Make room."
    return (
        f"{where} does not answer ({text}). Its log is {embedded.log_file}. "
        "Stop it, so that the next command starts it again: vbn down"
    )


def _leave_connection_to_parent() -> None:
    """Part a forked process from its parent's connection; its next query opens one of its own."""
    held = (current_connection(), _active.connection if _active else None)
    for connection in {id(each): each for each in held if each is not None}.values():
        leave_to_parent(connection)


os.register_at_fork(after_in_child=_leave_connection_to_parent)


def _is_connected_to(info: Any) -> bool:
    connection = current_connection()
    return connection is not None and _answers(connection) and _is_of(connection, info)


def _is_of(connection: Any, info: Any) -> bool:
    known = connection.conn_info
    return (known["host"], known["port"], known["user"]) == (info.host, info.port, info.user)


def _explain(error: Exception, user: str) -> str:
    """Return why no connection could be made."""
    text = str(error).strip()
    if about_tls := access.explain_tls(text):
        return about_tls
    if "Access denied" in text or "authentication failed" in text or "no password supplied" in text:
        return f"refuses the user '{user}' or the password. Check DJ_USER and DJ_PASS."
    if "role" in text and "does not exist" in text:
        return f"knows no user '{user}'. Check DJ_USER."
    return (
        f"does not answer ({text.splitlines()[0] if text else type(error).__name__}). "
        "Check that it is running, and check DJ_HOST and DJ_PORT; without DJ_HOST, the embedded one is used."
    )


@contextlib.contextmanager
def quiet_datajoint() -> Iterator[None]:
    """Silence DataJoint's log while we may still give a better explanation of a failure."""
    logger = logging.getLogger("datajoint")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def server_lock(name: str, database: Database | None = None) -> Iterator[None]:
    """Allow one process at a time into the block; the server releases the lock of a process that dies.

    Parameters
    ----------
    name : name of the lock; each schema prefix has its own.
    database : the database, by default the connected one.
    """
    database = database or active()
    full_name, query = f"{database.prefix}{name}", database.connection.query
    if database.backend == "mysql":
        if query("SELECT GET_LOCK(%s, %s)", args=(full_name, LOCK_TIMEOUT_S)).fetchone()[0] != 1:
            raise ServerError(f"Another process has held '{full_name}' for minutes. Try again later.")
        release = "SELECT RELEASE_LOCK(%s)"
    else:
        query("SELECT pg_advisory_lock(hashtext(%s))", args=(full_name,))
        release = "SELECT pg_advisory_unlock(hashtext(%s))"
    try:
        yield
    finally:
        query(release, args=(full_name,))
