"""The lab's own modules of tables and queries: found, imported, checked and bound to the database.

They are those named to `schemas.connect`, by ``--module`` or in ``VBN_MODULES``, and those that installed
packages announce under the entry point groups ``vbn.tables`` and ``vbn.queries``. A module that was named and
cannot be used is an error. One that is only installed is left out with a warning: whoever reads may not need
it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from schemas.bases import lab, lab_queries
from schemas.bases.lab import AdoptedSchema, LabSchema
from schemas.bases.registry import schema_names, tables
from schemas.deploy.migrations import create_schema
from schemas.server import access, settings
from schemas.server.connection import DRIVER_ERRORS, Database, quiet_datajoint, server_lock
from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import table_names
from vbn.errors import NotFoundError, SettingError, VbnError

GROUPS = ("vbn.tables", "vbn.queries")


class LabModuleWarning(UserWarning):
    """A module of the lab that nobody named is left out."""


def bind_lab_tables(database: Database, names: Sequence[str], *, create: bool) -> None:
    """Import the lab's modules and bind their tables.

    Parameters
    ----------
    database : the database, to which this package's tables are bound.
    names : names of modules, besides those of ``VBN_MODULES`` and of installed packages.
    create : create schemas and tables that are missing; otherwise that is an error.

    Raises
    ------
    SettingError
        If a module cannot be imported, or its tables are not what they must be.
    NotFoundError
        If tables are missing on the server.
    """
    if _Loading.is_under_way:  # a module connects as it is imported
        return
    wanted = import_lab_modules(names)
    with _Loading():
        for schema in lab.declared():
            # A module that a program has only imported may stand beside what it wants to read.
            with contextlib.nullcontext() if wanted.get(schema.module) else _leaving_out(schema.module):
                _bind(schema, database, create=create)


def import_lab_modules(names: Sequence[str] = ()) -> dict[str, bool]:
    """Import the lab's modules, which needs no database unless they use one themselves.

    Parameters
    ----------
    names : names of modules, besides those of ``VBN_MODULES`` and of installed packages.

    Returns
    -------
    Their names, with whether somebody has named them.

    Raises
    ------
    SettingError
        If a module that was named cannot be imported, or has neither tables nor queries.
    """
    wanted = dict.fromkeys([*names, *settings.lab_modules()], True)
    wanted |= {name: False for name in _installed() if name not in wanted}
    with _Loading():
        for name, is_named in wanted.items():
            with contextlib.nullcontext() if is_named else _leaving_out(name):
                _load(name, is_named=is_named)
    return wanted


class _Loading:
    """The time in which modules are imported and bound."""

    is_under_way = False

    def __enter__(self) -> None:
        _Loading.is_under_way = True

    def __exit__(self, *_: object) -> None:
        _Loading.is_under_way = False


@functools.cache
def _installed() -> tuple[str, ...]:
    """Return the modules that installed packages announce."""
    announced = entry_points()  # once: it reads a file of each installed package
    points = [point for group in GROUPS for point in announced.select(group=group)]
    return tuple(sorted({point.value.partition(":")[0] for point in points}))


@contextlib.contextmanager
def _leaving_out(module: str) -> Iterator[None]:
    """Warn, once in this process, instead of raising what is wrong with a module."""
    try:
        yield
    except VbnError as error:
        if module not in _left_out:
            _left_out.add(module)
            warnings.warn(f"The tables of {module} are left out. {error}", LabModuleWarning, stacklevel=2)


_left_out: set[str] = set()
_loaded: set[str] = set()


def _load(name: str, *, is_named: bool) -> None:
    """Import a module and adopt its tables, unless that is done."""
    if name in _loaded:
        return
    before, queries = set(lab.declared()), set(lab_queries.lab_queries())
    try:
        _adopt(_imported(name, look_here=is_named))
    except BaseException:
        for schema in set(lab.declared()) - before:
            lab.forget(schema)
        lab_queries.forget_queries(set(lab_queries.lab_queries()) - queries)
        raise
    for schema in set(lab.declared()) - before:
        schema.module = name  # not the module within a package in which it stands
    _loaded.add(name)


def _imported(name: str, *, look_here: bool) -> ModuleType:
    """Import a module; what its own code raises is explained with the line that did."""
    if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        hint = f" Without its ending: {Path(name).stem}" if name.endswith(".py") else ""
        raise SettingError(f"'{name}' is no name of a module, such as mylab.tables.{hint}")
    here = str(Path.cwd())
    if look_here and here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # at the end: nothing of ours is hidden by a file that lies about
    try:
        return importlib.import_module(name)
    except VbnError as error:
        raise SettingError(f"The module {name} cannot be used: {error}") from error
    except (Exception, SystemExit) as error:
        missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        if missing and (name == missing or name.startswith(f"{missing}.")):
            raise SettingError(
                f"There is no module {name} (--module, {settings.MODULES_VARIABLE}). Its package must be "
                f"installed for this Python ({sys.executable}), or be in the folder {here}."
            ) from error
        place, hint = _place(error), ""
        if isinstance(error, dj.errors.AccessError):
            hint = " Who owns its schema makes its tables, by importing it once, unless it is too large."
        raise SettingError(
            f"The module {name} cannot be imported: {type(error).__name__}: {error}{place}{hint}"
        ) from error


def _place(error: BaseException) -> str:
    """Return the last line of the module's own code that led to an error."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and Path(frame.filename) != Path(__file__)
    ]
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    return f" ({own[-1].filename}, line {own[-1].lineno})." if own else "."


