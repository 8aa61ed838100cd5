"""Connecting to the database and binding the table classes to it."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import psycopg2
import pymysql

from schemas import access, migrations, settings
from schemas._datajoint import dj, from_camel_case
from schemas.embedded import PORT, EmbeddedServer
from vbn.errors import ConflictError, NotFoundError, ServerError, SettingError, StoreError

# In dependency order: a module's tables refer to those of the modules before it.
MODULES = (
    "session", "ecephys", "behavior", "stimulus", "selection", "psth", "optotagging", "performance",
    "responses", "administration",
)  # fmt: skip

LOCK_TIMEOUT_S = 300

DRIVER_ERRORS = (pymysql.err.MySQLError, psycopg2.Error, dj.errors.LostConnectionError)


@dataclass(frozen=True)
class Database:
    """A connection with the schemas of one prefix activated on it."""

    connection: Any
    prefix: str
    store: settings.Store
    embedded: EmbeddedServer | None
    role: str | None = None  # of the account: reader, worker or admin; None if it was given none of them

    @property
    def backend(self) -> str:
        """``mysql`` or ``postgresql``."""
        return str(self.connection.adapter.backend)

    def __str__(self) -> str:
        """Return the place in words."""
        if self.embedded:
            return f"embedded PostgreSQL in {self.embedded.data_folder}"
        info = self.connection.conn_info
        return f"{self.backend} on {info['host']}:{info['port']}"


_active: Database | None = None


def connect(
    prefix: str | None = None, create: bool = False, report: Callable[[str], None] = lambda _line: None
) -> Database:
    """Connect to the configured server, else to the embedded one, and activate every schema.

    Calling it again with the same prefix returns the same database; with another prefix it binds
    the table classes to that one.

    Parameters
    ----------
    prefix
        Beginning of the schemas' names; default ``VBN_PREFIX``, else ``vbn_``.
    create
        Create the schemas, tables and default parameter rows that do not exist, and bring tables of
        an earlier version up to date (what ``vbn deploy`` does). On the embedded server this happens by
        itself.
    report
        Told each change of the layout that is made.

    Raises
    ------
    ServerError
        If the server does not answer or refuses.
    NotFoundError
        If the tables do not exist and ``create`` is False.
    ConflictError
        If the tables are of another version.
    SettingError, StoreError
        If the settings or the array store cannot be used.
    """
    global _active
    prefix = settings.schema_prefix(prefix)
    if _active is not None and _active.prefix == prefix and not create and _active.connection.is_connected:
        return _active
    database = open_database(prefix)
    if create:
        access.require_admin(database, "create tables")
    _activate(database, create=create, report=report)
    _active = database
    return database


def open_database(prefix: str | None = None) -> Database:
    """Connect to the server as `connect` does, whatever tables it has: none, or of another version.

    The table classes are not bound to it.
    """
    prefix = settings.schema_prefix(prefix)
    embedded = _use_embedded_server()
    store = _use_store()
    connection = _open_connection()
    role = None if embedded else access.role_of(connection, prefix)
    access.explain_refusals(connection, prefix, role)
    return Database(connection, prefix, store, embedded, role)


def disconnect() -> None:
    """Close the connection; the next `connect` opens a new one."""
    global _active
    if _active is not None:
        _active.connection.close()
    _active = None


def schema_names(prefix: str) -> list[str]:
    """Return the names of the schemas of a prefix, in dependency order."""
    return [prefix + name for name in MODULES]


def modules() -> list[ModuleType]:
    """Return the modules that define tables, in dependency order."""
    return [importlib.import_module(f"schemas.{name}") for name in MODULES]


def tables(*tiers: type) -> list[type]:
    """Return the master table classes in dependency order, of the given tiers (default: all)."""
    found = (cls for module in modules() for cls, _ in module.schema.declare_list)
    return [cls for cls in found if not tiers or issubclass(cls, tiers)]


def part_classes(cls: type) -> list[Any]:
    """Return the part tables that a master class defines."""
    return [
        member for member in vars(cls).values() if isinstance(member, type) and issubclass(member, dj.Part)
    ]


def _use_embedded_server() -> EmbeddedServer | None:
    """Start the embedded server and point DataJoint at it, unless a server is configured."""
    if settings.server_is_configured():
        return None
    server = EmbeddedServer(settings.home_folder())
    server.start()
    database = dj.config.database
    database.backend = "postgresql"
    database.host, database.port = str(server.socket_folder), PORT
    database.user, database.password = server.user, "trusted by the socket's folder"
    database.name = "postgres"
    return server


def _use_store() -> settings.Store:
    store = settings.resolve_store()
    if store.folder is not None:
        try:
            store.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The array store {store} cannot be made: {error.strerror}.") from error
    dj.config.stores[settings.STORE_NAME] = store.spec
    return store


def _open_connection() -> Any:
    """Open a new connection, or return the open one; map what goes wrong to words."""
    info = dj.config.database
    if info.user is None or info.password is None:
        raise SettingError(
            f"The server '{info.host}' is configured, but no {'user' if info.user is None else 'password'}. "
            "Set DJ_USER and DJ_PASS, or .secrets/database.user and .secrets/database.password."
        )
    wanted = f"{info.backend} server {info.host}:{info.port}"
    try:
        with _quiet_datajoint():
            return dj.conn(reset=not _is_connected_to(info), use_tls=access.tls_setting(info))
    except DRIVER_ERRORS as error:
        raise ServerError(f"The {wanted} {_explain(error, str(info.user))}") from error


def _is_connected_to(info: Any) -> bool:
    from datajoint import instance

    connection = instance._singleton_connection
    if connection is None or not connection.is_connected:
        return False
    known = connection.conn_info
    return (known["host"], known["port"], known["user"]) == (info.host, info.port, info.user)


def _explain(error: Exception, user: str) -> str:
    """Say in words why no connection came about."""
    text = str(error).strip()
    if about_tls := access.explain_tls(text):
        return about_tls
    if "Access denied" in text or "authentication failed" in text or "no password supplied" in text:
        return f"refuses the user '{user}' or the password. Check DJ_USER and DJ_PASS."
    if "role" in text and "does not exist" in text:
        return f"knows no user '{user}'. Check DJ_USER."
    return (
        f"does not answer ({text.splitlines()[0] if text else type(error).__name__}). "
        "Check that it runs, and DJ_HOST and DJ_PORT; without DJ_HOST the embedded server is used."
    )


@contextlib.contextmanager
def _quiet_datajoint() -> Iterator[None]:
    """Silence DataJoint's log while a failure may still be explained better by us."""
    logger = logging.getLogger("datajoint")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _activate(database: Database, *, create: bool, report: Callable[[str], None]) -> None:
    """Bind every module's classes to the database's schemas; create and upgrade them if asked to."""
    with _quiet_datajoint():
        absent, changes = absent_tables(database), migrations.pending(database)
        _require_layout(database, absent, changes, create=create)
        create = create or bool(database.embedded and (absent or changes))
        with server_lock("deploy", database) if create else contextlib.nullcontext():
            if create:
                _bring_up_to_date(database, report)
            with contextlib.nullcontext() if create else _tables_known_to_exist():
                for module in modules():
                    _rebind(module.schema, database, create=create)
            if create:
                _create_job_tables()
            if create or database.embedded:
                from schemas.parameters import seed_defaults

                seed_defaults()


