"""The tables of a published folder, loaded into the embedded server under a prefix of their own.

Small files are loaded when the folder is opened, large ones when a query first names their table. A file is
compared with its checksum, and its columns with those of the table, before a row of it is used. What was
loaded stays, so that the folder opens at once the next time, until `forget_loaded`.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
from pyarrow import compute, parquet
from tqdm import tqdm

import vbn
from schemas.bases.publication import (
    FORMAT,
    LEFT_OUT,
    PublishedTable,
    is_curve,
    is_stored_array,
    plain_type,
    published_tables,
    rows_per_group,
)
from schemas.bases.registry import schema_names
from schemas.rows.copy_text import array_texts, copy_lines, curve_texts, plain_texts
from schemas.server.datajoint import around_queries
from schemas.server.embedded import PORT, EmbeddedServer
from schemas.server.error_codes import DISK_FULL, code_of, is_away
from schemas.server.published import ACCOUNT, MANIFEST, REPAIR, PublishedFolder, loading
from vbn.errors import ConflictError, InvalidContentError, ServerError, quoted, shortened
from vbn.home import home_folder

LARGEST_MANIFEST = 64 * 2**20
LARGEST_GROUP = 2**29
"""(bytes) What a row group may claim to be without compression, or a column of it as numbers; ours are about
16 MiB."""

LONGEST_TEXT, LARGEST_TEXTS = 2**20, 2**28
"""(bytes) What a text, and those of a column that are loaded at once, may have: a file of kilobytes can hold
gigabytes of equal ones."""

UNUSABLE = (
    pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, SyntaxError,
    MemoryError,
)  # fmt: skip
"""What the readers of Parquet, JSON and NumPy's types raise for what no publication holds."""

NOT_LOADED_CODE = "VB404"
NOT_LOADED = f"""
CREATE OR REPLACE FUNCTION "{{}}".not_loaded(what text, kind anyelement, row_group int) RETURNS anyelement
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1 AS $$ BEGIN
    RAISE EXCEPTION USING ERRCODE = '{NOT_LOADED_CODE}',
        MESSAGE = what || ' is not loaded in row group ' || row_group;
END $$
"""
"""Stands in views for a value that is not there: reading it is an error, whatever reads it.

Not VOLATILE, or PostgreSQL would call it for columns that nobody takes; the row group is an argument, so that
it cannot be called when a statement is planned.
"""

ROWS_AT_A_TIME, BYTES_AT_A_TIME = 20_000, 16 * 2**20
"""What is turned into text at once: a row may have curves of a megabyte."""

FILLED_IN = {"root": "published", "lfp_root": "published"}
EPOCH = "1970-01-01 00:00:00"
"""Stands for times that are not published in columns that must have one."""


def prepare_tables(published: PublishedFolder, create: Callable[[], None]) -> None:
    """Create the tables of a published folder on the embedded server, unless they are there.

    Parameters
    ----------
    published : the folder.
    create : creates the tables under the prefix of the folder, as the owner of the server.

    Raises
    ------
    InvalidContentError, ConflictError
        If the folder's manifest cannot be used, or is of another version of the format.
    """
    around_queries(None)  # what was opened before may be the same folder, dropped since
    with owner_connection() as connection:
        if _is_prepared(connection, published.prefix):
            return
        published_rows(published)
        with locked(connection, published.prefix):
            if not _is_prepared(connection, published.prefix):
                with loading():
                    create()
                _grant(connection, published)


def forget_loaded(published: PublishedFolder) -> list[str]:
    """Remove what was loaded from a published folder; return the names of the schemas."""
    around_queries(None)  # nothing more can be loaded of it
    with owner_connection() as connection, connection.cursor() as cursor:
        names = [*schema_names(published.prefix), marks_schema(published.prefix)]
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s)", (names,))
        found = sorted(str(name) for (name,) in cursor.fetchall())
        for name in found:
            cursor.execute(f'DROP SCHEMA "{name}" CASCADE')
    return found


def load_table(connection: Any, published: PublishedFolder, table: PublishedTable, n_rows: int) -> None:
    """Load the rows of a table, unless another process has meanwhile: all of them or none.

    Parameters
    ----------
    connection : the owner's, of the driver.
    published, table : the folder, and the table.
    n_rows : number of rows by the manifest.

    Raises
    ------
    InvalidContentError
        If the file is not what was published, or not what the table can hold.
    """
    marks = marks_schema(published.prefix)
    with locked(connection, f"{published.prefix}{table.file}"):
        if table.file in loaded_files(connection, published.prefix):
            return
        path = published.checked(table.file)
        with entering_rows(connection, path) as cursor:
            _copy(cursor, published, table, path, n_rows)
            cursor.execute(f'INSERT INTO "{marks}".file VALUES (%s)', (table.file,))  # noqa: S608
            cursor.execute(f"GRANT SELECT ON {full_name(published, table)} TO {ACCOUNT}")
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {full_name(published, table)}")


