"""The question that the address of the page of units asks, and the same in Python and in the shell."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from schemas import queries
from vbn.errors import SettingError, shortened

Address = Mapping[str, Sequence[str]]
"""The query part of an address: all values of each name, in order."""

FACETS = {
    "structure": ("structure", "structure_acronym"),
    "layer": ("cortical_layer", "cortical_layer"),
    "cell_class": ("cell_class", "cell_class"),
    "genotype": ("genotype", "genotype"),
    "experience": ("experience_level", "experience_level"),
    "project": ("project", "project"),
}
"""Name in the address, as the option of ``vbn query units`` -> argument of `queries.units`, and column."""
SELECTORS = {
    **{name: argument for name, (argument, _column) in FACETS.items()},
    "group": "group",
    "cre_line": "cre_line",
    "image_set": "image_set",
    "trajectory": "trajectory",
    "mouse": "mouse_id",
    "session": "session_id",
    "list": "in_list",
    "not_list": "not_in_list",
    "label": "label",
    "not_label": "without_label",
}
"""Name in the address -> argument of `queries.units` that takes several values."""
DEFAULT_COLUMNS = (
    "unit_id", "session_id", "structure_acronym", "cell_class", "experience_level", "cre_line", "quality",
    "unit_firing_rate", "snr", "isi_violations", "presence_ratio",
)  # fmt: skip
LIST_NAME = "my-list"
ROWS_PER_PAGE = 50
LAST_PAGE = 10**9  # far beyond any, and still an offset that a server can count
COMPARISONS = {"<": "<", "<=": "≤", "=": "=", ">=": "≥", ">": ">", "between": "between"}
PRESENCE = {"present": "IS NOT NULL", "missing": "IS NULL"}


@dataclass(frozen=True)
class UnitQuestion:
    """Which units, which of their columns, in which order, and which page of them.

    Attributes
    ----------
    selected : values by names in `SELECTORS`, one of which must match.
    criteria, atlas, optotag_method : names of rows; empty for none, or the default.
    where : further conditions.
    columns, sort : names of columns.
    page : number of the page of rows, from 1.
    """

    selected: Mapping[str, tuple[str, ...]]
    criteria: str = ""
    atlas: str = ""
    optotag_method: str = ""
    where: tuple[str, ...] = ()
    columns: tuple[str, ...] = DEFAULT_COLUMNS
    sort: tuple[str, ...] = ()
    page: int = 1

    @classmethod
    def of_address(cls, address: Address) -> UnitQuestion:
        """Return what an address asks.

        Raises
        ------
        SettingError
            If a page or session is no number.
        """
        selected = {name: given_values(address, name) for name in SELECTORS if given_values(address, name)}
        for number in selected.get("session", ()):
            whole_number("session", number)
        return cls(
            selected=selected,
            criteria=last_value(address, "criteria"),
            atlas=last_value(address, "atlas"),
            optotag_method=last_value(address, "optotag_method"),
            where=given_values(address, "where"),
            columns=_listed(given_values(address, "columns")) or DEFAULT_COLUMNS,
            sort=_listed(
                given_values(address, "sort")[:1]
            ),  # a heading comes before the mark of the present order
            page=page_number(address),
        )

    def address(self) -> str:
        """Return the query part of the address that asks this, without what goes without saying."""
        pairs = [(name, value) for name, values in self.selected.items() for value in values]
        pairs += [("where", condition) for condition in self.where]
        single = {
            "criteria": self.criteria,
            "atlas": self.atlas,
            "optotag_method": self.optotag_method,
            "columns": "" if self.columns == DEFAULT_COLUMNS else ",".join(self.columns),
            "sort": ",".join(self.sort),
            "page": "" if self.page == 1 else str(self.page),
        }
        return urlencode([*pairs, *((name, value) for name, value in single.items() if value)])

    def as_rows(self) -> UnitQuestion:
        """Return the question for the same units, however they are shown."""
        return replace(self, columns=DEFAULT_COLUMNS, sort=(), page=1)

    def without_facets(self) -> UnitQuestion:
        """Return the question that does not select by facets."""
        return replace(
            self, selected={name: each for name, each in self.selected.items() if name not in FACETS}
        )

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `queries.units`."""
        several: dict[str, Any] = {SELECTORS[name]: list(values) for name, values in self.selected.items()}
        if "session_id" in several:
            several["session_id"] = [int(number) for number in several["session_id"]]
        given = {"criteria": self.criteria, **several, "where": list(self.where)}
        return {name: value for name, value in given.items() if value} | self.methods()

    def methods(self) -> dict[str, Any]:
        """Return the arguments that name the method of labelling and the atlas."""
        named = {"optotag_method": self.optotag_method, "atlas": self.atlas}
        return {name: value for name, value in named.items() if value}

    def units(self) -> Any:
        """Return the units as a query."""
        return queries.units(**self.arguments())

    def in_python(self) -> str:
        """Return the line of Python that gives the same rows."""
        more = "".join(f", {name}={value!r}" for name, value in self.methods().items())
        order = f", sort={list(self.sort)!r}" if self.sort else ""
        return f"queries.unit_table({self._units_in_python()}, {list(self.columns)!r}{order}{more})"

    def in_pynapple(self) -> str:
        """Return the lines of Python that give the spikes of the same units, a ``TsGroup`` per session."""
        more = "".join(f", {name}={value!r}" for name, value in self.methods().items())
        shown = [name for name in self.columns if name not in ("unit_id", "session_id")]
        group = f"queries.to_pynapple(units & {{'session_id': session}}, {shown!r}{more})"
        of_each = f"{{session: {group} for session in sorted(set(units.to_arrays('session_id')))}}"
        return f"units = {self._units_in_python()}\ngroups = {of_each}"

    def in_shell(self) -> str:
        """Return the command that gives the same rows."""
        words = [*self._command(), "--columns", ",".join(self.columns)]
        # With a space, -snr would be read as an option.
        words += [f"--sort={','.join(self.sort)}"] if self.sort else []
        return shlex.join([*words, "--out", "units.csv"])

    def selected_in_shell(self) -> str:
        """Return the command that selects the same units."""
        return shlex.join(self._command())

    def saved_in_shell(self) -> str:
        """Return the command that saves the same units as a named list."""
        return shlex.join([*self._command(), "--save-list", LIST_NAME])

    def saved_in_python(self) -> str:
        """Return the line of Python that saves the same units as a named list."""
        return f"queries.save_list({LIST_NAME!r}, {self._units_in_python()})"

    def _units_in_python(self) -> str:
        chosen = ", ".join(f"{name}={value!r}" for name, value in self.arguments().items())
        return f"queries.units({chosen})"

    def _command(self) -> list[str]:
        """Return the words of the command that selects the same units."""
        single = {"criteria": self.criteria, **self.methods()}
        pairs = [(name, value) for name, value in single.items() if value]
        pairs += [(name, value) for name, values in self.selected.items() for value in values]
        pairs += [("where", condition) for condition in self.where]
        words = [word for name, value in pairs for word in (f"--{name.replace('_', '-')}", value)]
        return ["vbn", "query", "units", *words]


