"""The identity of the array store: is that of this machine the one that the rows refer to.

A random id stands in the database (`administration.ArrayStore`) and in the store, for each prefix:
``_identity/PREFIX.json``. A folder whose disk is not mounted, and another store, lack it, and rows made with
these would refer to arrays that nobody else can read. Only ``vbn deploy``, and restoring a backup, write the
id; every other work compares it.
"""

from __future__ import annotations

import getpass
import json
import platform
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.administration import ArrayStore
from schemas.files.roots import IS_ABSENT, folder_problem
from schemas.server.connection import Database
from schemas.server.settings import STORE_NAME
from schemas.server.stores import ABSENT, is_mounted, opened_store
from schemas.server.unpublished import is_unpublished
from vbn.errors import StoreError, WrongStoreError, shortened
from vbn.whole_files import write_whole

FOLDER = "_identity"
SAMPLED = 20  # rows of each column in which an array is looked for
CLAIM = "vbn deploy --claim-store"
ABOUT = "Which database this store belongs to. Do not remove: without it, workers refuse the store."


def record_of(prefix: str) -> str:
    """Return the path, in the store, of the id of a prefix."""
    return f"{FOLDER}/{prefix}.json"


def recorded_id(database: Database) -> str | None:
    """Return the id of the store that the database's rows refer to, None if there is no record of it."""
    if not _has_record(database):
        return None
    name = database.connection.adapter.make_full_table_name(_schema(database), ArrayStore.table_name)
    query = f"SELECT store_id FROM {name} WHERE array_store = %s"  # noqa: S608
    row = database.connection.query(query, args=(STORE_NAME,)).fetchone()
    return None if row is None else str(row[0])


def _has_record(database: Database) -> bool:
    """Return whether the database is of a layout with identities; a backup reads earlier ones too."""
    query = "SELECT 1 FROM information_schema.tables WHERE (table_schema, table_name) = (%s, %s)"
    return bool(database.connection.query(query, args=(_schema(database), ArrayStore.table_name)).fetchall())


def _schema(database: Database) -> str:
    return f"{database.prefix}administration"


def stored_id(database: Database) -> str | None:
    """Return the id that the store of this machine holds for the database's prefix, None if it holds none.

    Raises
    ------
    SettingError
        If no store is configured.
    WrongStoreError
        If it holds a damaged one.
    StoreError
        If the store cannot be read.
    """
    store, record = database.store, record_of(database.prefix)
    store.require_configured()
    try:
        if store.folder is not None:
            content = (store.folder / record).read_bytes()
        else:
            content = opened_store(STORE_NAME).get_buffer(record)
        return str(json.loads(content)["id"])
    except (*ABSENT, NotADirectoryError):
        return None
    except StoreError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise WrongStoreError(
            f"{record} in the array store {store} is damaged. If it is the store of this database: {CLAIM}"
        ) from error
    except Exception as error:  # what a bucket raises depends on the library that reads it
        if store.folder is not None and not isinstance(error, OSError):
            raise
        raise unreachable(database, error, "read") from error


def unreachable(database: Database, error: Exception, action: str) -> StoreError:
    """Return an error about a store that cannot be read or written."""
    store, problem = database.store, f"{type(error).__name__}: {shortened(str(error), 300)}"
    advice = (
        "Correct its permissions, or the mount."
        if store.folder is not None
        else "Compare DJ_STORES, or 'stores' in datajoint.json, with the storage's address, bucket and keys."
    )
    return StoreError(f"The array store {store} cannot be {action} ({problem}). {advice}")


def require_own_store(database: Database) -> None:
    """Raise an error unless the store of this machine is the one that the database's rows refer to.

    Raises
    ------
    WrongStoreError
        If it is absent, or not that of the database.
    StoreError
        If it cannot be read.
    SettingError
        If no store is configured.
    """
    database.store.require_configured()
    expected = recorded_id(database)
    if expected is None and not _has_record(database):
        return  # of an earlier layout, without identities
    found = stored_id(database)
    if found != expected or found is None:
        raise WrongStoreError(_problem(database, expected, found))


def _problem(database: Database, expected: str | None, found: str | None) -> str:
    store, folder = database.store, database.store.folder
    content = None if folder is None else folder_problem(folder)
    if folder is not None and content == IS_ABSENT:
        return f"The array store {store} does not exist. {is_mounted(folder)}"
    if expected is None and found is not None:
        return (
            f"The array store {store} belongs to another database with the prefix '{database.prefix}'. Use "
            f"another store, or another prefix (VBN_PREFIX). If that database is no longer used: {CLAIM}"
        )
    if expected is None:
        return (
            f"None of the arrays that rows refer to is in the array store {store}, so it is unknown which "
            "store belongs to this database. On a machine that has the arrays: vbn deploy"
        )
    if found is not None:
        return (
            f"The array store {store} is not the one of this database: its id is {found[:8]}..., that of the "
            f"database's store is {expected[:8]}... Correct DJ_STORES or datajoint.json. If the arrays were "
            f"moved there: {CLAIM}"
        )
    advice = is_mounted(folder) if folder else "Correct DJ_STORES or datajoint.json."
    return (
        f"The array store {store} is not the one of this database: it {content or 'is another one'}, without "
        f"{record_of(database.prefix)}. {advice} If the arrays were moved there: {CLAIM}"
    )


