"""Tracing a row back to its file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.bases.lab import all_tables, with_parts
from schemas.bases.registry import part_classes
from schemas.files.roots import resolve
from schemas.queries.checks import name_and_value
from schemas.queries.words import hint, our_name
from vbn.errors import NotFoundError, SettingError, VbnError
from vbn.nearest import nearest
from vbn.visible import visible

Step = dict[str, Any]


def explain_row(table: str, conditions: Sequence[str]) -> list[Step]:
    """Return the row, everything above it, and its file.

    Parameters
    ----------
    table : name of a table, or ``Master.Part``.
    conditions : ``attribute=value``.

    Returns
    -------
    One dict per table, that of the row itself first: ``table``, ``what`` (a description of its rows), ``row``
    (attributes that are no arrays). The last is NwbFile, with ``place``, the file's path here.

    Raises
    ------
    NotFoundError, SettingError
        If the table or an attribute does not exist, or not exactly one row matches.
    """
    cls = find_table(table)
    row = _only_row(cls, _restriction(cls, conditions))
    steps = [_step(cls, row)]
    for upper in reversed(_tables_above(cls)):
        key = {name: row[name] for name in upper.primary_key if name in row}
        if len(key) == len(upper.primary_key):
            steps.append(_step(upper, (upper & key).fetch1()))
    files = [step for step in steps if step["table"] == "NwbFile"]
    for step in files:
        step["place"] = _place(step["row"])
    return [step for step in steps if step not in files] + files


def find_table(name: str) -> Any:
    """Return a table class by its name, a part by ``Master.Part``."""
    known = {cls.__name__: cls for cls in all_tables()}
    for cls in all_tables():
        known |= {f"{cls.__name__}.{part.__name__}": part for part in part_classes(cls)}
    if name in known:
        return known[name]
    raise NotFoundError(f"There is no table '{name}'.{nearest(name, known)} docs/tables.md lists all.")


def _restriction(cls: Any, conditions: Sequence[str]) -> dict[str, str]:
    names = cls.heading.names
    found = {}
    for condition in conditions:
        name, value = name_and_value(condition)
        known = our_name(name, names)
        if known is None:
            raise SettingError(f"{cls.__name__} has no attribute '{name}'.{hint(name, names)}")
        if known in found:
            raise SettingError(f"{known} is given twice.")
        found[known] = value
    return found


def _only_row(cls: Any, restriction: dict[str, str]) -> Step:
    try:
        rows = (cls & restriction).to_dicts(limit=2)
    except Exception as error:
        if isinstance(error, VbnError):
            raise
        raise SettingError(f"{cls.__name__} cannot be searched for {restriction}: {error}") from error
    if len(rows) == 1:
        return dict(rows[0])
    if not rows:
        raise NotFoundError(f"{cls.__name__} has no row with {restriction}.")
    undecided = [name for name in cls.primary_key if name not in restriction]
    raise SettingError(
        f"{len(cls & restriction)} rows of {cls.__name__} match. Give {' or '.join(undecided)} too."
    )


def _tables_above(cls: Any) -> list[Any]:
    """Return the classes of all tables that a row depends on, in dependency order."""
    names = set(cls().ancestors()) - {cls().full_table_name}
    everything = with_parts(all_tables())
    return [each for each in everything if each().full_table_name in names]


def _step(cls: Any, row: Step) -> Step:
    shown = {name: row[name] for name in row if not cls.heading.attributes[name].codec}
    return {"table": _name(cls), "what": cls().heading.table_status["comment"], "row": shown}


def _name(cls: Any) -> str:
    master = next((each for each in all_tables() if cls in part_classes(each)), None)
    return f"{master.__name__}.{cls.__name__}" if master else cls.__name__


def _place(row: Step) -> str:
    try:
        return str(resolve(row["root"], row["relative_path"]))
    except VbnError as error:
        return f"not on this machine: {error}"


def as_lines(steps: Sequence[Step]) -> list[str]:
    """Return the steps as text."""
    lines = []
    for step in steps:
        lines.append(f"{step['table']}: {step['what']}")
        row = {name: value for name, value in step["row"].items() if value is not None}
        lines += [f"    {name} = {visible(str(value))}" for name, value in row.items()]
        if "place" in step:
            lines.append(f"    -> {visible(step['place'])}")
    return lines