@contextlib.contextmanager
def entering_rows(connection: Any, path: Path) -> Iterator[Any]:
    """Yield a cursor by which the block enters rows of a file: all of them or none.

    Raises
    ------
    InvalidContentError
        If the table cannot hold them, or they cannot be read.
    ServerError
        If the server is lost meanwhile, or has no room for them.
    """
    connection.autocommit = False
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")  # parents may still wait
            yield cursor
        connection.commit()
    except psycopg2.Error as error:
        if connection.closed:
            raise _server_error(error) from error
        connection.rollback()
        if is_away(code_of(error)):
            raise _server_error(error) from error
        raise InvalidContentError(
            path, f"The table cannot hold its rows: {_first_line(error)}.", REPAIR
        ) from error
    except UNUSABLE as error:
        connection.rollback()
        raise InvalidContentError(
            path, f"Its rows cannot be read: {shortened(error, 200)}.", REPAIR
        ) from error
    except BaseException:
        connection.rollback()
        raise
    finally:
        if not connection.closed:
            connection.autocommit = True


def _server_error(error: psycopg2.Error) -> ServerError:
    """Return why rows could not be entered that are as they were published."""
    where = f"The embedded PostgreSQL in {home_folder()}, into which published tables are loaded,"
    if code_of(error) in DISK_FULL:
        return ServerError(
            f"{where} has no room ({_first_line(error)}). Make room there, or set VBN_HOME to another disk."
        )
    return ServerError(f"{where} was lost meanwhile ({_first_line(error)}). Open the folder again.")


def _first_line(error: psycopg2.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def opened_table(published: PublishedFolder, table: PublishedTable, n_rows: int) -> parquet.ParquetFile:
    """Return the file of a table that is as it was published; texts are dictionaries of `expanded_texts`.

    Raises
    ------
    InvalidContentError
        If the file is not what was published, or has other columns than the table.
    """
    return opened_file(published, table, published.checked(table.file), n_rows)


def _copy(cursor: Any, published: PublishedFolder, table: PublishedTable, path: Path, n_rows: int) -> None:
    names, fills = [each.name for each in table.attributes], fills_of(table)
    columns = ", ".join(f'"{name}"' for name in [*names, *fills])
    statement = f"COPY {full_name(published, table)} ({columns}) FROM STDIN"
    with (
        contextlib.closing(opened_file(published, table, path, n_rows)) as file,
        tqdm(
            total=n_rows, desc=table.name, unit="row", unit_scale=True, delay=1,
            disable=not sys.stderr.isatty(),
        ) as bar,
    ):  # fmt: skip
        for piece in file.iter_batches(rows_at_a_time(file.metadata), use_threads=False):
            texts = [column_texts(path, each, piece[each.name]) for each in table.attributes]
            cursor.copy_expert(statement, io.BytesIO(copy_lines(texts, list(fills.values()))))
            bar.update(piece.num_rows)


def rows_at_a_time(about: parquet.FileMetaData) -> int:
    """Return how many rows of a file are turned into text at once."""
    groups = map(about.row_group, range(about.num_row_groups))
    widest = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1)
    return max(1, min(ROWS_AT_A_TIME, int(BYTES_AT_A_TIME / max(1, widest))))


def column_texts(path: Path, attribute: Any, values: pa.Array) -> pa.Array:
    """Return values of a column as COPY takes them."""
    try:
        if pa.types.is_dictionary(values.type):
            values = expanded_texts(values)
        if is_curve(attribute):
            return curve_texts(values)
        return array_texts(values) if is_stored_array(attribute) else plain_texts(values)
    except UNUSABLE as error:
        raise InvalidContentError(
            path, f"{attribute.name} has a value that it cannot: {shortened(error, 200)}.", REPAIR
        ) from error


def expanded_texts(values: pa.DictionaryArray) -> pa.Array:
    """Return texts that were read as numbers of a list of different ones, unless they are far too many."""
    lengths = compute.binary_length(values.dictionary).take(values.indices)
    longest, total = compute.max(lengths).as_py() or 0, compute.sum(lengths).as_py() or 0
    if longest > LONGEST_TEXT or total > LARGEST_TEXTS:
        raise ValueError(f"{len(values)} texts of {total} bytes, the longest of {longest}")
    return values.dictionary_decode()