def condition(column: str, kind: str, comparison: str, values: Sequence[str]) -> str:
    """Return a condition for ``where``, as a visitor chose it.

    Parameters
    ----------
    column : name of the column.
    kind : its type in `queries.columns`.
    comparison : one of `COMPARISONS` or `PRESENCE`, ``one of`` or ``contains``.
    values : the values to compare with.

    Raises
    ------
    SettingError
        If the values do not suit the type, or there are none.
    """
    if comparison in PRESENCE:
        return f"{column} {PRESENCE[comparison]}"
    literals = [_literal(column, kind, value.strip()) for value in values if value.strip()]
    if comparison == "between" and len(literals) == 2:
        return f"{column} BETWEEN {literals[0]} AND {literals[1]}"
    if comparison == "one of" and literals:
        return f"{column} = {literals[0]}" if len(literals) == 1 else f"{column} IN ({', '.join(literals)})"
    if comparison == "contains" and kind == "text" and literals:
        return f"lower({column}) LIKE '%{literals[0][1:-1].lower()}%'"
    if comparison in COMPARISONS and comparison != "between" and literals:
        return f"{column} {comparison} {literals[0]}"
    raise SettingError(f"To filter by '{column}', say how to compare it, and with what.")


def _literal(column: str, kind: str, value: str) -> str:
    """Return a value as SQL."""
    if kind == "number":
        return _number(column, value)
    if kind == "flag":
        if value not in ("0", "1"):
            raise SettingError(f"'{column}' is 1 (yes) or 0 (no), not '{shortened(value, 60)}'.")
        return value
    if kind == "time":
        try:
            datetime.fromisoformat(value)
        except ValueError as error:
            raise SettingError(
                f"'{column}' is a date such as 2020-11-19, not '{shortened(value, 60)}'."
            ) from error
    return "'" + value.replace("'", "''") + "'"


def _number(column: str, value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SettingError(f"'{column}' is a number, not '{shortened(value, 60)}'.")
    return str(int(value)) if value.lstrip("+-").isdecimal() and value.isascii() else repr(number)


def whole_number(name: str, text: str) -> int:
    """Return a number in the address.

    Raises
    ------
    SettingError
        If it is not a number.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise SettingError(f"In the address, '{name}' must be a number, not '{text[:60]}'.")
    return int(text)


def page_number(address: Address) -> int:
    """Return the number of the page of rows that an address asks for, from 1."""
    return min(max(1, whole_number("page", last_value(address, "page") or "1")), LAST_PAGE)


def given_values(address: Address, name: str) -> tuple[str, ...]:
    """Return the values that are not empty, each once."""
    return tuple(dict.fromkeys(value.strip() for value in address.get(name, ()) if value.strip()))


def last_value(address: Address, name: str) -> str:
    """Return the last value that is not empty, if any."""
    return (given_values(address, name) or ("",))[-1]


def _listed(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the names in texts with commas between."""
    return tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))
