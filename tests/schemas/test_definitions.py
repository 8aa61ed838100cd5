"""Every table says what a row is, every attribute what it means; one name means one thing."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from schemas.bases.parameter_table import ParameterTable
from schemas.bases.provenance import METHOD, PACKAGE, SOURCE, Computation
from schemas.bases.provenance import PARAMETERS as PARAMETERS_HASH
from schemas.bases.registry import tables
from schemas.server.datajoint import dj

# What a comment may begin with in brackets; without brackets it begins with words.
UNITS = [
    "nats",
    "percent",
    "s",
    "days",
    "Hz",
    "um",
    "mm",
    "mL",
    "px",
    "px^2",
    "rad",
    "deg",
    "deg^2",
    "cm/s",
    "uV",
    "V",
    "V/s",
    "V/cm^2",
    "ms",
    "ms/mm",
    "1",
    "1/min",
    "cycles/deg",
    "bytes",
    "ns",
    "samples",
    "index",
    "UTC",
    "bool",
    "id",
    "gray level",
]
PORTABLE_TYPE = (
    r"int(16|32|64)|float64|bool|json|varchar\(\d+\)|char\(\d+\)|datetime\(6\)|enum\(.*\)"
    r"|<blob>|<npy@vbn>"
)


@dataclass(frozen=True)
class Attribute:
    table: str
    name: str
    is_primary: bool
    type: str
    is_nullable: bool
    comment: str


@dataclass(frozen=True)
class Definition:
    """One class's definition: its comment, its attributes and the lines that refer to other tables."""

    cls: Any
    comment: str
    attributes: tuple[Attribute, ...]
    references: tuple[str, ...]


def table_classes() -> list[Any]:
    """Return masters and parts; nothing is connected."""
    found = []
    for master in tables():
        parts = [
            member
            for member in vars(master).values()
            if inspect.isclass(member) and issubclass(member, dj.Part)
        ]
        found += [master, *parts]
    return found


def parse(cls: Any) -> Definition:
    lines = [line.strip() for line in cls.definition.strip().splitlines()]
    assert lines[0].startswith("# "), f"{cls.__qualname__}: the first line of the definition is its comment"
    attributes, references, is_primary = [], [], True
    for line in lines[1:]:
        if line.startswith("---"):
            is_primary = False
        elif line.startswith(("->", "unique index", "index")):
            references.append(line)
        elif line:
            declared, _, comment = line.partition("#")
            name, _, type_name = (part.strip() for part in declared.partition(":"))
            name, _, default = name.partition("=")
            attributes.append(
                Attribute(cls.__qualname__, name, is_primary, type_name, default == "null", comment.strip())
            )
    return Definition(cls, lines[0][2:], tuple(attributes), tuple(references))


DEFINITIONS = [parse(cls) for cls in table_classes()]
ATTRIBUTES = [attribute for definition in DEFINITIONS for attribute in definition.attributes]
EACH_TABLE = pytest.mark.parametrize(
    "definition", DEFINITIONS, ids=lambda definition: definition.cls.__qualname__
)


def unit_of(attribute: Attribute) -> str | None:
    found = re.match(r"\(([^)]+)\) ", attribute.comment)
    return found.group(1) if found else None


def test_all_tables_are_looked_at() -> None:
    names = {definition.cls.__qualname__ for definition in DEFINITIONS}
    assert {
        "Mouse",
        "Session",
        "NwbFile",
        "Recording.Unit",
        "Stimulus.Presentation",
        "Psth.Unit",
        "OptotagLabel.Unit",
        "ReceptiveField.Unit",
    } <= names
    assert len(ATTRIBUTES) > 150


@EACH_TABLE
def test_the_docstring_is_one_sentence(definition: Definition) -> None:
    text = inspect.getdoc(definition.cls) or ""
    first = text.splitlines()[0]
    assert first.endswith(".")
    assert first[0].isupper()
    assert definition.cls.__doc__ != (definition.cls.__mro__[1].__doc__ or "")


@EACH_TABLE
def test_the_table_has_a_comment(definition: Definition) -> None:
    assert len(definition.comment) > 3
    assert len(definition.comment) <= 1024


def those(condition: Callable[[Attribute], object]) -> list[str]:
    """Name the attributes that meet a condition."""
    return [
        f"{found.table}.{found.name}: {found.type}  # {found.comment}"
        for found in ATTRIBUTES
        if condition(found)
    ]


def words_of(attribute: Attribute) -> str:
    return re.sub(r"^\([^)]+\) ", "", attribute.comment)