def fills_of(table: PublishedTable) -> dict[str, str | None]:
    """Return the values of columns that are not published."""
    attributes = table.table().heading.attributes.values()
    return {
        each.name: None if each.nullable else FILLED_IN.get(each.name, EPOCH)
        for each in attributes
        if each.name in LEFT_OUT
    }


def opened_file(
    published: PublishedFolder, table: PublishedTable, path: Path, n_rows: int
) -> parquet.ParquetFile:
    """Return a file whose columns are those of the table, and which claims nothing impossible."""
    try:
        file = parquet.ParquetFile(path)
        found = {field.name: field.type for field in file.schema_arrow}
    except (pa.ArrowException, OSError) as error:
        raise InvalidContentError(path, f"It cannot be read as Parquet: {error}.", REPAIR) from error
    wanted = {each.name: each for each in table.attributes}
    if different := sorted(found.keys() ^ wanted.keys()):
        missing = [name for name in different if name in wanted]
        problem = f"lacks {', '.join(missing)}" if missing else f"has {quoted(', '.join(different))} too"
        raise InvalidContentError(
            path, f"It {problem}, other than the table {table.name}. {_made_by(published)}", REPAIR
        )
    for name, attribute in wanted.items():
        if not _is_of_type(found[name], attribute):
            told = f"{name} is of the type {found[name]}, other than in the table {table.name}."
            raise InvalidContentError(path, f"{told} {_made_by(published)}", REPAIR)
    about = file.metadata
    if about.num_rows != n_rows:
        raise InvalidContentError(
            path, f"It has {about.num_rows} rows, not {n_rows} as {MANIFEST} says.", REPAIR
        )
    for number in range(about.num_row_groups):
        _require_plain_group(path, about.row_group(number), rows_per_group(file.schema_arrow))
    file.close()
    texts = [name for name, kind in found.items() if pa.types.is_string(kind)]
    return parquet.ParquetFile(path, read_dictionary=texts)


def _require_plain_group(path: Path, group: Any, most_rows: int) -> None:
    """Refuse a row group that claims more than is ever published: how much it is, its bytes do not say."""
    columns = [group.column(number) for number in range(group.num_columns)]
    size = max(group.total_byte_size, *(8 * each.num_values for each in columns))
    if not 0 <= group.num_rows <= most_rows:
        raise InvalidContentError(path, f"It claims a row group of {group.num_rows} rows.", REPAIR)
    if not 0 <= size <= LARGEST_GROUP:
        raise InvalidContentError(path, f"It claims a row group of {size} bytes.", REPAIR)


def _is_of_type(found: pa.DataType, attribute: Any) -> bool:
    if not is_curve(attribute):
        return bool(found == (pa.string() if is_stored_array(attribute) else plain_type(attribute)))
    is_list = pa.types.is_list(found) or pa.types.is_fixed_size_list(found)
    if not is_list:
        return False
    if pa.types.is_list(found) and pa.types.is_list(found.value_type):  # a matrix has no fixed sizes
        found = found.value_type
    number = found.value_type
    return bool(pa.types.is_integer(number) or pa.types.is_floating(number) or pa.types.is_boolean(number))


def published_rows(published: PublishedFolder) -> dict[str, int]:
    """Return the number of rows of each table's file.

    Raises
    ------
    InvalidContentError, ConflictError
        If the manifest cannot be used, or is of another version of the format.
    """
    path = _usable_manifest(published)
    try:
        content = json.loads(path.read_bytes())
        found = {str(each["file"]): int(each["rows"]) for each in content["tables"]}
        number, made_by = int(content["format"]), str(content["package_version"])
    except UNUSABLE as error:
        problem = f"It is no manifest of vbn publish ({shortened(repr(error), 200)})."
        raise InvalidContentError(path, problem, REPAIR) from error
    if number != FORMAT:
        raise ConflictError(
            f"{published.place} was published in format {number} by vbn-datajoint {quoted(made_by)}, and "
            f"this version reads format {FORMAT}. Install that version, or publish again with this one."
        )
    return found


def _made_by(published: PublishedFolder) -> str:
    """Return which version of this package made a folder, in words; its manifest was found usable before."""
    made_by = json.loads(_usable_manifest(published).read_bytes())["package_version"]
    return f"It was published by vbn-datajoint {quoted(made_by)}, and this is {vbn.__version__}; or changed."


def _usable_manifest(published: PublishedFolder) -> Path:
    path = published.checked(MANIFEST)
    if path.stat().st_size > LARGEST_MANIFEST:
        raise InvalidContentError(path, "It is far too large for a manifest.", REPAIR)
    return path