def _adopt(module: ModuleType) -> None:
    """Take over the tables of a module that has activated schemas by itself, and check that it has any."""
    name = module.__name__
    of_lab_schemas = {cls for schema in lab.declared() for cls in schema.masters}
    found = [cls for cls in _table_classes(module) if cls not in tables()]
    schemas = [schema for schema in _plain_schemas(module) if schema.is_activated()]
    for schema in schemas:
        masters = [cls for cls in found if cls.database == schema.database and cls not in of_lab_schemas]
        if masters:
            lab.declare(AdoptedSchema(schema, name, masters))
    if any(set(schema.masters) & set(found) or schema.module == name for schema in lab.declared()):
        return
    if lab_queries.of_module(name) and not found:
        return
    if len(schemas) < len(_plain_schemas(module)):
        raise SettingError(
            f"The module {name} has a dj.Schema() that is not activated. Write "
            'schema = schemas.lab_schema("mylab"), which is activated by itself, or dj.Schema("name").'
        )
    raise SettingError(
        f"The module {name} defines no tables and no queries. Tables are classes decorated with a schema: "
        'schema = schemas.lab_schema("mylab"), then @schema above each class. Queries are functions below '
        "@queries.lab_query()."
    )


def _members(module: ModuleType) -> Iterator[Any]:
    """Yield what a module and the modules of its package that it has imported contain."""
    for member in list(vars(module).values()):
        if isinstance(member, ModuleType):
            if member.__name__.startswith(f"{module.__name__}."):
                yield from _members(member)
        else:
            yield member


def _table_classes(module: ModuleType) -> list[Any]:
    """Return the table classes in a module, without parts, in the order of their definition."""
    classes = (each for each in _members(module) if isinstance(each, type))
    kinds = (dj.Manual, dj.Lookup, dj.Imported, dj.Computed)
    return list(dict.fromkeys(cls for cls in classes if issubclass(cls, kinds) and cls not in kinds))


def _plain_schemas(module: ModuleType) -> list[Any]:
    """Return DataJoint's own schemas in a module, and in those that its tables come from."""
    homes = {cls.__module__: sys.modules.get(cls.__module__) for cls in _table_classes(module)}
    members = [*_members(module)]
    for home in homes.values():
        members += vars(home).values() if home else ()
    return list({id(each): each for each in members if type(each) is dj.Schema}.values())


def _bind(schema: LabSchema | AdoptedSchema, database: Database, *, create: bool) -> None:
    """Bind a schema's tables to the database, unless that is done, and check them."""
    name, masters = schema.full_name(database.prefix), list(schema.masters)
    is_bound = schema.connection is database.connection and schema.database == name
    if is_bound and schema.checked == masters and not create:
        return
    _require_free_names(schema, name, database)
    may_create = create or database.embedded is not None
    absent = _absent(name, masters, database)
    if absent and not may_create and isinstance(schema, LabSchema):
        few = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        raise NotFoundError(
            f"The {database} lacks tables of {schema.module} ({few}). An administrator creates them with: "
            f"vbn deploy --module {schema.module}"
        )
    has_new = bool(absent) and may_create
    try:
        with (
            quiet_datajoint(),
            server_lock("deploy", database) if has_new else contextlib.nullcontext(),
            contextlib.nullcontext() if may_create else _contents_left_alone(masters),
        ):
            if has_new and isinstance(schema, LabSchema):
                create_schema(name, database)
            _declare(schema, name, database, create=has_new)
            if absent:
                _create_job_tables(schema, database)
        _require_parents(schema, masters, database)
    except BaseException:
        schema.release()
        raise
    schema.checked = masters