def _require_layout(
    database: Database, absent: list[str], changes: list[migrations.Change], *, create: bool
) -> None:
    """Raise an error in words unless the tables are those of this version, or will be made so."""
    place = f"under '{database.prefix}...' on the {database}"
    if outdated := _outdated_tables(database):
        raise ConflictError(
            f"The tables {place} are of a version of this package from before there were upgrades "
            f"({outdated[0]} lacks columns). Use another prefix (VBN_PREFIX), or go on with that version."
        )
    if create or database.embedded:
        return
    if changes:
        names = ", ".join(change.name for change in changes)
        raise ConflictError(
            f"The tables {place} are of an earlier version of this package ({names}). An administrator "
            "brings them up to date with: vbn backup DIR && vbn deploy"
        )
    if absent:
        few = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        raise NotFoundError(
            f"The {database} lacks tables of this package under '{database.prefix}...' ({few}). "
            "Create them with: vbn deploy"
        )


def _bring_up_to_date(database: Database, report: Callable[[str], None]) -> None:
    """Create the table of changes, and make the changes that are due before any new table is created."""
    from schemas import administration
    from schemas.unique_ids import shared_ids

    made = migrations.made_changes(database)
    _rebind(administration.schema, database, create=True)
    if made is None:
        migrations.enter(list(migrations.CHANGES), database)
    else:
        migrations.upgrade(database, migrations.pending(database), report)
        migrations.make_ids_unique(database)  # also where sessions shared ids when the change was made
        for words in shared_ids(database):
            report(words)


