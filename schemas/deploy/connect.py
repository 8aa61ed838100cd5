"""Binding the table classes to a database, and creating or upgrading its tables."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from schemas import administration
from schemas.bases.provenance import SOURCE, MadeWith
from schemas.bases.registry import MODULES, modules, schema_module_name, schema_names, tables
from schemas.bases.unique_ids import shared_ids
from schemas.deploy import migrations
from schemas.deploy.lab_modules import bind_lab_tables
from schemas.deploy.seeds import seed_defaults
from schemas.files.store_identity import identify_store, require_own_store
from schemas.server import access, connection, frozen, settings, stores
from schemas.server import published as published_folder
from schemas.server.connection import Database, open_database, quiet_datajoint, server_lock
from schemas.server.datajoint import dj, foreign_keys_read_once
from schemas.server.datajoint.binding import Schema, table_names, tables_known_to_exist
from schemas.server.datajoint.headings import read_at_once
from schemas.server.published import PublishedFolder
from vbn.errors import ConflictError, NotFoundError


def connect(
    prefix: str | None = None,
    create: bool = False,
    report: Callable[[str], None] = lambda _line: None,
    modules: Sequence[str] = (),
) -> Database:
    """Connect to the configured server, else to the embedded one, and activate every schema.

    Calling it again with the same prefix returns the same database; with another prefix it binds
    the table classes to that one.

    Parameters
    ----------
    prefix
        Prefix of the schemas' names; default ``VBN_PREFIX``, else ``vbn_``.
    create
        Create the schemas, tables and default parameter rows that do not exist, and upgrade tables of
        an earlier version (as ``vbn deploy`` does). On the embedded server this happens automatically.
    report
        Called with a message for each layout change.
    modules
        Names of modules with tables of the lab, which are imported, bound and populated like ours; besides
        those of ``VBN_MODULES`` and of installed packages (entry points ``vbn.tables``, ``vbn.queries``).

    Raises
    ------
    ServerError
        If the server does not answer or refuses.
    NotFoundError
        If the tables do not exist and ``create`` is False.
    ConflictError
        If the tables are of another version.
    SettingError, StoreError
        If the settings cannot be used, such as a freeze and a published folder at once, or a new database's
        array store cannot be created.
    """
    if create:
        published_folder.require_database("create tables in it")
    if name := frozen.wanted():
        if published_folder.configured() is None:
            from schemas.deploy.frozen import open_frozen

            return open_frozen(name, prefix)
        published_folder.require_freeze(name)
    prefix = settings.schema_prefix(prefix)
    database = None if create else connection.bound_to(prefix)
    if database is None and (folder := published_folder.configured()) is not None:
        database = _open_published(folder)
    if database is None:
        if create:
            settings.resolve_store().require_configured()
        database = open_database(prefix)
        if create:
            access.require_admin(database, "create tables")
        _activate(database, create=create, report=report)
        connection.set_active(database)
        stores.check_before_writing(functools.partial(require_own_store, database))
    bind_lab_tables(database, modules, create=create)
    return database


def open_published(folder: Path | str) -> Database:
    """Open a folder that `vbn publish` has written, in place of a database, to be read with the same queries.

    Its tables are loaded into the embedded server: small ones now, large ones when a query first names them,
    and all of them only once. From a web server come, of large tables, the columns and row groups that
    queries read. `disconnect` ends it; so does another call, with another folder.

    Parameters
    ----------
    folder : the folder, or its URL (``https://``, ``http://``, or ``s3://bucket/key`` of a public bucket).

    Returns
    -------
    The database, which can only be read.

    Raises
    ------
    NotFoundError
        If there is no such folder, or it is not complete.
    InvalidContentError, ConflictError
        If its files are damaged, are not what their tables hold, or are of another version.
    NotReadableError
        If a web server does not send them.
    """
    published_folder.use(folder)
    try:
        return connect()
    except BaseException:
        published_folder.use(None)
        raise


def _open_published(folder: PublishedFolder) -> Database:
    from schemas.deploy.published import prepare_tables  # Arrow takes a while to import
    from schemas.deploy.waiting import attach

    def create_tables() -> None:
        owner = open_database(folder.prefix)
        owner.connection.query("SET synchronous_commit = off")  # what is lost is loaded again
        _activate(owner, create=True, report=lambda _line: None)

    prepare_tables(folder, create_tables)
    database = open_database(folder.prefix)
    _activate(database, create=False, report=lambda _line: None)
    attach(folder, database)
    connection.set_active(database)
    return database


def _activate(database: Database, *, create: bool, report: Callable[[str], None]) -> None:
    """Bind every module's classes to the database's schemas; create and upgrade them if asked to."""
    read_at_once(None, ())  # layouts may change
    with quiet_datajoint():
        absent, changes = absent_tables(database), migrations.pending(database)
        _require_layout(database, absent, changes, create=create)
        create = create or bool(database.embedded and (absent or changes))
        with server_lock("deploy", database) if create else contextlib.nullcontext():
            if create:
                _upgrade(database, report)
            read_at_once(database.connection, schema_names(database.prefix))
            with tables_known_to_exist(_existing_tables(database) if create else None):
                for module in modules():
                    _bind(module.schema, database, create=create)
                if create:
                    read_at_once(database.connection, schema_names(database.prefix))
                    _create_job_tables(database)
            if published_folder.is_loading():
                return  # all rows are those of the folder
            if create or database.embedded:
                seed_defaults()
            if create:
                identify_store(database, schema_names(database.prefix))


def _require_layout(
    database: Database, absent: list[str], changes: list[migrations.Change], *, create: bool
) -> None:
    """Raise an error unless the tables have this version's layout, or will be created or upgraded."""
    location = f"under '{database.prefix}...' on the {database}"
    if outdated := _outdated_tables(database):
        raise ConflictError(
            f"The tables {location} were created by a version of this package that cannot be upgraded "
            f"({outdated[0]} lacks columns). Use another prefix (VBN_PREFIX), or keep using that version."
        )
    if create or database.embedded:
        return
    if changes:
        names = ", ".join(change.name for change in changes)
        raise ConflictError(
            f"The tables {location} are of an earlier version of this package ({names}). An administrator "
            "can upgrade them with: vbn backup DIR && vbn deploy"
        )
    if absent:
        few = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        raise NotFoundError(
            f"The {database} lacks tables of this package under '{database.prefix}...' ({few}). "
            "Create them with: vbn deploy"
        )


def _upgrade(database: Database, report: Callable[[str], None]) -> None:
    """Create the table of layout changes, and apply pending changes before any new table is created."""
    applied = migrations.applied_changes(database)
    _bind(administration.schema, database, create=True)
    if applied is None:
        migrations.record(list(migrations.CHANGES), database)
    else:
        migrations.upgrade(database, migrations.pending(database), report)
        migrations.make_ids_unique(database)  # again, since sessions may have shared ids at that change
        for message in shared_ids(database):
            report(message)


def absent_tables(database: Database) -> list[str]:
    """Return the tables, parts and job tables that are missing on the server, as ``schema.table``."""
    existing = _existing_tables(database)
    wanted = [
        f"{database.prefix}{name}.{table}"
        for name, module in zip(MODULES, modules(), strict=True)
        for cls in module.schema.masters
        for table in table_names(cls)
    ]
    return [name for name in wanted if name not in existing]


def _existing_tables(database: Database) -> set[str]:
    """Return the tables on the server, as ``schema.table``."""
    query = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema LIKE %s"
    rows = database.connection.query(query, args=(database.prefix.replace("_", r"\_") + "%",)).fetchall()
    return {f"{schema}.{table}" for schema, table in rows}


def _outdated_tables(database: Database) -> list[str]:
    """Return the tables on the server that lack the provenance columns."""
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
        for cls in module.schema.masters
        if issubclass(cls, MadeWith)
    ]
    return [name for name in wanted if name in without]


def _bind(schema: Schema, database: Database, *, create: bool) -> None:
    name = database.prefix + schema_module_name(schema)
    if create:
        migrations.create_schema(name, database)
    schema.bind(name, database.connection, create=create)


def _create_job_tables(database: Database) -> None:
    with foreign_keys_read_once(database.connection):
        for cls in tables(dj.Imported, dj.Computed):
            _ = cls.jobs  # created on first access