def test_every_attribute_has_a_comment_in_words() -> None:
    assert not those(lambda attribute: len(words_of(attribute)) < 6 or "  " in attribute.comment)
    assert not those(lambda attribute: attribute.comment.endswith("."))


def test_every_unit_is_one_of_the_known_ones() -> None:
    assert not those(lambda attribute: unit_of(attribute) not in (None, *UNITS))


def test_every_measured_number_has_a_unit() -> None:
    assert not those(
        lambda attribute: attribute.type in ("float64", "<npy@vbn>", "<blob>") and not unit_of(attribute)
    )


def test_every_type_is_a_portable_one() -> None:
    """MySQL gives 6 digits of float32 and rounds plain datetime; unsigned is MySQL's only."""
    assert not those(lambda attribute: not re.fullmatch(PORTABLE_TYPE, attribute.type))


def test_every_name_is_lower_case_words() -> None:
    assert not those(lambda attribute: not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", attribute.name))
    assert not those(lambda attribute: len(attribute.name) > 63)


def test_a_secondary_attribute_has_one_place() -> None:
    """Secondary attributes of one name in two tables block their join."""
    places = defaultdict(list)
    for attribute in ATTRIBUTES:
        if not attribute.is_primary:
            places[attribute.name].append(attribute.table)
    assert {name: tables for name, tables in places.items() if len(tables) > 1} == {}


def test_a_secondary_attribute_is_no_key_of_another_table() -> None:
    keys = {attribute.name for attribute in ATTRIBUTES if attribute.is_primary}
    assert keys & {attribute.name for attribute in ATTRIBUTES if not attribute.is_primary} == set()


def test_no_key_can_be_null() -> None:
    assert not [attribute for attribute in ATTRIBUTES if attribute.is_primary and attribute.is_nullable]


def test_every_part_belongs_to_its_master() -> None:
    for definition in DEFINITIONS:
        if issubclass(definition.cls, dj.Part):
            own = definition.cls.__qualname__.split(".")[0]
            assert definition.references[0] in (
                "-> master",
                f"-> {own}.{definition.references[0].rpartition('.')[2]}",
            )


PARAMETERS = [found for found in DEFINITIONS if issubclass(found.cls, ParameterTable)]
COMPUTATIONS = [found for found in DEFINITIONS if issubclass(found.cls, Computation)]


def test_all_lookups_but_the_structures_are_parameter_tables() -> None:
    lookups = {found.cls.__name__ for found in DEFINITIONS if issubclass(found.cls, dj.Lookup)}
    assert lookups - {found.cls.__name__ for found in PARAMETERS} == {"Structure"}


@pytest.mark.parametrize("definition", PARAMETERS, ids=lambda found: found.cls.__name__)
def test_parameter_tables_are_keyed_by_a_name_and_unique_by_content(definition: Definition) -> None:
    (key,) = [attribute for attribute in definition.attributes if attribute.is_primary]
    assert key.type == "varchar(64)"
    prefix = key.name.removesuffix("_params")
    assert f"unique index ({prefix}_hash)" in definition.references
    assert {f"{prefix}_hash", f"{prefix}_version"} <= {attribute.name for attribute in definition.attributes}
    assert not definition.cls.contents if hasattr(definition.cls, "contents") else True


def test_every_computed_table_says_what_its_rows_were_made_with() -> None:
    computed = {found.cls.__name__ for found in DEFINITIONS if issubclass(found.cls, dj.Computed)}
    assert computed == {found.cls.__name__ for found in COMPUTATIONS}


@pytest.mark.parametrize("definition", COMPUTATIONS, ids=lambda found: found.cls.__name__)
def test_what_a_row_was_made_with_bears_the_name_of_its_table(definition: Definition) -> None:
    prefix = definition.cls.provenance_prefix()
    names = {f"{prefix}_{name}" for name in (PACKAGE, METHOD, PARAMETERS_HASH, SOURCE)}
    assert names <= {attribute.name for attribute in definition.attributes}


def test_make_does_no_arithmetic_of_its_own_on_files() -> None:
    """The path of a file is known to NwbFile and schemas.files.open_file alone."""
    for cls in tables(dj.Imported, dj.Computed):
        assert not re.search(r"\bopen\(|Path\(|h5py|print\(", inspect.getsource(cls))


def test_what_tables_compute_is_computed_in_one_thread() -> None:
    computing = [table for table in tables() if hasattr(table, "make_compute")]
    assert len(computing) > 30
    assert [table.__name__ for table in computing if not hasattr(table.make_compute, "__wrapped__")] == []
