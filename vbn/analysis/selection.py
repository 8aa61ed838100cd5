"""Quality filters of units.

A filter is a set of criteria, each on one column; a unit passes if it meets all of them. A missing value
(NULL, NaN) meets no comparison, as in AllenSDK's ``get_units``, which drops units without the metric, unless
the criterion says otherwise (``null_passes``, ``absent_passes``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from vbn.analysis.spikes.trains import Booleans
from vbn.nearest import nearest

Value = float | str | bool | tuple[str, ...] | None

COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "<": lambda column, value: column < value,
        "<=": lambda column, value: column <= value,
        ">": lambda column, value: column > value,
        ">=": lambda column, value: column >= value,
        "==": lambda column, value: column == value,
        "!=": lambda column, value: column != value,
        "in": lambda column, value: column.isin(value),
        "is null": lambda column, _: column.isna(),
        "is not null": lambda column, _: column.notna(),
    }
)


@dataclass(frozen=True)
class Criterion:
    """One condition on one column of the units.

    Parameters
    ----------
    column : name of the column.
    comparison : ``<``, ``<=``, ``>``, ``>=``, ``==``, ``!=``, ``in``, ``is null`` or ``is not null``.
    value : value to compare with; a tuple of strings for ``in``, None for the null tests.
    null_passes : whether units without a value meet the criterion.
    absent_passes : whether all units meet it if none has a value, because the file lacks the column.

    Raises
    ------
    ValueError
        For an unknown comparison, or a value that does not fit it.
    """

    column: str
    comparison: str
    value: Value = None
    null_passes: bool = False
    absent_passes: bool = False

    def __post_init__(self) -> None:
        if self.comparison not in COMPARISONS:
            raise ValueError(f"Unknown comparison {self.comparison!r}. Known: {', '.join(COMPARISONS)}.")
        takes_none = self.comparison.startswith("is")
        if takes_none != (self.value is None):
            needs = "takes no value" if takes_none else "needs a value"
            raise ValueError(f"The comparison {self.comparison!r} of {self.column!r} {needs}.")
        if (self.comparison == "in") != isinstance(self.value, tuple):
            raise ValueError(f"Only 'in' takes a list, and it takes nothing else: {self}.")
        if self.comparison in ("<", "<=", ">", ">=") and (
            isinstance(self.value, str | bool) or not np.isfinite(self.value)  # type: ignore[arg-type]
        ):
            raise ValueError(f"{self.comparison!r} needs a finite number, got {self.value!r}.")

    def __str__(self) -> str:
        """Return the criterion as one would write it."""
        value = "" if self.value is None else f" {self.value}"
        return f"{self.column} {self.comparison}{value}"


@dataclass(frozen=True)
class UnitCriteria:
    """A quality filter: a unit passes if it meets every criterion; without criteria all pass.

    Parameters
    ----------
    criteria : in any order; stored sorted, so that equal filters compare equal.
    for_populations : whether population averages are computed over the units that pass.
    """

    criteria: tuple[Criterion, ...] = ()
    for_populations: bool = True

    def __post_init__(self) -> None:
        ordered = sorted(self.criteria, key=lambda c: (c.column, c.comparison, str(c.value)))
        object.__setattr__(self, "criteria", tuple(ordered))


def passing_units(units: pd.DataFrame, filters: UnitCriteria) -> Booleans:
    """Find the units that meet all criteria.

    Parameters
    ----------
    units : all units of one recording, one row each, with the columns that the criteria name.
    filters : the filter.

    Returns
    -------
    (n_units,) True for units that pass.

    Raises
    ------
    ValueError
        For an unknown column; the message names the closest ones.
    """
    passing = np.ones(len(units), dtype=np.bool_)
    for criterion in filters.criteria:
        passing &= _meets(units, criterion)
    return passing


def _meets(units: pd.DataFrame, criterion: Criterion) -> Booleans:
    if criterion.column not in units:
        raise ValueError(
            f"Units have no column {criterion.column!r}.{nearest(criterion.column, units.columns)}"
        )
    column = units[criterion.column]
    if criterion.comparison.startswith("is"):
        return np.asarray(COMPARISONS[criterion.comparison](column, None), dtype=np.bool_)
    missing = column.isna().to_numpy(np.bool_)
    met = np.full(len(units), criterion.null_passes or (criterion.absent_passes and missing.all()))
    known = column[~missing]
    if isinstance(criterion.value, float | int) and not isinstance(criterion.value, bool):
        known = known.astype(np.float64)
    met[~missing] = COMPARISONS[criterion.comparison](known, criterion.value)
    return met