def identify_store(database: Database, schema_names: Sequence[str]) -> None:
    """Record which store a database has, if that is not recorded and there can be no doubt.

    There is none if the database has no arrays and the store no record of another database, or if one of the
    database's arrays is in the store. Call it while holding the deploy lock, when
    `administration.ArrayStore` is bound to the database.

    Parameters
    ----------
    database : the connected database.
    schema_names : names of its schemas on the server.

    Raises
    ------
    StoreError
        If the store cannot be created, read or written.
    """
    if not database.store.spec or recorded_id(database) is not None:
        return
    found, arrays = stored_id(database), list(_some_arrays(database, schema_names))
    if arrays and any(map(_Files(database).has, arrays)):
        write_identity(database, found or _new_id())
    elif not arrays and found is None:
        write_identity(database, _new_id())


def claim_store(database: Database, arrays: set[str]) -> None:
    """Make the store of this machine the database's, under a new id: whatever was its store is none now.

    Parameters
    ----------
    database : the connected database.
    arrays : paths of all arrays that its rows refer to; they must be there.

    Raises
    ------
    WrongStoreError
        If an array is not in the store. Nothing is changed then.
    """
    database.store.require_configured()
    folder, files = database.store.folder, _Files(database)
    if folder is not None and not folder.is_dir():
        raise WrongStoreError(_problem(database, None, None) if arrays else f"{folder} does not exist.")
    if missing := sorted(path for path in arrays if not files.has(path)):
        raise WrongStoreError(
            f"{len(missing)} of {len(arrays)} arrays that rows refer to are not in the array store "
            f"{database.store}; the first is {missing[0]}. Copy all of them there first."
        )
    write_identity(database, _new_id())


def write_identity(database: Database, identity: str) -> None:
    """Write an id into the store, and then into the database."""
    write_stored_id(database, identity)
    user = f"{database.connection.get_user()} ({getpass.getuser()} on {platform.node()})"
    row = {
        "array_store": STORE_NAME,
        "store_id": identity,
        "store_place": str(database.store)[:1000],
        "store_identified_at": datetime.now(UTC).replace(tzinfo=None),
        "store_identified_by": user[:255],
    }
    with database.connection.transaction:
        (ArrayStore & {"array_store": STORE_NAME}).delete_quick()
        ArrayStore.insert1(row)


def write_stored_id(database: Database, identity: str) -> None:
    """Write an id into the store; the store's folder is created.

    Raises
    ------
    StoreError
        If that is not possible.
    """
    content = {"id": identity, "prefix": database.prefix, "about": ABOUT}
    encoded = (json.dumps(content, indent=1) + "\n").encode()
    store, record = database.store, record_of(database.prefix)
    try:
        if store.folder is not None:
            write_whole(store.folder / record, encoded)
        else:
            opened_store(STORE_NAME).put_buffer(encoded, record)
    except StoreError:
        raise
    except Exception as error:
        if store.folder is not None and not isinstance(error, OSError):
            raise
        raise unreachable(database, error, "written") from error


def _new_id() -> str:
    return str(uuid.uuid4())


class _Files:
    """Which files the store has."""

    def __init__(self, database: Database) -> None:
        self._folder = database.store.folder
        self._backend = None if self._folder else opened_store(STORE_NAME)

    def has(self, path: str) -> bool:
        if self._folder is not None:
            return (self._folder / path).exists()
        return bool(self._backend.exists(path)) if self._backend else False


def _some_arrays(database: Database, schema_names: Sequence[str]) -> Iterator[str]:
    """Yield the paths of some arrays that rows refer to, of each table that has any."""
    query = database.connection.query
    columns = (
        "SELECT table_schema, table_name, column_name FROM information_schema.columns "  # noqa: S608
        f"WHERE table_schema IN ({', '.join(['%s'] * len(schema_names))}) "
        "AND data_type IN ('json', 'jsonb')"
    )
    quote = database.connection.adapter.quote_identifier
    for schema, table, column in query(columns, args=schema_names).fetchall():
        rows = query(
            f"SELECT {quote(column)} FROM {quote(schema)}.{quote(table)} "  # noqa: S608
            f"WHERE {quote(column)} IS NOT NULL LIMIT {SAMPLED}"
        )
        for (value,) in rows.fetchall():
            # PostgreSQL's driver decodes JSON, so that a text is a value; MySQL's does not.
            is_encoded = isinstance(value, str) and value.startswith("{")
            parsed: Any = json.loads(value) if is_encoded else value
            is_reference = isinstance(parsed, dict) and {"path", "store"} <= parsed.keys()
            if is_reference and not is_unpublished(parsed["path"]):
                yield parsed["path"]