def _declare(schema: LabSchema | AdoptedSchema, name: str, database: Database, *, create: bool) -> None:
    """Bind the classes, and explain what DataJoint finds wrong with their definitions."""
    try:
        schema.bind(name, database.connection, create=create)
    except (VbnError, *DRIVER_ERRORS):
        raise
    except Exception as error:
        raise SettingError(
            f"The tables of {schema.module} cannot be made: {type(error).__name__}: {error}"
        ) from error


def _absent(name: str, masters: list[Any], database: Database) -> list[str]:
    """Return the tables, parts and job tables of a schema that are missing on the server."""
    query = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
    known = {row[0] for row in database.connection.query(query, args=(name,)).fetchall()}
    wanted = [table for cls in masters for table in table_names(cls)]
    return [f"{name}.{table}" for table in wanted if table not in known]


@contextlib.contextmanager
def _contents_left_alone(masters: list[Any]) -> Iterator[None]:
    """Keep DataJoint from inserting a lookup table's contents, which a reader may not."""
    hidden = [(cls, vars(cls)["contents"]) for cls in masters if "contents" in vars(cls)]
    for cls, _ in hidden:
        cls.contents = ()
    try:
        yield
    finally:
        for cls, contents in hidden:
            cls.contents = contents


def _create_job_tables(schema: LabSchema | AdoptedSchema, database: Database) -> None:
    for cls in schema.masters:
        if issubclass(cls, dj.Imported | dj.Computed):
            try:
                _ = cls().jobs  # created on first access
            except (access.RefusedError, dj.errors.AccessError) as error:
                raise NotFoundError(
                    f"The {database} has no list of jobs for {cls.__name__} of {schema.module}, and this "
                    f"account may not create it. Its owner does, or an admin, with: vbn deploy --module "
                    f"{schema.module}"
                ) from error


def _require_free_names(schema: LabSchema | AdoptedSchema, name: str, database: Database) -> None:
    """Refuse names by which a table of the lab could be taken for another."""
    if name in schema_names(database.prefix):
        raise SettingError(
            f"The module {schema.module} declares tables in {name}, a schema of this package. "
            "Choose another name for yours."
        )
    others = {cls.__name__: "this package" for cls in tables()}
    for other in lab.lab_schemas():
        if other is not schema:
            others |= {cls.__name__: other.module for cls in other.masters}
    for cls in schema.masters:
        if cls.__name__ in others:
            raise SettingError(
                f"The table {cls.__name__} of {schema.module} has the name of one of {others[cls.__name__]}, "
                "for which commands would take it. Rename the class."
            )


def _require_parents(schema: LabSchema | AdoptedSchema, masters: list[Any], database: Database) -> None:
    """Refuse populated tables that are made from nothing of this database: workers would not know when."""
    names = {table().full_table_name for table in lab.with_parts(tables())}
    for cls in masters:
        if not issubclass(cls, dj.Imported | dj.Computed):
            continue
        above = set(cls().ancestors()) - {cls().full_table_name}
        if not above & names:
            parents = ", ".join(sorted(cls().parents())) or "none"
            raise SettingError(
                f"The table {cls.__name__} of {schema.module} depends on no table of the {database} under "
                f"'{database.prefix}...' (its parents: {parents}). Refer to one, as in -> ecephys.Recording, "
                f"or populate it by yourself: {cls.__name__}.populate()"
            )
        try:
            bool(cls().key_source)
        except (VbnError, *DRIVER_ERRORS):
            raise
        except Exception as error:
            raise SettingError(
                f"The key_source of {cls.__name__} of {schema.module} cannot be used: "
                f"{type(error).__name__}: {error}"
            ) from error
