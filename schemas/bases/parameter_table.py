"""Parameter sets as rows: a readable name, the content, and a hash of content and method version.

Rows are only added, never changed. A result has the name of its parameter set in its key, so changing
the content under an existing name would silently change what those results mean; it is an error.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from functools import cache
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from schemas.bases.lab import all_tables
from schemas.server.datajoint import dj
from vbn.errors import ConflictError, NotFoundError, SettingError
from vbn.nearest import nearest

Content = dict[str, Any]


def definition_of(prefix: str, purpose: str, settings: str, key: str = "") -> str:
    """Return the definition of a parameter table whose content is one JSON column.

    Parameters
    ----------
    prefix : prefix of all attribute names, so that tables can be joined.
    purpose : what the parameters are for.
    settings : import path of the class that documents the content.
    key : name of the primary key, by default the prefix followed by ``_params``.
    """
    return f"""
    # Parameters of {purpose}
    {key or f"{prefix}_params"} : varchar(64)  # readable name
    ---
    {prefix}_content : json  # fields of {settings}
    {prefix}_version : int16  # version of the method
    {prefix}_hash : char(64)  # sha256 of content and method version
    unique index ({prefix}_hash)
    """


class ParameterTable(dj.Lookup):
    """Named parameter sets: insert-only, validated and hashed.

    Attributes
    ----------
    settings : the frozen dataclass that represents a set's content and validates it.
    defaults : name -> settings, inserted by `schemas.connect(create=True)`.
    method_version : increased when the meaning of the same content changes.
    descriptive : fields of the settings that describe a set without affecting results; not hashed.
    later : fields, at any depth, that were added after the first version, each with the value that reproduces
        the earlier behavior; not hashed if they have it, so that earlier sets and results keep their hash.
    """

    settings: ClassVar[type]
    defaults: ClassVar[Mapping[str, Any]]
    method_version: ClassVar[int] = 1
    descriptive: ClassVar[tuple[str, ...]] = ()
    later: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def key_name(cls) -> str:
        """Return the primary-key attribute, the first of the definition.

        Reading it from the server would take eight queries per table.
        """
        first = re.search(r"^\s*(\w+)\s*:", cls.definition, re.MULTILINE)
        assert first is not None  # a table has a key
        return first[1]

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of all sets, sorted."""
        key = cls.connection.adapter.quote_identifier(cls.key_name())
        query = f"SELECT {key} FROM {cls().full_table_name} ORDER BY 1"  # noqa: S608
        return [str(name) for (name,) in cls.connection.query(query).fetchall()]

    @classmethod
    def wanted(cls) -> list[str]:
        """Return the names of the sets with which ``vbn populate`` computes; all, but of `SetsOnRequest`."""
        return cls.names()

    @classmethod
    def contents_by_name(cls) -> dict[str, Content]:
        """Return the contents of all sets by name, sorted, of a table that keeps them as JSON.

        By one question, as `names`: a heading takes several.
        """
        quote = cls.connection.adapter.quote_identifier
        columns = ", ".join(map(quote, (cls.key_name(), f"{cls.prefix()}_content")))
        query = f"SELECT {columns} FROM {cls().full_table_name} ORDER BY 1"  # noqa: S608
        rows = cls.connection.query(query).fetchall()
        return {
            str(name): dict(content) if isinstance(content, Mapping) else json.loads(content)
            for name, content in rows
        }

    @classmethod
    def prefix(cls) -> str:
        """Return the prefix of the attribute names."""
        return cls.key_name().removesuffix("_params")

    @classmethod
    def add(cls, name: str, settings: Any) -> bool:
        """Insert a set unless it exists; return whether a row was added.

        Parameters
        ----------
        name : readable name.
        settings : an instance of the table's settings class, or a mapping of all its fields.

        Raises
        ------
        SettingError
            For unknown, missing or impossible fields.
        ConflictError
            If the name exists with other content, or the content under another name.
        """
        row = cls.row_of(name, settings)
        if cls._is_known(row):
            return False
        cls._insert_checked(row)
        return True

    @classmethod
    def adopt(cls, row: Content) -> bool:
        """Enter a set as another database has it, unless it is here; return whether a row was added.

        Parameters
        ----------
        row : all attributes; version and hash are kept if this version would give them, too, so that results
            of the other database are not taken for stale.

        Raises
        ------
        SettingError
            For content that is no set of this table.
        ConflictError
            If the name exists with other content, or the content under another name.
        """
        name, content = str(row[cls.key_name()]), cls.content_of(row)
        own = cls.row_of(name, content)
        known = cls._known()
        if name in known and cls.content_of(known[name]) == cls.content_of(own):
            return False
        stamp = next(
            (each for each in cls.stamps(name, cls.content_of(own)) if each.items() <= row.items()),
            cls.stamp(cls.content_of(own)),
        )
        if not cls._is_known({**own, **stamp}):
            cls._insert_checked({**own, **stamp})
            return True
        return False

    @classmethod
    def _insert_checked(cls, row: Content) -> None:
        """Insert a validated row."""
        dj.Table.insert(cls(), [row])

    @classmethod
    def default_name(cls) -> str:
        """Return the name of the set that is used by default."""
        return next(iter(cls.defaults))

    @classmethod
    def get(cls, key: Mapping[str, Any] | str) -> Any:
        """Return the settings of a set, given its name or a key that contains it.

        Raises
        ------
        NotFoundError
            If there is no such set.
        """
        name = key if isinstance(key, str) else key[cls.primary_key[0]]
        rows = (cls & {cls.primary_key[0]: name}).to_dicts()
        if not rows:
            known = ", ".join(sorted(cls.to_arrays(cls.primary_key[0])))
            raise NotFoundError(f"{cls.__name__} has no parameter set '{name}'. There are: {known}.")
        return cls.checked(cls.content_of(rows[0]))

    @classmethod
    def checked(cls, content: Mapping[str, Any]) -> Any:
        """Validate content and return it as settings.

        Raises
        ------
        SettingError
            For unknown, missing or impossible fields.
        """
        known = [field.name for field in fields(cls.settings)]
        for name in content:
            if name not in known:
                raise SettingError(f"{cls.__name__} has no parameter '{name}'.{nearest(name, known)}")
        if missing := [name for name in known if name not in content]:
            raise SettingError(f"A set of {cls.__name__} also needs {', '.join(missing)}.")
        try:
            settings = _adapter(cls.settings).validate_json(_canonical(content), strict=True)
        except ValidationError as error:
            problems = " ".join(_problem(dict(each)) for each in error.errors())
            raise SettingError(f"This is not a valid set of {cls.__name__}: {problems}") from error
        if unknown := sorted(_names_in(content) - _names_in(as_json(settings))):
            raise SettingError(f"A set of {cls.__name__} has no {', '.join(unknown)}.")
        return settings

    @classmethod
    def row_of(cls, name: str, settings: Any) -> Content:
        """Return the row of a set, with its hash."""
        content = as_json(cls.checked(settings if isinstance(settings, Mapping) else as_json(settings)))
        return {cls.primary_key[0]: name, **cls.columns_of(content), **cls.stamp(content)}

    @classmethod
    def columns_of(cls, content: Content) -> Content:
        """Return content as the table stores it: one JSON column, or one column per field."""
        column = f"{cls.prefix()}_content"
        return {column: content} if column in cls.heading.names else content

    @classmethod
    def content_of(cls, row: Mapping[str, Any]) -> Content:
        """Return the content stored in a row."""
        column = f"{cls.prefix()}_content"
        return (
            dict(row[column])
            if column in row
            else {field.name: row[field.name] for field in fields(cls.settings)}
        )

    @classmethod
    def stamp(cls, content: Content, name: str = "") -> Content:
        """Return the method version and the hash of that version, the content and, if given, the name."""
        version = cls.method_version
        hashed = {field: value for field, value in content.items() if field not in cls.descriptive}
        hashed = _without(hashed, cls.later) | ({"": name} if name else {})
        return {f"{cls.prefix()}_version": version, f"{cls.prefix()}_hash": parameters_hash(hashed, version)}

    @classmethod
    def stamps(cls, name: str, content: Content) -> Iterator[Content]:
        """Yield the possible stamps of a set: of its content or, if another set has that, also of its name.

        A second name for the same content is refused, but a user's own set may later become a default.
        """
        yield cls.stamp(content)
        yield cls.stamp(content, name)

    @classmethod
    def seed(cls) -> None:
        """Insert missing default sets; stamp all sets with the current version of the method.

        A new version of a method leaves names and contents unchanged. Results of the old version
        keep the old hash, which identifies them as stale.

        Raises
        ------
        ConflictError
            If the name of a default exists with other content, that is, a layout change is missing.
        """
        known = cls._known()
        for name, row in known.items():
            if row[f"{cls.prefix()}_version"] < cls.method_version:
                stamp = cls._free_stamp(name, cls.content_of(row))
                dj.Table.update1(cls(), {cls.primary_key[0]: name, **stamp})
        for name, settings in cls.defaults.items():
            if name not in known:
                cls._insert_checked(cls.row_of(name, settings) | cls._free_stamp(name, as_json(settings)))
            elif cls.content_of(known[name]) != as_json(settings):
                cls.add(name, settings)

    @classmethod
    def _known(cls) -> dict[str, Content]:
        """Return all rows by name."""
        return {str(row[cls.primary_key[0]]): row for row in cls.to_dicts()}

    @classmethod
    def _free_stamp(cls, name: str, content: Content) -> Content:
        """Return the first stamp of a set that no other set uses."""
        hash_name = f"{cls.prefix()}_hash"
        taken = {row[hash_name] for other, row in cls._known().items() if other != name}
        return next(stamp for stamp in cls.stamps(name, content) if stamp[hash_name] not in taken)

    @classmethod
    def _is_known(cls, row: Content) -> bool:
        """Return whether this set exists; refuse one that contradicts an existing set."""
        name, hash_name = row[cls.primary_key[0]], f"{cls.prefix()}_hash"
        known = {other: found[hash_name] for other, found in cls._known().items()}
        if known.get(name) in [stamp[hash_name] for stamp in cls.stamps(name, cls.content_of(row))]:
            return True
        if name in known:
            raise ConflictError(
                f"The parameter set '{name}' of {cls.__name__} exists with other content. Sets are never "
                "changed: add the new content under a new name."
            )
        if same := [other for other, digest in known.items() if digest == row[hash_name]]:
            raise ConflictError(
                f"The parameter set '{name}' of {cls.__name__} has the same content as '{same[0]}'. "
                "Use that one."
            )
        return False

    def insert(self, rows: Iterable[Mapping[str, Any]], **_options: Any) -> None:
        """Refuse unchecked rows."""
        raise ConflictError(
            f"Parameter sets are added with {type(self).__name__}.add(name, settings), which checks and "
            "hashes them, or with: vbn params add"
        )

    def update1(self, row: Mapping[str, Any]) -> None:
        """Refuse to change a set."""
        raise ConflictError(
            "Parameter sets are never changed, because results refer to them by name: add a set to "
            f"{type(self).__name__} under a new name."
        )