def left_out(published: PublishedFolder) -> set[str]:
    """Return the names of the tables that were left out by choice, which a query must not find empty.

    Raises
    ------
    InvalidContentError
        If the manifest cannot be used.
    """
    path = _usable_manifest(published)
    try:
        return {str(name) for name in json.loads(path.read_bytes()).get("left_out", ())}
    except (*UNUSABLE, AttributeError) as error:
        raise InvalidContentError(path, "It is no manifest of vbn publish.", REPAIR) from error


def full_name(published: PublishedFolder, table: PublishedTable) -> str:
    """Return the name of a table in SQL."""
    return f'"{published.prefix}{table.module}"."{table.table.table_name}"'


@contextlib.contextmanager
def owner_connection() -> Iterator[Any]:
    """Yield a connection of the driver to the embedded server, as its owner."""
    server = EmbeddedServer(home_folder())
    server.start()
    connection = psycopg2.connect(
        host=str(server.socket_folder), port=PORT, user=server.user, dbname="postgres"
    )
    connection.autocommit = True
    with contextlib.closing(connection):
        with connection.cursor() as cursor:  # commits keep their order: a mark is lost before what it marks
            cursor.execute("SET synchronous_commit = off")
        yield connection


@contextlib.contextmanager
def locked(connection: Any, name: str) -> Iterator[None]:
    """Let one process at a time into the block."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", (name,))
        try:
            yield
        finally:
            if not connection.closed:  # the lock of a lost connection is gone with it
                cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", (name,))


def marks_schema(prefix: str) -> str:
    """Return the schema that records what was loaded."""
    return f"{prefix}loaded"


def _is_prepared(connection: Any, prefix: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM information_schema.tables WHERE (table_schema, table_name) = (%s, 'file')",
            (marks_schema(prefix),),
        )
        return cursor.fetchone() is not None


def loaded_files(connection: Any, prefix: str) -> set[str]:
    """Return the files of the tables that are loaded completely."""
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT name FROM "{marks_schema(prefix)}".file')  # noqa: S608
        return {str(name) for (name,) in cursor.fetchall()}


def _grant(connection: Any, published: PublishedFolder) -> None:
    """Let the readers' account read the tables, and record that they are there."""
    prefix = published.prefix
    with connection.cursor() as cursor:
        with locked(connection, ACCOUNT):  # folders are opened under locks of their own
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ACCOUNT,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE ROLE {ACCOUNT} LOGIN")
            cursor.execute(f"ALTER ROLE {ACCOUNT} SET default_transaction_read_only = on")
        cursor.execute(f'CREATE SCHEMA IF NOT EXISTS "{marks_schema(prefix)}"')
        cursor.execute(f'GRANT USAGE ON SCHEMA "{marks_schema(prefix)}" TO {ACCOUNT}')
        cursor.execute(NOT_LOADED.format(marks_schema(prefix)))
        marks = {
            "file": "name text PRIMARY KEY",
            "chunk": "file text, number int, name text, PRIMARY KEY (file, number, name)",
            "row_group": "file text, number int, PRIMARY KEY (file, number)",
        }
        for name in schema_names(prefix):
            cursor.execute(f'GRANT USAGE ON SCHEMA "{name}" TO {ACCOUNT}')
            # DataJoint finds columns and keys in views that show what an account may more than nothing.
            cursor.execute(f'GRANT SELECT, REFERENCES ON ALL TABLES IN SCHEMA "{name}" TO {ACCOUNT}')
        revoke_reading(connection, published)
        for name, columns in reversed(marks.items()):
            cursor.execute(f'CREATE TABLE IF NOT EXISTS "{marks_schema(prefix)}".{name} ({columns})')


def revoke_reading(connection: Any, published: PublishedFolder) -> None:
    """Let the readers' account select nothing from the published tables: they are not loaded yet.

    Nor may it call functions that take a query or table by its name, whose needs no plan shows.
    """
    lacking = left_out(published)
    with connection.cursor() as cursor:
        for each in published_tables(("curation",)):
            if each.file in published.checksums or each.name in lacking:
                place = full_name(published, each)
                cursor.execute(f"REVOKE SELECT ON {place} FROM {ACCOUNT}")  # noqa: S608
        cursor.execute(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace "
            "AND (proname ~ '^(query|table|cursor|schema|database)_to_xml' OR proname = 'ts_stat' "
            "OR (proname = 'ts_rewrite' AND pronargs = 2))"
        )
        for (function,) in cursor.fetchall():
            cursor.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