@contextlib.contextmanager
def server_lock(name: str, database: Database | None = None) -> Iterator[None]:
    """Let one process at a time do something; the server frees the lock of a dead one.

    Parameters
    ----------
    name : what is done; other prefixes have locks of their own.
    database : the database in question, by default the connected one.
    """
    database = database or connect()
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


def absent_tables(database: Database) -> list[str]:
    """Return the tables, parts and job tables that are not on the server, as ``schema.table``."""
    query = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema LIKE %s"
    rows = database.connection.query(query, args=(database.prefix.replace("_", r"\_") + "%",)).fetchall()
    existing = {f"{schema}.{table}" for schema, table in rows}
    wanted = [
        f"{database.prefix}{name}.{table}"
        for name, module in zip(MODULES, modules(), strict=True)
        for cls, _ in module.schema.declare_list
        for table in _table_names(cls)
    ]
    return [name for name in wanted if name not in existing]


def _outdated_tables(database: Database) -> list[str]:
    """Return the tables on the server that lack the columns on what their rows were made with."""
    from schemas.provenance import SOURCE, MadeWith

    query = (
        "SELECT t.table_schema, t.table_name, c.column_name FROM information_schema.tables t "
        "LEFT JOIN information_schema.columns c ON c.table_schema = t.table_schema "
        "AND c.table_name = t.table_name AND c.column_name LIKE %s WHERE t.table_schema LIKE %s"
    )
    pattern = database.prefix.replace("_", r"\_") + "%"
    rows = database.connection.query(query, args=(rf"%\_{SOURCE}", pattern)).fetchall()
    without = {f"{schema}.{table}" for schema, table, column in rows if column is None}
    wanted = [
        f"{database.prefix}{name}.{cls.table_name}"
        for name, module in zip(MODULES, modules(), strict=True)
        for cls, _ in module.schema.declare_list
        if issubclass(cls, MadeWith)
    ]
    return [name for name in wanted if name in without]


def _table_names(cls: Any) -> Iterator[str]:
    """Yield the names on the server of a table, its parts and its job table."""
    yield cls.table_name
    for part in part_classes(cls):
        yield f"{cls.table_name}__{from_camel_case(part.__name__)}"
    if issubclass(cls, dj.Imported | dj.Computed):
        yield f"~~{cls.table_name.lstrip('_')}"


@contextlib.contextmanager
def _tables_known_to_exist() -> Iterator[None]:
    """Bind classes to tables that were all found by one question: DataJoint asks for each of them again."""
    asking = dj.Table.is_declared
    dj.Table.is_declared = property(lambda _table: True)
    try:
        yield
    finally:
        dj.Table.is_declared = asking


def _rebind(schema: Any, database: Database, *, create: bool) -> None:
    name = database.prefix + schema_module_name(schema)
    if create:
        _create_schema(name, database)
    if schema.database != name or schema.connection is not database.connection:
        for cls, _ in schema.declare_list:  # DataJoint appends the definition on each activation
            cls.__doc__ = (cls.__doc__ or "").split("\nTable definition:\n")[0]
        if schema.connection is not None:
            # DataJoint reads the dependencies of all schemas that were ever activated, each time anew.
            schema.connection.schemas.pop(schema.database, None)
        schema.database = None
        schema.connection = None
        schema.activate(name, connection=database.connection, create_schema=create, create_tables=create)
    elif create:
        for cls, context in schema.declare_list:
            schema.create_tables = True
            schema._decorate_master(cls, context)


def _create_schema(name: str, database: Database) -> None:
    """Create a MySQL schema that is not there: its text is compared with case, as on PostgreSQL."""
    query = database.connection.query
    if database.backend != "mysql":
        return
    present = "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s"
    if not query(present, args=(name,)).fetchall():
        query(f"CREATE DATABASE IF NOT EXISTS `{name}` COLLATE {migrations.MYSQL_COLLATION}")


def schema_module_name(schema: Any) -> str:
    """Return the module that a schema object belongs to, such as ``ecephys``."""
    return next(name for name in MODULES if importlib.import_module(f"schemas.{name}").schema is schema)


def _create_job_tables() -> None:
    for cls in tables(dj.Imported, dj.Computed):
        _ = cls.jobs  # made on first access