def parameters_hash(content: Mapping[str, Any], method_version: int) -> str:
    """Return the SHA-256 of the canonical JSON of content and method version.

    Examples
    --------
    >>> parameters_hash({"b": 1, "a": 2}, 1) == parameters_hash({"a": 2, "b": 1}, 1)
    True
    """
    return hashlib.sha256(_canonical([method_version, content]).encode()).hexdigest()


def _without(content: Any, defaults: Mapping[str, Any]) -> Any:
    """Return content without the fields, at any depth, that have the given default value."""
    if isinstance(content, Mapping):
        kept = {name: value for name, value in content.items() if (name, value) not in defaults.items()}
        return {name: _without(value, defaults) for name, value in kept.items()}
    return [_without(value, defaults) for value in content] if isinstance(content, list) else content


def _problem(error: Mapping[str, Any]) -> str:
    """Return a pydantic error as one sentence that begins with the field."""
    text = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    text += "" if text.endswith("?") else "."
    place = ".".join(map(str, error["loc"]))
    return f"{place}: {text}" if place else text


@cache
def _adapter(settings: type) -> TypeAdapter[Any]:
    return TypeAdapter(settings)


def _names_in(content: Any) -> set[str]:
    """Return the field names of content, at all depths."""
    if isinstance(content, Mapping):
        return set(content).union(*map(_names_in, content.values()))
    if isinstance(content, list | tuple):
        return set().union(*map(_names_in, content))
    return set()


