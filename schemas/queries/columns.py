"""The results of units: which table has which column, and conditions on them."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

from schemas import decoding, ecephys, encoding, optotagging, responses
from schemas.queries.checks import (
    Condition,
    in_our_words,
    named_tokens,
    names_in_condition,
    restrict,
    words_of_condition,
)
from schemas.queries.connectives import AND, OR, parts_of
from schemas.queries.layers import OF_LAYER, unit_layers
from schemas.queries.methods import warn_of_earlier_methods
from schemas.queries.missing import warn_of_missing
from schemas.queries.words import hint
from schemas.queries.written_notes import LABELS, labelled_units
from schemas.server.datajoint import dj
from vbn.analysis.optotagging import DEFAULT_METHOD
from vbn.errors import SettingError

RESPONSES = {
    cls.__name__: cls
    for cls in (
        responses.ChangeResponse, responses.FirstSpikeLatency, responses.OmissionResponse,
        responses.ImageSelectivity, responses.Reliability, responses.Variability, responses.NoveltyResponse,
        responses.FullFieldResponse, responses.IntrinsicTimescale, responses.RunningModulation,
        responses.PupilModulation, responses.ReceptiveField, responses.PublishedResponse,
        optotagging.OptotagLabel, responses.CellClass,
        encoding.EncodingModel, decoding.Decoding,
    )
}  # fmt: skip


def result_names(table: Any) -> list[str]:
    """Return the columns of a table of `RESPONSES` that hold one value for each unit."""
    plain = [each.name for each in table.Unit.heading.attributes.values() if not each.codec]
    return [name for name in plain if name not in table.Unit.primary_key]


def table_of_results() -> dict[str, str]:
    """Return column -> name of the table of `RESPONSES` that has it, or of the notes."""
    found = {column: name for name, table in RESPONSES.items() for column in result_names(table)}
    return {**found, LABELS: "UnitNote"}


def parameter_sets(
    table: Any, optotag_method: str = DEFAULT_METHOD, chosen: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the parameter sets of a table: the chosen ones, else the default ones."""
    key = {}
    for parameter_table in table.parameters():
        name = parameter_table.primary_key[0]
        default = optotag_method if name == "optotag_method" else parameter_table.default_name()
        key[name] = (chosen or {}).get(name, default)
        parameter_table.get(key[name])
    return key


def result_queries(
    units: Any, names: Collection[str], optotag_method: str, consequence: str, *, of_all: bool = False
) -> Iterator[tuple[dict[str, str], Any]]:
    """Yield for each table of results that has some of the columns its parameter sets, and a query of these.

    A warning says which are missing, and the consequence. With ``of_all``, units without a row in a session
    that the table is computed of (it is of some units only) have NULL.

    Warns
    -----
    IncompleteWarning, EarlierMethodWarning
        If results of some of the units are not computed, or were computed by an earlier method.
    """
    for table in RESPONSES.values():
        if wanted := [name for name in result_names(table) if name in names]:
            key = parameter_sets(table, optotag_method)
            warn_of_missing(table, key, units, consequence)
            warn_of_earlier_methods({table: key}, units.proj())
            rows = (table.Unit & key).proj(*wanted)
            if of_all and getattr(table, "of_some_units", False):
                rows = left_joined(ecephys.Recording.Unit.proj() & (table & key).proj(), rows, key)
            yield key, rows
    if LABELS in names:
        yield {}, labelled_units()


def left_joined(units: Any, rows: Any, key: dict[str, str]) -> Any:
    """Return all units with the columns of rows of one parameter set, which `key` names."""
    # DataJoint joins what lacks rows only with rows that the left side determines.
    constants = {name: f"'{value}'" for name, value in key.items() if name not in units.heading.names}
    return units.proj(..., **constants).join(rows, left=True, semantic_check=False)


def restrict_units(
    units: Any,
    conditions: Condition | Sequence[Condition],
    optotag_method: str = DEFAULT_METHOD,
    atlas: str | None = None,
) -> Any:
    """Return the units that meet all conditions on their own attributes and on those of results.

    Parameters
    ----------
    units : query of units.
    conditions : one or several, as for `restrict`. Results are those of the default parameter sets. A unit
        whose results are not computed meets no comparison with them; of ``a OR b`` it may meet the other.
    optotag_method : labelling method of labels and cell classes.
    atlas : name of the atlas of the layers, if there are several.

    Raises
    ------
    SettingError
        For a name that is no attribute of units or results, suggesting the nearest.

    Warns
    -----
    IncompleteWarning, EarlierMethodWarning
        If some of the results are not computed, or were computed by an earlier method.
    """
    for condition in [conditions] if isinstance(conditions, str | Mapping) else conditions:
        known = {*units.heading.names, *table_of_results(), *OF_LAYER}
        units = _restricted(units, in_our_words(condition, known), optotag_method, atlas)
    return units


def _restricted(units: Any, condition: Condition, optotag_method: str, atlas: str | None) -> Any:
    others = names_in_condition(condition) - set(units.heading.names)
    if not others:
        return restrict(units, condition)
    connective, parts = _parts_by_table(condition, others)
    if connective == OR:
        chosen = [_restricted(units, part, optotag_method, atlas).proj() for part in parts]
        return units & chosen
    if connective == AND:
        for part in parts:
            units = _restricted(units, part, optotag_method, atlas)
        return units
    return units & _meeting(units, condition, others, optotag_method, atlas)


def _parts_by_table(condition: Condition, others: Collection[str]) -> tuple[str, list[str]]:
    """Return the parts of a condition and what connects them, if these are of different tables.

    Of alternatives, joining all tables would leave out the units that one of them lacks, also where another
    side holds. Otherwise it would be slow: each part alone is found by the key of its own table.
    """
    if not isinstance(condition, str):
        return "", []
    words = words_of_condition(condition)
    connective, parts = parts_of(words)
    table_of = {**table_of_results(), **dict.fromkeys(OF_LAYER, "ChannelLayer")}
    named = [frozenset(table_of.get(word, "") for word in part if word in others) for part in parts]
    is_one = len(set(named)) == 1
    return ("", []) if is_one else (connective, [" ".join(part) for part in parts])


def _meeting(
    units: Any, condition: Condition, others: Collection[str], optotag_method: str, atlas: str | None
) -> Any:
    """Return what the units must be among to meet a condition on results."""
    if isinstance(condition, str):
        named_tokens(condition, _known_columns(units))
    rows = _joined_results(units, others, optotag_method, atlas)
    own = [name for name in names_in_condition(condition) - others if name not in units.primary_key]
    if names_in_condition(condition) <= {*others, *rows.primary_key}:
        return restrict(rows, condition).proj()
    # By the id alone, which is unique: by the whole key PostgreSQL expects one row of such a join, and then
    # looks for each of 319,013 units through all of them.
    return dj.U("unit_id") & restrict(units.proj(*own) * rows, condition)


def _known_columns(units: Any) -> list[str]:
    return [*units.heading.names, *table_of_results(), *OF_LAYER]


def _joined_results(units: Any, names: Collection[str], optotag_method: str, atlas: str | None) -> Any:
    """Return columns of results and layers, as one query."""
    known = _known_columns(units)
    for name in sorted(names):
        if name not in known:
            raise SettingError(f"There is no attribute '{name}' here.{hint(name, known)}")
    missing = "Their units meet no condition on it."
    queries = result_queries(units, names, optotag_method, missing, of_all=True)
    found = [rows for _key, rows in queries]
    if layers := [each for each in OF_LAYER if each in names]:
        found.append(unit_layers(atlas=atlas, of=units).proj(*layers))
    return reduce(operator.mul, found)