def _canonical(content: Any) -> str:
    try:
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SettingError(f"Parameters must be valid JSON, without NaN or infinity: {error}.") from error


def as_json(settings: Any) -> Any:
    """Return settings, or any part of them, as JSON types: mappings, lists, plain values."""
    if hasattr(settings, "__dataclass_fields__"):
        settings = asdict(settings)
    if isinstance(settings, Mapping):
        return {name: as_json(value) for name, value in settings.items()}
    if isinstance(settings, tuple | list):
        return [as_json(value) for value in settings]
    return settings


class SetsOnRequest(ParameterTable):
    """Parameter sets of which some are there to be named only: ``vbn populate`` computes the others."""

    @classmethod
    def is_computed(cls, settings: Any) -> bool:
        """Return whether ``vbn populate`` computes with a set."""
        return bool(settings.computed)

    @classmethod
    def computed(cls) -> dict[str, Any]:
        """Return the sets that ``vbn populate`` computes with, by name."""
        sets = {name: cls.checked(content) for name, content in cls.contents_by_name().items()}
        return {name: settings for name, settings in sets.items() if cls.is_computed(settings)}

    @classmethod
    def wanted(cls) -> list[str]:
        """Return the names of those."""
        return list(cls.computed())


def parameter_tables() -> dict[str, type[ParameterTable]]:
    """Return all parameter tables by name, in dependency order."""
    return {cls.__name__: cls for cls in all_tables(ParameterTable)}
